"""PRMBench's rule, and the results of its toolkit."""

import json

import pytest

from rung.cli.main import main
from rung.core import (
    Chain,
    ChainRecord,
    InputError,
    Problem,
    RungError,
    StepLabels,
    StepScores,
    write_records,
)
from rung.data import join_scores, load, prmbench_key
from rung.eval import prmbench


def made(kind, number, labels, scores, scorer="prm"):
    steps = [f"step {k} of {kind} {number}" for k in range(len(labels))]
    chain = Chain.of(Problem(f"p{number}", f"question {number}"), steps, id=f"{kind}_{number}")
    read = () if scores is None else (StepScores(tuple(scores), scorer),)
    meta = {"classification": kind, "idx": f"{number}"}
    return ChainRecord(chain, (StepLabels(tuple(map(float, labels)), "planted"),), read, None, meta)


def test_prmscore_is_the_mean_of_both_f1s_over_all_steps_together():
    records = [
        made("circular", 1, [1, 1, 0], [0.9, 0.2, 0.1]),
        made("circular", 2, [1, 0, 1], [0.9, 0.8, 0.7]),
    ]
    row = prmbench(records, resamples=20).classes[0]
    # right steps: 3 kept, 1 lost, 1 wrong step missed; wrong steps: 1 caught, 1 missed
    assert row.f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert row.negative_f1.value == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert row.score.value == pytest.approx((0.75 + 0.5) / 2)
    assert (row.num_chains, row.num_right, row.num_wrong) == (2, 4, 2)


def test_a_score_equal_to_the_threshold_is_a_verdict_of_wrong():
    records = [made("circular", 1, [1, 0], [0.9, 0.5])]
    assert prmbench(records, resamples=5).overall.score.value == 1.0


def test_chains_without_planted_errors_count_with_the_f1_of_right_steps_alone():
    records = [
        made("multi_solutions", 1, [1, 1], [0.9, 0.1]),
        made("circular", 1, [1, 0], [0.9, 0.1]),
    ]
    found = prmbench(records, resamples=5)
    alone = next(row for row in found.classes if row.name == "multi_solutions")
    assert alone.score == alone.f1 and alone.negative_f1 is None
    assert alone.score.value == pytest.approx(2 / 3)


def test_an_aspect_is_the_mean_of_its_classes_and_needs_all_of_them():
    records = [
        made("redundency", 1, [1, 0], [0.9, 0.1]),
        made("circular", 1, [1, 0], [0.9, 0.8]),
        made("deception", 1, [1, 0], [0.9, 0.8]),
    ]
    found = prmbench(records, resamples=5)
    scores = {row.name: row.score.value for row in found.classes}
    assert list(scores) == ["redundency", "circular", "deception"]
    assert set(found.aspects) == {"simplicity"}
    assert found.aspects["simplicity"].value == pytest.approx(
        (scores["redundency"] + scores["circular"]) / 2
    )


def test_a_scorer_that_flags_nothing_has_a_negative_f1_of_0_and_not_less():
    row = prmbench([made("circular", 1, [1, 0], [0.9, 0.8])], resamples=5).overall
    assert row.negative_f1.value == 0.0


def test_what_is_left_out_is_counted():
    records = [
        made("circular", 1, [1, 0], [0.9, None]),
        made("circular", 1, [1, 0], [0.1, 0.9]),
        made("circular", 2, [1, 0], None),
    ]
    found = prmbench(records, scorer="prm", resamples=5)
    assert (found.repeated, found.unscored, found.unscored_steps) == (1, 1, 1)
    assert (found.overall.num_chains, found.overall.num_wrong) == (1, 0)


def test_intervals_are_over_the_solutions_that_were_edited_not_over_chains():
    # one solution in two classes: drawn together, so each resample holds both or neither
    records = [made(kind, 1, [1, 0], [0.9, 0.1]) for kind in ("circular", "redundency")]
    assert prmbench(records, resamples=5).num_problems == 1


def test_chains_of_other_benchmarks_are_refused_in_one_sentence():
    chain = Chain.of(Problem("p", "q"), ["a"])
    other = ChainRecord(chain, (StepLabels((1.0,), "human"),), (StepScores((0.5,), "prm"),))
    with pytest.raises(RungError, match="no chain is of PRMBench"):
        prmbench([other])


def results(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def result(name, *scores):
    return {"idx": name, "scores": {"step_level_validity_scores": list(scores)}}


def test_the_toolkits_results_are_joined_by_class_and_number(tmp_path):
    path = results(
        tmp_path / "R-PRM.jsonl",
        result("circular_2", 0.4, 0.3),
        {"idx": "circular_3", "validity": False},
        result("circular_1", 0.2, 0.1),
    )
    records = [made("circular", number, [1, 0], None) for number in (1, 2, 3, 4)]
    joined = list(join_scores(records, path))
    assert [prmbench_key(record) for record in joined] == ["circular_1", "circular_2", "circular_3"]
    assert [r.scores and r.scores_by("R-PRM").scores for r in joined] == [
        (0.2, 0.1),
        (0.4, 0.3),
        (),
    ]


def test_of_two_chains_with_one_name_the_second_takes_the_second_result_or_none(tmp_path):
    twins = [made("circular", 1, [1, 0], None), made("circular", 1, [1, 0, 1], None)]
    both = results(
        tmp_path / "a.jsonl", result("circular_1", 0.2, 0.1), result("circular_1", 1, 1, 1)
    )
    assert [len(r.scores[0].scores) for r in join_scores(twins, both)] == [2, 3]
    one = results(tmp_path / "b.jsonl", result("circular_1", 0.2, 0.1))
    assert len(list(join_scores(twins, one))) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (result("circular_1", 0.2), "line 1: 'circular_1': 1 scores for 2 steps"),
        (result("circular_1", 0.2, 1.5), "score 1 is 1.5, expected a number in"),
        ({"idx": "circular_1", "scores": 3}, "not a row of PRMBench results"),
        (result("circular_9", 0.2), "no chain here is one that these results are for"),
    ],
)
def test_results_that_do_not_fit_are_refused_with_their_place(tmp_path, row, message):
    path = results(tmp_path / "a.jsonl", row)
    with pytest.raises(InputError, match=r"a\.jsonl") as caught:
        list(join_scores([made("circular", 1, [1, 0], None)], path))
    assert message in str(caught.value)


def test_rung_eval_prmbench_prints_every_class_and_published_totals(tmp_path, capsys):
    path = tmp_path / "scored.jsonl"
    write_records(path, [made("circular", n, [1, 0], [0.9, 0.1 * n]) for n in range(1, 9)])
    command = ["eval", "prmbench", str(path), "--resamples", "50", "--published"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"][0]["classes"][0]["name"] == "circular"
    assert any(row["model"] == "Qwen2.5-Math-PRM-7B" for row in found["published"]["rows"])
    assert main(command) == 0
    shown = capsys.readouterr().out
    score = found["metrics"][0]["overall"]["score"]["value"]
    assert f"{100 * score:.1f}" in shown
    assert "Qwen2.5-Math-PRM-7B (published)" in shown and "65.5" in shown


def test_a_chain_of_prmbench_as_it_is_published_has_its_name(tmp_path):
    row = {
        "modified_question": "q",
        "modified_process": ["a", "b"],
        "error_steps": [2],
        "idx": "prm_test_p1_0",
        "classification": "circular",
    }
    path = results(tmp_path / "prmbench.jsonl", row, {**row, "idx": "circular_prm_test_p1_1"})
    names = [prmbench_key(record) for record in load(path)]
    assert names == ["circular_prm_test_p1_0", "circular_prm_test_p1_1"]
