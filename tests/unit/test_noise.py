"""How sources err: measured, written, read, and used in training."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rung import ChainRecord, InputError, RungError, StepLabels, write_records
from rung.cli.main import main
from rung.core.progress import Silent
from rung.label import Confusion, measure_noise, read_noise, write_noise
from rung.label.consensus import dawid_skene
from rung.label.noise import SourceNoise
from rung.label.step_table import step_table
from rung.score import load_scorer
from rung.train import Method, Optimization, RewardTraining, train_reward
from rung.train import reward as reward_module
from toy_chains import SOURCE, make_toy_trunk, toy_records

MISSED, FALSE_ALARM = 0.4, 0.15
FAST = Optimization(lr=5e-3, warmup_fraction=0.1, batch_tokens=512, epochs=5, patience=0)
TWO = (Confusion(0.3, 0.8), Confusion(0.1, 0.9, first=2))


def flipped(record: ChainRecord, name: str, late: float = 0.0) -> ChainRecord:
    """The record with labels of a judge too, who errs at random and `late` more often later on."""
    rng = random.Random(f"{name} {record.chain.problem.id}")
    labels = [
        y if rng.random() >= (FALSE_ALARM if y else MISSED) + late * (k >= 2) else 1 - y
        for k, y in enumerate(record.labels[0].labels)
        if y is not None
    ]
    return record.with_labels(StepLabels(tuple(labels), name))


def judged(num: int, *names: str, late: float = 0.0, first: int = 0) -> list[ChainRecord]:
    records = toy_records(num, first=first)
    for name in names:
        records = [flipped(record, name, late) for record in records]
    return records


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


def test_the_rates_that_were_simulated_are_measured_by_position():
    table = step_table(judged(3000, "judge", late=0.1), ["judge", SOURCE])
    found = measure_noise(table, "judge", table.said_SL[:, 1])
    assert found.overall.says_right_of_wrong == pytest.approx(MISSED + 0.05, abs=0.03)
    assert found.overall.says_right_of_right == pytest.approx(0.95 - FALSE_ALARM, abs=0.03)
    early, late = found.by_position[1], found.by_position[2]
    assert (early.first, late.first) == (1, 2)
    assert early.says_right_of_wrong == pytest.approx(MISSED, abs=0.04)
    assert late.says_right_of_wrong == pytest.approx(MISSED + 0.1, abs=0.04)
    nowhere = found.by_position[-1]
    assert nowhere == replace(found.overall, first=8), "no step stands there"


def test_soft_labels_are_measured_by_their_mean():
    [record] = toy_records(1)
    truth = record.labels[0].labels
    soft = record.with_labels(StepLabels(tuple(0.8 if y else 0.3 for y in truth), "soft"))
    table = step_table([soft], ["soft", SOURCE])
    found = measure_noise(table, "soft", table.said_SL[:, 1]).overall
    num_right = sum(y or 0 for y in truth)
    expected = (0.8 * num_right + 1) / (num_right + 2)
    assert found.says_right_of_right == pytest.approx(expected)


def test_dawid_skenes_beliefs_measure_the_same_rates_without_a_truth():
    table = step_table(judged(3000, "a", "b", "c"), ["a", "b", "c", SOURCE])
    believed_S = dawid_skene(table.said_SL[:, :3]).right_S
    blind, measured = (
        measure_noise(table, "a", right_S).overall for right_S in (believed_S, table.said_SL[:, 3])
    )
    assert blind.says_right_of_wrong == pytest.approx(measured.says_right_of_wrong, abs=0.04)
    assert blind.says_right_of_right == pytest.approx(measured.says_right_of_right, abs=0.04)


def test_nothing_is_measured_without_wrong_and_right_steps_or_on_a_guesser():
    table = step_table(judged(20, "judge"), ["judge", SOURCE])
    with pytest.raises(RungError, match="no wrong or no right step"):
        measure_noise(table, "judge", np.ones(len(table.rows)))
    with pytest.raises(RungError, match="teaches nothing"):
        measure_noise(table, "judge", 1 - table.said_SL[:, 1])
    with pytest.raises(RungError, match="must rise from 0"):
        SourceNoise(TWO[0], TWO[1:])


def test_what_was_written_is_read_again(tmp_path: Path):
    path, noise = tmp_path / "noise.json", SourceNoise(TWO[0], TWO)
    write_noise(path, "expert", {"judge": noise})
    assert read_noise(path, "judge") == read_noise(path, None) == noise
    with pytest.raises(InputError, match="nothing about 'other'; the file has judge"):
        read_noise(path, "other")
    path.write_text(path.read_text().replace("0.3", "0.9"))
    with pytest.raises(InputError, match="does not say how sources err"):
        read_noise(path, "judge")


@pytest.mark.parametrize("words", [("agreement",), ("consensus", "--method", "noise-aware")])
def test_the_command_line_measures_and_trains(
    words: tuple[str, ...], tmp_path: Path, trunk: Path, capsys: pytest.CaptureFixture[str]
):
    chains, noise = tmp_path / "chains.jsonl", tmp_path / "noise.json"
    write_records(chains, judged(60, "judge"))
    label = ["label", *words, str(chains), "--trusted", SOURCE, "--noise-out", str(noise)]
    out = [] if words == ("agreement",) else ["--out", str(tmp_path / "aware.jsonl")]
    assert main([*label, *out]) == 0
    assert json.loads(noise.read_bytes())["measured_by"] == SOURCE
    train = ["train", "prm", str(chains), "--trunk", str(trunk), "--label-source", "judge"]
    train += ["--batch-tokens", "256", "--out", str(tmp_path / "prm"), "--noise"]
    assert main([*train, str(noise), "--noise-by-position"]) == 0
    told = json.loads((tmp_path / "prm" / "run.json").read_bytes())["noise"]
    assert [one["first"] for one in told] == [0, 1, 2, 3, 4, 8]
    assert "corrected for labels" in (tmp_path / "prm" / "README.md").read_text()
    capsys.readouterr()
    assert main([*train, "0.4,0.85"]) == 2
    assert "a run with other noise" in capsys.readouterr().err
    assert main([*train, "0.9,0.5"]) == 2
    assert "teaches nothing" in capsys.readouterr().err
    assert main([*train, "0.4,0.9", "--noise-by-position"]) == 2
    assert "goes with --noise FILE" in capsys.readouterr().err


def test_noise_goes_with_losses_that_have_a_probability():
    for method in (Method(loss="pqm"), Method(loss="mse"), Method(head="3-class")):
        with pytest.raises(RungError, match="no other loss has"):
            RewardTraining(kind="prm", trunk="t", method=method, noise=TWO)
    with pytest.raises(RungError, match="an ORM learns outcomes"):
        RewardTraining(kind="orm", trunk="t", noise=TWO)


@pytest.mark.parametrize("head", ["scalar", "2-class"])
def test_a_corrected_prms_scores_are_clean_where_a_plain_ones_repeat_the_noise(
    trunk: Path, tmp_path: Path, head: str
):
    records, held_out = judged(600, "judge"), toy_records(60, first=5000)
    noise = (Confusion(MISSED, 1 - FALSE_ALARM),)
    wrong: dict[str, float] = {}
    for name, known in (("plain", None), ("corrected", noise)):
        method = Method(head=head)  # type: ignore[arg-type]
        settings = RewardTraining(
            kind="prm", trunk=trunk, method=method, label_source="judge", noise=known,
            optimization=FAST,
        )  # fmt: skip
        train_reward(settings, records, [], tmp_path / name)
        scored = load_scorer(tmp_path / name).score([record.chain for record in held_out])
        labels = [(s, r.labels[0].labels) for s, r in zip(scored, held_out, strict=True)]
        pairs = [pair for s, y in labels for pair in zip(s.scores, y, strict=True)]
        wrong[name] = float(np.mean([score for score, y in pairs if score is not None and not y]))
    assert wrong["plain"] == pytest.approx(MISSED, abs=0.12)
    assert wrong["corrected"] < 0.12


def test_each_step_is_corrected_by_its_position(trunk: Path, tmp_path: Path, monkeypatch):
    seen: list[list[list[float]]] = []

    def spy(logits, labels_K, confusion_K2):
        seen.append(confusion_K2.tolist())
        return logits.sum() * 0.0

    monkeypatch.setattr(reward_module, "forward_corrected", spy)
    for trainable in ("all", "head"):
        method = Method(trainable=trainable)
        settings = RewardTraining(
            kind="prm", trunk=trunk, method=method, noise=TWO, optimization=replace(FAST, epochs=1)
        )
        report = train_reward(settings, toy_records(1), [], tmp_path / trainable, Silent())
        assert report.constant_loss is None, "the loss is not that of the labels as they stand"
    rates = [[0.3, 0.8], [0.3, 0.8], [0.1, 0.9], [0.1, 0.9]]
    assert len(seen) == 2
    for rows in seen:
        assert np.array(rows) == pytest.approx(np.array(rates))
