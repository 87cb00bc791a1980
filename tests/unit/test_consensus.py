"""One set of labels out of several: estimated, measured, or only where all agree."""

import json
from pathlib import Path

import numpy as np
import pytest

from rung import Chain, ChainRecord, Problem, RungError, StepLabels, read_records, write_records
from rung.cli.main import main
from rung.label.consensus import agreed_labels, dawid_skene, noise_aware
from rung.label.step_table import FloatArray, step_table

RATES = np.array([[0.1, 0.95], [0.3, 0.8], [0.45, 0.6], [0.2, 0.7]])


def simulated(
    num: int, rates_L2: FloatArray, *, judged: float = 1.0, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """The truth of `num` steps, and what sources with these rates say of them."""
    rng = np.random.default_rng(seed)
    truth_S = (rng.random(num) < 0.7).astype(float)
    says_SL = rates_L2[:, truth_S.astype(int)].T
    said_SL = (rng.random(says_SL.shape) < says_SL).astype(float)
    said_SL[rng.random(says_SL.shape) > judged] = np.nan
    return truth_S, said_SL


@pytest.mark.parametrize("judged", [1.0, 0.7])
def test_dawid_skene_finds_the_rates_that_were_simulated(judged: float):
    _, said_SL = simulated(20_000, RATES, judged=judged)
    found = dawid_skene(said_SL)
    assert found.rates_L2 == pytest.approx(RATES, abs=0.03)
    assert found.share_right == pytest.approx(0.7, abs=0.03)
    assert np.isnan(found.right_S).sum() == np.isnan(said_SL).all(axis=1).sum()


def test_dawid_skene_errs_less_than_the_majority_and_is_calibrated():
    truth_S, said_SL = simulated(20_000, RATES)
    right_S = dawid_skene(said_SL).right_S
    majority_S = said_SL[:, :3].mean(axis=1) > 0.5
    assert np.mean((right_S > 0.5) != truth_S) < np.mean(majority_S != truth_S) - 0.02
    for low in (0.2, 0.5, 0.8):
        inside_S = (right_S >= low) & (right_S < low + 0.2)
        if inside_S.sum() > 500:
            assert right_S[inside_S].mean() == pytest.approx(truth_S[inside_S].mean(), abs=0.04)


def test_dawid_skene_needs_a_step_that_two_judged():
    with pytest.raises(RungError, match="by two sources"):
        dawid_skene(np.array([[1.0, np.nan], [np.nan, 0.0]]))


def test_noise_aware_labels_are_bayes_with_the_measured_rates():
    truth_S, said_SL = simulated(20_000, RATES[:1])
    trusted_S = np.where(np.arange(len(truth_S)) < 10_000, truth_S, np.nan)
    found = noise_aware(said_SL, trusted_S)
    later_S = np.isnan(trusted_S)
    for said, rates in ((1.0, RATES[0]), (0.0, 1 - RATES[0])):
        expected = 0.7 * rates[1] / (0.7 * rates[1] + 0.3 * rates[0])
        assert found.right_S[later_S & (said_SL[:, 0] == said)] == pytest.approx(expected, abs=0.03)
    assert (found.right_S[~later_S] == truth_S[~later_S]).all()


def test_noise_aware_needs_right_and_wrong_trusted_steps():
    with pytest.raises(RungError, match="right and wrong"):
        noise_aware(np.array([[1.0], [0.0]]), np.array([1.0, np.nan]))


def record(name: str, **labels: tuple[float | None, ...]) -> ChainRecord:
    chain = Chain.of(Problem(name, f"{name}?"), [f"{name}{k}" for k in range(3)])
    return ChainRecord(chain, tuple(StepLabels(y, source) for source, y in labels.items()))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((1, 0, 0), (1, 0.2, None), (1, 0, None)),
        ((1, 1, 1), (0.9, 0.5, 0.7), (1, 1, 1)),
        ((1, 0, 0), (1, 1, 0), (None, None, None)),
        ((1, 0, 0), (None, 0, 0), None),
    ],
)
def test_the_filter_keeps_chains_whose_first_error_is_agreed_on(one, other, expected):  # type: ignore[no-untyped-def]
    found = agreed_labels(record("a", mc=one, judge=other), ["mc", "judge"], "both")
    assert (None if found is None else found.labels) == expected
    assert agreed_labels(record("a", mc=one), ["mc", "judge"], "both") is None


def test_a_step_that_chains_share_is_one_row_with_the_mean_label():
    one, other = record("a", x=(1.0, 1.0, 0.0)), record("a", x=(1.0, 0.0, None))
    table = step_table([one, other], ["x"])
    assert table.labels_SL[:, 0].tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(RungError, match="no step has a label from 'y'"):
        step_table([one], ["y"])


def labeled(path: Path, num: int = 400) -> None:
    """Chains of one step, judged by a, b and c; "truth" knows the first half."""
    truth_S, said_SL = simulated(num, RATES[:3])
    records = []
    for k in range(num):
        chain = Chain.of(Problem(str(k), f"{k}?"), [f"s{k}"])
        ys = [StepLabels((said,), name) for name, said in zip("abc", said_SL[k], strict=True)]
        if k < num // 2:
            ys.append(StepLabels((truth_S[k],), "truth"))
        records.append(ChainRecord(chain, tuple(ys)))
    write_records(path, records)


def test_the_verb_adds_labels_and_tells_the_rates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    labeled(source)
    command = ["label", "consensus", str(source), "--out", str(out), "--json", "--method"]
    assert main([*command, "noise-aware", "--trusted", "truth", "--source", "b"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rates"]["b"]["says_right_of_right"] == pytest.approx(0.8, abs=0.1)
    assert len({r.labels_from("noise-aware").labels for r in read_records(out)}) == 4  # type: ignore[union-attr]
    assert main([*command, "dawid-skene", "--source", "a", "--source", "b", "--source", "c"]) == 0
    assert json.loads(capsys.readouterr().out)["labeled_steps"] == 400
    assert main([*command, "filter", "--source", "a", "--source", "b", "--name", "ab"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["agreed"] + result["disagreed"] == 400
    assert result["source"] == "ab"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["filter", "--source", "a"], "filter needs 2 sources"),
        (["dawid-skene", "--source", "a", "--source", "z"], "no labels from 'z', only a, b, c"),
        (["noise-aware"], "--trusted goes with"),
        (["filter", "--trusted", "truth"], "--trusted goes with"),
    ],
)
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
):
    labeled(tmp_path / "in.jsonl", 10)
    command = ["label", "consensus", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    assert main([*command, "--method", *options]) == 2
    assert why in capsys.readouterr().err
