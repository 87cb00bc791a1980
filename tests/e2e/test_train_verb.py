"""`rung train` as a user runs it: killed anywhere, run again, broken input."""

import json
import random
import shutil
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from processes import kill, start_rung
from rung.cli.main import main
from rung.core.codec import encode_record, write_records
from rung.model import load_reward_model
from toy_chains import make_toy_trunk, toy_records

OPTIONS = [
    *("--lr", "3e-3", "--batch-tokens", "128", "--epochs", "2", "--patience", "0"),
    *("--evaluate-every", "5", "--save-every", "3", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_toy_trunk(folder / "trunk")
    write_records(folder / "chains.jsonl", toy_records(120))
    return folder


def command(inputs: Path, out: Path, verb: str = "prm") -> list[str]:
    chains, trunk = str(inputs / "chains.jsonl"), str(inputs / "trunk")
    return ["train", verb, chains, "--trunk", trunk, "--out", str(out), *OPTIONS]


def wait_for(is_there, process: ForkServerProcess) -> None:
    while process.is_alive() and not is_there():
        time.sleep(0.002)


def num_steps(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return metrics.read_bytes().count(b'"loss"') if metrics.exists() else 0


def test_killed_anywhere_and_run_again_it_ends_with_the_same_weights(inputs, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(command(inputs, whole)) == 0
    total = num_steps(whole)
    assert total > 30
    rng = random.Random(0)
    kills = 0
    for step in sorted(rng.sample(range(1, total), 2)):
        process = start_rung(command(inputs, killed))
        wait_for(lambda step=step: num_steps(killed) >= step, process)
        time.sleep(rng.random() * 0.02)
        kills += process.is_alive()
        kill(process)
    assert kills >= 1
    assert not (killed / "training.json").exists()
    # once more while the results are being put in place
    process = start_rung(command(inputs, killed))
    wait_for(lambda: (killed / ".writing").exists(), process)
    kill(process)
    assert main(command(inputs, killed)) == 0
    expected = load_file(whole / "model.safetensors")
    weights = load_file(killed / "model.safetensors")
    assert expected.keys() == weights.keys()
    assert all(expected[name].equal(weights[name]) for name in expected)
    assert {p.name for p in killed.iterdir()} == {p.name for p in whole.iterdir()}
    strip = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in file]
        for out in (whole, killed)
        for file in [(out / "metrics.jsonl").read_text().splitlines()]
    ]
    assert strip[0] == strip[1]


def test_the_result_is_json_and_says_where_the_labels_went(inputs, tmp_path, capsys):
    assert main([*command(inputs, tmp_path / "orm", "orm"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["out"] == str(tmp_path / "orm")
    assert result["train"]["chains"] + result["validation"]["chains"] == 120
    assert result["train"]["targets"] == result["train"]["chains"]
    assert load_reward_model(tmp_path / "orm").reading.kind == "orm"
    assert main([*command(inputs, tmp_path / "orm", "orm"), "--json"]) == 0
    done = capsys.readouterr()
    assert json.loads(done.out) == result
    assert "has ended before" in done.err


def test_the_table_shows_what_was_lost(inputs, tmp_path, capsys):
    options = ["--max-tokens", "24", "--validation-fraction", "0"]
    assert main([*command(inputs, tmp_path / "prm"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    lost = next(line for line in lines if line.startswith("labels lost beyond the context"))
    assert int(lost.split()[-2]) > 0
    assert lost.split()[-1] == "-"


def test_a_policy_is_trained_on_its_own_validation_file(inputs, tmp_path, capsys):
    write_records(tmp_path / "held.jsonl", toy_records(10, first=500))
    options = ["--validation", str(tmp_path / "held.jsonl"), "--json"]
    assert main([*command(inputs, tmp_path / "policy", "policy"), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["train"]["chains"], result["validation"]["chains"]) == (120, 10)
    assert (tmp_path / "policy" / "generation_config.json").exists()


def test_method_and_head_are_options(inputs, tmp_path, capsys):
    options = ["--head", "tokens", "--label-words", " good", " bad", "--lora", "2", "--epochs", "1"]
    assert main([*command(inputs, tmp_path / "prm"), *options, "--json"]) == 0
    reading = load_reward_model(tmp_path / "prm").reading
    assert (reading.head, reading.label_words) == ("tokens", (" good", " bad"))
    assert json.loads((tmp_path / "prm" / "run.json").read_text())["lora"] == 2
    capsys.readouterr()


def test_an_implicit_prm_is_trained_on_outcomes_and_scores_every_step(inputs, tmp_path, capsys):
    options = ["--coefficient", "0.2", "--epochs", "1", "--json"]
    assert main([*command(inputs, tmp_path / "implicit", "implicit"), *options]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["train"]["targets"] == trained["train"]["chains"]
    scored = tmp_path / "scored.jsonl"
    args = ["score", str(inputs / "chains.jsonl"), "--scorer", str(tmp_path / "implicit")]
    assert main([*args, "--out", str(scored), "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)["scorers"]
    assert (told["kind"], told["family"], told["scored"]) == ("prm", "implicit", told["steps"])
    assert main([*args, "--out", str(scored)]) == 0
    assert "implicit" in capsys.readouterr().out


@pytest.fixture(scope="module")
def pickled(inputs):
    folder = shutil.copytree(inputs / "trunk", inputs / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("verb", ["prm", "orm", "implicit", "policy"])
def test_a_pickled_trunk_is_trained_where_it_is_trusted(inputs, pickled, tmp_path, capsys, verb):
    chains = tmp_path / "chains.jsonl"
    write_records(chains, toy_records(6))
    words = ["train", verb, str(chains), "--validation-fraction", "0", "--device", "cpu"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    here = [*words, "--trunk", str(pickled), "--out", str(out)]
    assert main(here) == 2
    assert "rung train and rung rl open pytorch_model.bin with --trust" in capsys.readouterr().err
    assert not out.exists() and main([*here, "--trust-pickle"]) == 0
    assert main([*words, "--trunk", str(inputs / "trunk"), "--out", str(whole)]) == 0
    for weights in whole.rglob("*.safetensors"):
        ours, theirs = load_file(out / weights.relative_to(whole)), load_file(weights)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("verb", ["prm", "orm", "implicit", "policy"])
def test_a_broken_line_is_refused_and_leaves_nothing(inputs, tmp_path, capsys, verb):
    rows = [encode_record(record) for record in toy_records(4)]
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"".join(rows) + rows[0][:-30])
    args = ["train", verb, str(bad), "--trunk", str(inputs / "trunk"), "--out"]
    assert main([*args, str(tmp_path / "out")]) == 2
    assert f"{bad}, line 5: this is not valid JSON" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_mistakes_are_one_sentence(inputs, tmp_path, capsys):
    chains, trunk, out = inputs / "chains.jsonl", inputs / "trunk", tmp_path / "out"

    def said(*args: object) -> str:
        assert main(["train", *map(str, args)]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    base = (chains, "--trunk", trunk, "--out", out)
    assert "nowhere: there is no such folder" in said(
        "prm", chains, "--trunk", tmp_path / "nowhere", "--out", out
    )
    assert "no chain has labels from 'me'" in said("prm", *base, "--label-source", "me")
    assert "trainable is all, head or last:1 to last:2" in said(
        "prm", *base, "--trainable", "last:9"
    )
    assert "a 2-class head learns by ce, not by bce" in said(
        "prm", *base, "--head", "2-class", "--loss", "bce"
    )
    assert "pqm ranks the steps of one chain" in said("orm", *base, "--loss", "pqm")
    assert "the label word 'perhaps' is" in said(
        "prm", *base, "--head", "tokens", "--label-words", "perhaps", "-"
    )
    assert "it can't go with 'last:1'" in said("prm", *base, "--lora", 4, "--trainable", "last:1")
    assert "the device 'abacus' can't be used" in said("prm", *base, "--device", "abacus")
    assert "the held-out fraction is 2.0" in said("prm", *base, "--validation-fraction", 2)
    assert "nothing to train on" in said("prm", "--trunk", trunk, "--out", out)
    assert not out.exists()
