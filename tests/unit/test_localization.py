"""First errors found exactly or nearly, and calibration by position."""

import json

import numpy as np
import pytest

from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, StepLabels, StepScores, write_records
from rung.eval import step_metrics
from rung.eval.localization import localization
from rung.eval.positions import BUCKETS, bucket_of


def made(number, labels, scores):
    problem = Problem(f"p{number}", f"question {number}")
    chain = Chain.of(problem, [f"{number}, step {k}" for k in range(len(labels))])
    return ChainRecord(
        chain, (StepLabels(tuple(labels), "human"),), (StepScores(tuple(scores), "prm"),)
    )


WRONG_AT_2 = [1.0, 1.0, 0.0, None, None]
CASES = [
    made(0, WRONG_AT_2, [0.9, 0.9, 0.1, 0.9, 0.9]),  # exact
    made(1, WRONG_AT_2, [0.9, 0.1, 0.1, 0.9, 0.9]),  # one early
    made(2, WRONG_AT_2, [0.9, 0.9, 0.9, 0.9, 0.1]),  # two late
    made(3, WRONG_AT_2, [0.9, 0.9, 0.9, 0.9, 0.9]),  # missed
    made(4, [0.0, None], [0.1, 0.9]),  # exact, at the first step
    made(5, [1.0, 1.0], [0.9, 0.9]),
    made(6, [1.0, 1.0], [0.9, 0.1]),  # false alarm
    made(7, [1.0, None, 0.0], [0.9, 0.9, 0.1]),  # the labels leave the first error open
]


@pytest.fixture(scope="module")
def found():
    return localization(CASES, scorer="prm", label_source="human", resamples=200)


def test_every_first_doubt_is_exact_early_late_or_missed(found):
    shares = [found.exact, found.early, found.late, found.missed]
    assert [one.value for one in shares] == pytest.approx([2 / 5, 1 / 5, 1 / 5, 1 / 5])
    assert found.within_one.value == pytest.approx(3 / 5)
    assert (found.num_erroneous, found.num_correct) == (5, 2)
    assert found.false_alarm.value == pytest.approx(1 / 2)
    assert found.exact.low < found.exact.value < found.exact.high


def test_offsets_count_the_doubts_by_their_distance(found):
    assert dict(found.offsets) == {-3: 0, -2: 0, -1: 1, 0: 2, 1: 0, 2: 1, 3: 0}


def test_by_position_takes_the_chains_apart_by_their_error(found):
    rows = {str(row.bucket): row for row in found.by_position}
    assert set(rows) == {"0", "1–2"}
    assert (rows["0"].num_chains, rows["0"].exact.value) == (1, 1.0)
    assert (rows["1–2"].num_chains, rows["1–2"].exact.value) == (4, 1 / 4)
    assert sum(row.num_chains for row in found.by_position) == found.num_erroneous


def test_without_errors_there_is_nothing_to_find():
    clean = localization(CASES[5:7], scorer="prm", label_source="human", resamples=10)
    assert clean.exact is None and clean.by_position == ()


def test_buckets_double_and_cover_every_position():
    covered = [bucket_of(position) for position in range(200)]
    for position, index in enumerate(covered):
        bucket = BUCKETS[index]
        assert bucket.first <= position and (bucket.last is None or position <= bucket.last)
    assert list(map(str, BUCKETS)) == ["0", "1–2", "3–6", "7–14", "15 and later"]


def test_calibration_by_position_is_that_of_its_steps_alone():
    rng = np.random.default_rng(0)
    records = []
    for number in range(60):  # early scores are right as often as they say, late ones are 0.9
        early = float(rng.choice([0.3, 0.8]))
        labels = [float(rng.random() < early), *(float(rng.random() < 0.5) for _ in range(4))]
        records.append(made(number, labels, [early, 0.9, 0.9, 0.9, 0.9]))
    metrics = step_metrics(records, resamples=50)
    rows = {str(row.bucket): row for row in metrics.by_bucket}
    assert set(rows) == {"0", "1–2", "3–6"}
    assert [row.num_steps for row in metrics.by_bucket] == [60, 120, 120]
    late = np.array([labels for r in records for labels in r.labels[0].labels[1:3]])
    assert rows["1–2"].calibration.ece.value == pytest.approx(abs(0.9 - late.mean()))
    assert rows["1–2"].calibration.brier.value == pytest.approx(((0.9 - late) ** 2).mean())
    assert rows["0"].calibration.ece.value < 0.15 < rows["1–2"].calibration.ece.value
    assert sum(bin.num_steps for bin in rows["0"].calibration.bins) == 60


def test_rung_eval_steps_shows_both_and_draws_a_diagram_for_each_range(tmp_path, capsys):
    path, plot = tmp_path / "s.jsonl", tmp_path / "reliability.svg"
    write_records(path, CASES)
    command = ["eval", "steps", str(path), "--resamples", "50"]
    assert main([*command, "--json"]) == 0
    [metrics] = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["localization"]["exact"]["value"] == pytest.approx(0.4)
    assert [row["bucket"]["first"] for row in metrics["by_bucket"]] == [0, 1]
    assert main([*command, "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "within one" in shown and "60.0" in shown and "1–2" in shown
    drawn = plot.read_text()
    assert drawn.startswith("<svg") and drawn.count("share of right steps</text>") == 3
    assert "position 1–2: ECE" in drawn


@pytest.mark.shared_data
def test_on_processbench_the_exact_share_is_the_published_accuracy_on_wrong_chains(shared_data):
    from rung.data import join_scores, load

    records = list(
        join_scores(
            load(shared_data / "processbench_gsm8k_math.jsonl.gz"),
            shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz",
        )
    )
    gsm8k = [record for record in records if record.meta["subset"] == "gsm8k"]
    name = "Qwen2.5-Math-PRM-7B"
    found = localization(gsm8k, scorer=name, label_source="human", resamples=50)
    assert round(100 * found.exact.value, 1) == 73.2
    assert round(100 * (1 - found.false_alarm.value), 1) == 97.6
    assert found.within_one.value > found.exact.value
