"""`rung calibrate` and `rung score --calibrated` as a person uses them."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import TinyReward
from rung import ChainRecord, StepScores, read_records
from rung.cli.main import main
from rung.core.codec import encode_record
from rung.score import load_scorer
from toy_chains import toy_records

RECORDS = toy_records(40)
FEW = ("--resamples", "20")


@pytest.fixture
def prm(tiny_reward: TinyReward, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_reward("prm"), tmp_path / "prm"))


def write(path: Path, records: Sequence[ChainRecord]) -> Path:
    path.write_bytes(b"".join(map(encode_record, records)))
    return path


def rung(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    assert main([*map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def sentence(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(list(map(str, argv))) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_chains_are_scored_where_they_must_be_and_the_maps_are_the_same(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    plain, scored = write(tmp_path / "in.jsonl", RECORDS), tmp_path / "scored.jsonl"
    first = rung(capsys, "calibrate", plain, "--scorer", prm, *FEW)
    maps = (prm / "calibration.json").read_bytes()
    rung(capsys, "score", plain, "--scorer", prm, "--out", scored)
    mixed = [*read_records(scored)][:25] + RECORDS[25:]
    assert rung(capsys, "calibrate", scored, "--scorer", prm, *FEW) == first
    assert (prm / "calibration.json").read_bytes() == maps
    again = rung(
        capsys, "calibrate", write(tmp_path / "mixed.jsonl", mixed), "--scorer", prm, *FEW
    )  # scores in other batches are rounded otherwise
    assert again["temperature"] == pytest.approx(first["temperature"], rel=1e-4)
    assert first["out"] == str(prm / "calibration.json")
    assert first["fitted"]["num_problems"] == first["measured"]["num_problems"] == 20
    for one in (first["before"], *first["after"].values()):
        for number in ("ece", "brier", "log_loss"):
            assert one[number]["low"] <= one[number]["high"]


def test_calibration_helps_scores_that_are_sure_of_too_much(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    chains = write(tmp_path / "in.jsonl", toy_records(120))
    found = rung(capsys, "calibrate", chains, "--scorer", prm, *FEW)
    for after in found["after"].values():
        assert after["log_loss"]["value"] < found["before"]["log_loss"]["value"]
        assert after["ece"]["value"] < found["before"]["ece"]["value"]


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibrated_scores_are_those_of_the_map_beside_the_raw_ones(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
):
    plain, raw, both = (tmp_path / f"{name}.jsonl" for name in ("plain", "raw", "both"))
    write(plain, RECORDS)
    rung(capsys, "calibrate", plain, "--scorer", prm, *FEW)
    rung(capsys, "score", plain, "--scorer", prm, "--out", raw)
    said = rung(capsys, "score", raw, "--scorer", prm, "--calibrated", method, "--out", both)
    assert [one["scorer"] for one in said["scorers"]] == [f"prm+{method}"]
    from rung.score.calibration import load_maps

    mapped = load_maps(prm, load_scorer(prm).weights_hash).by(method)  # type: ignore[arg-type]
    for record in read_records(both):
        assert [scores.scorer for scores in record.scores] == ["prm", f"prm+{method}"]
        expected = mapped(record.scores[0].known).tolist()
        assert list(record.scores[1].known) == pytest.approx(expected, abs=1e-5)


def test_the_diagrams_are_drawn(prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    chains, plot = write(tmp_path / "in.jsonl", RECORDS), tmp_path / "made" / "plot.svg"
    assert main(["calibrate", str(chains), "--scorer", str(prm), *FEW, "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "measured on 80 steps of 20 others" in shown
    assert all(name in shown for name in ("raw scores", "temperature", "isotonic"))
    drawn = plot.read_text()
    assert drawn.startswith("<svg xmlns=")
    assert drawn.count("<svg ") == 1
    assert all(f"{name}: ECE 0." in drawn for name in ("raw scores", "temperature", "isotonic"))


def test_an_orm_is_calibrated_to_the_verdicts(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    orm = Path(shutil.copytree(tiny_reward("orm"), tmp_path / "orm"))
    found = rung(capsys, "calibrate", write(tmp_path / "in.jsonl", RECORDS), "--scorer", orm, *FEW)
    assert found["label_source"] == "outcome"
    assert found["fitted"]["num_steps"] + found["measured"]["num_steps"] == len(RECORDS)


def test_scores_of_other_weights_are_refused(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    foreign = StepScores((0.5,) * 4, "prm", "0123")
    chains = write(tmp_path / "in.jsonl", [r.with_scores(foreign) for r in RECORDS])
    said = sentence(capsys, "calibrate", chains, "--scorer", prm)
    assert "of other weights (0123; the checkpoint's are" in said
    assert not (prm / "calibration.json").exists()
    rung(capsys, "calibrate", chains, "--scorer", f"new={prm}", *FEW)
    assert (prm / "calibration.json").exists()


def test_what_cannot_be_calibrated_is_one_sentence(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def said(records: Sequence[ChainRecord], *options: object) -> str:
        chains = write(tmp_path / "in.jsonl", records)
        return sentence(capsys, "calibrate", chains, "--scorer", prm, *options)

    bare = [ChainRecord(record.chain) for record in RECORDS]
    assert "the chains have no labels; 'rung label' makes them" in said(bare)
    assert "no labels from 'human'" in said(RECORDS, "--label-source", "human")
    assert "needs two problems or more" in said(RECORDS[:1])
    assert "--resamples" in said(RECORDS, "--resamples", 0)
    chains = tmp_path / "in.jsonl"
    assert "a server does not show" in sentence(
        capsys, "calibrate", chains, "--scorer", f"{prm}@http://localhost:1"
    )
    assert not (prm / "calibration.json").exists()


def test_bad_rows_are_refused_or_left_out_and_counted(
    prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    chains = write(tmp_path / "in.jsonl", RECORDS)
    chains.write_bytes(chains.read_bytes() + b"{half\n")
    argv = ["calibrate", chains, "--scorer", prm, *FEW]
    assert f"{chains}, line 41" in sentence(capsys, *argv)
    assert not (prm / "calibration.json").exists()
    assert rung(capsys, *argv, "--skip-bad")["skipped_rows"] == 1


def test_maps_that_are_missing_or_of_other_weights_are_refused(
    prm: Path, tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    chains, out = write(tmp_path / "in.jsonl", RECORDS), tmp_path / "out.jsonl"
    argv = ["score", chains, "--scorer", prm, "--calibrated", "temperature", "--out", out]
    assert f"{prm}: the checkpoint lacks calibration.json; 'rung calibrate'" in sentence(
        capsys, *argv
    )
    rung(capsys, "calibrate", chains, "--scorer", prm, *FEW)
    shutil.copy(tiny_reward("orm") / "model.safetensors", prm)
    weights = (prm / "model.safetensors").read_bytes()
    (prm / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    assert "fitted to the weights" in sentence(capsys, *argv)
    assert not out.exists()
