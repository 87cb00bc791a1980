"""ProcessBench numbers of published PRMs, recomputed from their published step scores.

The expected numbers are those of the project's survey of published results, which computed them
from the same 250-row subsets: erroneous / correct / F1 in percent.
"""

import json

import pytest

from rung.cli.main import main
from rung.data import join_scores, load
from rung.eval import processbench

SKYWORK = "Skywork-o1-Open-PRM-Qwen-2.5-7B"
PUBLISHED = {
    "Qwen2.5-Math-PRM-7B": ((73.2, 97.6, 83.7), (64.0, 89.0, 74.5)),
    "Qwen2.5-Math-7B-PRM800K": ((50.4, 99.2, 66.8), (48.0, 87.0, 61.9)),
    "Llama3.1-8B-PRM-Mistral-Data": ((30.9, 98.4, 47.0), (18.7, 80.0, 30.3)),
    "Llama3.1-8B-PRM-Deepseek-Data": ((19.5, 100.0, 32.7), (20.7, 83.0, 33.1)),
    SKYWORK: ((61.0, 78.7, 68.7), (36.0, 66.0, 46.6)),
}


@pytest.fixture(scope="module")
def records(shared_data):
    chains = load(shared_data / "processbench_gsm8k_math.jsonl.gz")
    scores = shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
    return list(join_scores(chains, scores))


def in_percent(found):
    return tuple(round(100 * e.value, 1) for e in (found.erroneous, found.correct, found.f1))


@pytest.mark.shared_data
@pytest.mark.parametrize("scorer", PUBLISHED)
def test_accuracies_and_f1_equal_the_published_ones(records, scorer):
    gsm8k, math = processbench(records, scorer=scorer, resamples=200)
    assert (gsm8k.subset, math.subset) == ("gsm8k", "math")
    assert (in_percent(gsm8k), in_percent(math)) == PUBLISHED[scorer]
    assert (gsm8k.num_erroneous + gsm8k.num_correct, math.num_erroneous + math.num_correct) == (
        250,
        250,
    )
    assert gsm8k.undecided == gsm8k.unscored == gsm8k.partly_scored == 0


@pytest.mark.shared_data
def test_skyworks_published_threshold_gives_the_published_f1(records):
    # published as 0.383, which is the score 0.3826... rounded
    gsm8k, math = processbench(records, scorer=SKYWORK, threshold=0.3826026999812996, resamples=9)
    assert (in_percent(gsm8k)[2], in_percent(math)[2]) == (75.0, 50.6)


@pytest.mark.shared_data
def test_the_exact_search_finds_a_threshold_no_worse_than_the_published_one(records):
    gsm8k, math = processbench(records, scorer=SKYWORK, tune_on="gsm8k", resamples=9)
    assert gsm8k.threshold == math.threshold == pytest.approx(0.3808, abs=1e-4)
    assert in_percent(gsm8k)[2] == 75.3
    assert in_percent(math)[2] == 50.6


@pytest.mark.shared_data
def test_rung_eval_prints_the_published_f1(shared_data, capsys):
    chains = str(shared_data / "processbench_gsm8k_math.jsonl.gz")
    scores = str(shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz")
    command = ["eval", "processbench", chains, "--scores", scores]
    assert main([*command, "--scorer", "Qwen2.5-Math-PRM-7B", "--resamples", "200", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [round(100 * row["f1"]["value"], 1) for row in result["metrics"]] == [83.7, 74.5]
    assert result["chains_not_in_scores"] == 900
    for row in result["metrics"]:
        assert row["f1"]["low"] < row["f1"]["value"] < row["f1"]["high"]
