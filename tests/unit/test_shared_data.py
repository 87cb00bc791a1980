"""The real files beside the checkout: totals as their README and the papers give them."""

import gzip
from collections import Counter, defaultdict

import msgspec
import pytest

from rung import RungError
from rung.data import count, format_of, join_scores, load, load_problems, problem_keys
from rung.data.sources import read_items

# file, chains, steps
LABELED = [
    ("processbench_gsm8k_math.jsonl.gz", 1400, 8587),
    ("prm800k_val_decoded.jsonl.gz", 1357, 9535),
    ("prm800k_phase2_latebench.jsonl.gz", 296, 3934),
    ("prmbench.jsonl.gz", 6216, 83456),
    ("prmbench_originals.jsonl.gz", 758, 10851),
    ("big_bench_mistake.jsonl.gz", 2186, 33306),
    ("mr_ben.jsonl.gz", 4534, 45916),
    ("parc_perl.jsonl.gz", 753, 4449),
]
SAMPLES = [
    ("bon_math100_qwen_rm8.jsonl.gz", 800, 5901),
    ("bon_gsm8k_openai_4.jsonl.gz", 5276, 23141),
    ("bon_zeroeval_gsm8k_12models.jsonl.gz", 15828, 36614),
]


@pytest.mark.parametrize(("name", "chains", "steps"), SAMPLES)
def test_every_sample_is_read_with_every_step(shared_data, name, chains, steps):
    path = shared_data / name
    assert format_of(path).name == "samples"
    records = list(load(path))
    assert len(records) == chains
    assert sum(len(record.chain.steps) for record in records) == steps


@pytest.mark.parametrize(("name", "chains", "steps"), LABELED)
def test_every_chain_is_read_with_every_step_its_labels_and_its_first_error(
    shared_data, name, chains, steps
):
    path = shared_data / name
    assert format_of(path).name == "labeled-chains"
    records = list(load(path, neutral="unlabeled"))
    assert len(records) == chains
    assert sum(len(record.chain.steps) for record in records) == steps
    for row, record in zip(read_items(path), records, strict=True):
        raw = msgspec.json.decode(row.content)
        labels = record.labels[0]
        assert labels.labels == tuple({1: 1.0, -1: 0.0}.get(y) for y in raw["labels"])
        error = -1 if labels.first_error is None else labels.first_error
        if raw["first_error"] is not None:
            assert error == raw["first_error"]
        assert record.chain.texts == tuple(raw["steps"])


def test_processbench_has_the_papers_counts(shared_data):
    counts = Counter(
        (record.meta["subset"], record.labels[0].first_error is None)
        for record in load(shared_data / "processbench_gsm8k_math.jsonl.gz")
    )
    assert counts == {
        ("gsm8k", False): 207,
        ("gsm8k", True): 193,
        ("math", False): 594,
        ("math", True): 406,
    }


def test_processbench_has_the_papers_share_of_right_answers_over_a_wrong_step(shared_data):
    wrong_step: dict[str, list[bool]] = defaultdict(list)
    for record in load(shared_data / "processbench_gsm8k_math.jsonl.gz"):
        if record.outcome == "correct":
            wrong_step[record.meta["subset"]].append(record.labels[0].first_error is not None)
    shares = {name: 100 * sum(found) / len(found) for name, found in wrong_step.items()}
    assert shares == {"gsm8k": 3.5, "math": 18.8}


def test_processbench_verdicts_are_the_sources_and_not_made_from_the_labels(shared_data):
    counts = Counter(
        (record.outcome, record.labels[0].first_error is None)
        for record in load(shared_data / "processbench_gsm8k_math.jsonl.gz")
    )
    # 101 chains reach the right answer over a wrong step; none without an error misses it
    assert counts == {("correct", True): 599, ("correct", False): 101, ("incorrect", False): 700}


def test_prm800k_has_its_problems_ratings_and_contradictions(shared_data):
    stats = count(load(shared_data / "prm800k_val_decoded.jsonl.gz"))
    assert (stats.chains, stats.problems) == (1357, 216)
    assert stats.labels["human"].chains_without_error == 236
    assert stats.labels["human"].contradictory > 0
    assert count(load(shared_data / "mr_ben.jsonl.gz")).policies == {
        "Claude2": 1523,
        "mistral-medium": 1519,
        "GPT3.5": 1492,
    }


def test_published_scores_join_their_chains(shared_data):
    records = list(
        join_scores(
            load(shared_data / "processbench_gsm8k_math.jsonl.gz"),
            shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz",
        )
    )
    assert Counter(r.meta["subset"] for r in records) == {"gsm8k": 250, "math": 250}
    for record in records:
        assert len(record.scores) == 11
        error = record.labels[0].first_error
        num_scored = len(record.chain.steps) if error is None else error + 1
        for scores in record.scores:
            assert len(scores.known) == num_scored
            lowest = record.meta["min_over_all_steps"][scores.scorer]
            assert lowest <= min(scores.known)
            if error is None:
                assert lowest == min(scores.known)


def test_published_scores_alone_are_no_chains(shared_data, tmp_path):
    path = shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
    with pytest.raises(RungError, match=r"published-scores rows hold no chains: .* to be joined"):
        load(path)
    with pytest.raises(RungError, match="no chain here has an id that these scores are for"):
        list(join_scores(load(shared_data / "parc_perl.jsonl.gz"), path))
    bad = tmp_path / "scores.jsonl.gz"
    row = {"id": "gsm8k-0", "scores": {"m": [0.5] * 99}, "min_over_all_steps": {"m": 0.5}}
    bad.write_bytes(gzip.compress(msgspec.json.encode(row)))
    with pytest.raises(RungError, match="'gsm8k-0': 99 scores by m for 4 steps"):
        list(join_scores(load(shared_data / "processbench_gsm8k_math.jsonl.gz"), bad))


def test_samples_carry_the_sources_verdicts_and_its_reward_models_pick(shared_data):
    pools = defaultdict(list)
    for record in load(shared_data / "bon_math100_qwen_rm8.jsonl.gz"):
        pools[record.chain.problem.id].append(record)
    best = [max(pool, key=lambda r: r.scores[0].scores[-1]) for pool in pools.values()]
    assert sum(record.outcome == "correct" for record in best) == 94
    assert sum(any(r.outcome == "correct" for r in pool) for pool in pools.values()) == 96
    assert sum(r.outcome == "correct" for pool in pools.values() for r in pool) == 728


def test_gsm8k_systems_have_their_known_accuracy(shared_data):
    right, total = Counter(), Counter()
    for record in load(shared_data / "bon_gsm8k_openai_4.jsonl.gz"):
        total[record.chain.source.policy] += 1
        right[record.chain.source.policy] += record.outcome == "correct"
    assert set(total.values()) == {1319}
    accuracies = sorted(round(100 * right[p] / 1319, 1) for p in total)
    assert accuracies == [21.7, 34.7, 39.0, 56.3]


@pytest.mark.parametrize(
    ("name", "problems", "answers"),
    [
        ("problems_gsm8k_train.jsonl.gz", 7473, 7473),
        ("problems_gsm8k_test.jsonl.gz", 1319, 1319),
        ("problems_math_train.jsonl.gz", 7500, 7498),
        ("problems_math_test.jsonl.gz", 5000, 5000),
        ("problems_math500.jsonl", 500, 500),
    ],
)
def test_problem_sets_are_whole(shared_data, name, problems, answers):
    read = list(load_problems(shared_data / name))
    assert len(read) == problems
    assert sum(problem.answer is not None for problem in read) == answers


def test_overlaps_between_the_files_are_found(shared_data):
    def keys(name):
        return problem_keys(load_problems(shared_data / name))

    processbench = keys("processbench_gsm8k_math.jsonl.gz")
    assert len(processbench) == 955 + 375
    assert len(processbench & keys("problems_math500.jsonl")) == 108
    assert len(processbench & keys("prm800k_val_decoded.jsonl.gz")) == 15
    assert len(processbench & keys("prmbench_originals.jsonl.gz")) == 70
    assert len(processbench & keys("problems_gsm8k_test.jsonl.gz")) == 375
    assert len(processbench & keys("problems_math_test.jsonl.gz")) == 955
