"""How far sources agree, and how one errs against a trusted one."""

import json
from pathlib import Path

import numpy as np
import pytest

from rung import Chain, ChainRecord, Problem, RungError, StepLabels, write_records
from rung.cli.main import main
from rung.eval.agreement import agreement, agreement_together, error_profile


def records(*columns: str, domain: str | None = None) -> list[ChainRecord]:
    """One step a problem; a column is a source named a, b, ...: "1", "0" or "." for no label."""
    made = []
    for k, verdicts in enumerate(zip(*columns, strict=True)):
        chain = Chain.of(Problem(str(k), f"{k}?", domain=domain), [f"step {k}"])
        labels = [
            StepLabels((None if v == "." else float(v),), name)
            for name, v in zip("abcdef", verdicts, strict=False)
        ]
        made.append(ChainRecord(chain, tuple(labels)))
    return made


def test_alpha_is_that_of_krippendorffs_own_example():
    found = agreement(records("0100000010", "1110010000"), ["a", "b"])
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(0.095, abs=5e-4)


def test_alpha_takes_gaps_and_leaves_out_steps_that_one_judged():
    with_gaps = agreement(records("1100.1", "10.0.1", "110010"), ["a", "b", "c"])
    without = agreement(records("11001", "10.01", "11000"), ["a", "b", "c"])
    assert with_gaps.alpha is not None and without.alpha is not None
    assert with_gaps.alpha.value == pytest.approx(without.alpha.value)
    assert with_gaps.num_steps == 5


def test_alpha_is_that_of_the_package_krippendorff():
    package = pytest.importorskip("krippendorff", reason="needs the package krippendorff")
    rng = np.random.default_rng(0)
    truth_S = rng.integers(0, 2, 200)
    said_LS = np.where(rng.random((4, 200)) < 0.8, truth_S, 1 - truth_S).astype(float)
    said_LS[rng.random((4, 200)) < 0.4] = np.nan
    columns = ["".join("." if np.isnan(y) else f"{y:.0f}" for y in said_S) for said_S in said_LS]
    found = agreement(records(*columns), ["a", "b", "c", "d"])
    theirs = package.alpha(said_LS, level_of_measurement="nominal")
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(theirs)


def test_kappa_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 300)
    other = np.where(rng.random(300) < 0.7, one, rng.integers(0, 2, 300))
    found = agreement(records("".join(map(str, one)), "".join(map(str, other))), ["a", "b"])
    [pair] = found.pairs
    assert pair.kappa is not None
    assert pair.kappa.value == pytest.approx(metrics.cohen_kappa_score(one, other))
    assert pair.kappa.low < pair.kappa.value < pair.kappa.high  # type: ignore[operator]


def test_sources_that_only_say_one_thing_have_no_kappa():
    [pair] = agreement(records("111", "111"), ["a", "b"]).pairs
    assert pair.kappa is None
    assert pair.agreement is not None and pair.agreement.value == 1


def test_agreement_needs_two_sources():
    with pytest.raises(RungError, match="two sources"):
        agreement(records("11"), ["a"])


def test_errors_are_counted_by_what_the_trusted_source_says():
    everything = error_profile(records("11001.", "100110", domain="algebra"), "a", "b")[0]
    assert (everything.by, everything.num_steps) == ("all", 6)
    assert (everything.wrong_said_wrong, everything.wrong_said_right) == (1, 1)
    assert (everything.wrong_not_judged, everything.right_not_judged) == (1, 0)
    assert (everything.right_said_wrong, everything.right_said_right) == (1, 2)
    assert everything.missed is not None and everything.missed.value == 0.5
    assert everything.false_alarms is not None
    assert everything.false_alarms.value == pytest.approx(1 / 3)
    assert everything.judged is not None and everything.judged.value == pytest.approx(5 / 6)
    with pytest.raises(RungError, match="with itself"):
        error_profile(records("1"), "a", "a")


def test_no_error_in_few_problems_is_no_certainty():
    [everything, *_] = error_profile(records("1111100000", "1111100000"), "a", "b")
    for found in (everything.missed, everything.false_alarms):
        assert found is not None
        assert (found.value, found.low, found.high) == (0.0, 0.0, pytest.approx(0.4345, abs=1e-4))
    assert everything.accuracy is not None
    assert (everything.accuracy.low, everything.accuracy.high) == (
        pytest.approx(0.7225, abs=1e-4),
        1,
    )


def test_steps_of_one_problem_are_one_trial():
    chain = Chain.of(Problem("p", "?"), [f"step {k}" for k in range(100)])
    labels = tuple(StepLabels((1.0,) * 100, name) for name in "ab")
    [everything, *_] = error_profile([ChainRecord(chain, labels)], "a", "b")
    assert everything.false_alarms is not None
    assert everything.false_alarms.high == pytest.approx(0.7935, abs=1e-4)


def test_errors_are_shown_by_position_length_and_domain():
    texts = ["x" * 10, "x" * 60, "x" * 500, "y", "z", "w"]
    chain = Chain.of(Problem("p", "?", domain="logic"), texts)
    labels = (StepLabels((1, 1, 0, 1, 1, 1), "a"), StepLabels((1, 0, 0, 1, 1, 0), "b"))
    found = error_profile([ChainRecord(chain, labels)], "a", "b")
    steps = {(one.by, one.group): one.num_steps for one in found}
    assert steps == {
        ("all", "all"): 6,
        **{("position", group): 1 for group in "1234"},
        ("position", "5-8"): 2,
        ("length", "0-49"): 4,
        ("length", "50-99"): 1,
        ("length", "400+"): 1,
        ("domain", "logic"): 6,
    }


def test_the_verb_tells_agreement_and_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "in.jsonl"
    write_records(path, records("1100" * 10, "1000" * 10, "1110" * 10))
    command = ["label", "agreement", str(path), "--trusted", "c"]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [pair["num_steps"] for pair in result["agreement"]["pairs"]] == [40, 40, 40]
    assert set(result["errors"]) == {"a", "b"}
    assert result["errors"]["a"][0]["false_alarms"]["value"] == pytest.approx(1 / 3)
    assert main([*command, "--source", "a"]) == 0
    printed = capsys.readouterr().out
    assert "a and c: 40 steps, the same on 75.0%" in printed
    assert "Errors of a" in printed
    assert main(["label", "agreement", str(path), "--source", "a", "--source", "z"]) == 2
    assert "'z'" in capsys.readouterr().err


def test_agreement_of_all_is_the_same_without_its_pairs(monkeypatch: pytest.MonkeyPatch):
    said = records("1100.1", "10.0.1", "010010")
    whole = agreement(said, ["a", "b", "c"], resamples=50)
    monkeypatch.setattr("rung.eval.agreement.kappa", None)  # no pair is looked at
    assert whole.alpha is not None
    assert agreement_together(said, ["a", "b", "c"], resamples=50) == (whole.alpha, 5)
    with pytest.raises(RungError, match="two sources or more"):
        agreement_together(said, ["a"])
