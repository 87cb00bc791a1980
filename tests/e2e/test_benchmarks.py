"""The benchmarks run from end to end at toy size, without the programs they compare with."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from needed import missing
from scripts import module_of, run_script

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RAW = "prm800k_raw_examples.jsonl"


def module(name: str) -> ModuleType:
    return module_of(BENCHMARKS, name)


def run(name: str, *options: object) -> str:
    return run_script(BENCHMARKS / f"{name}.py", *options).out


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose tokenizer knows the words of the sampled chains."""
    from rung.core import read_records
    from rung.model.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "trunk"
    records = list(read_records(BENCHMARKS / "data" / "smollm2_chains.jsonl.gz"))
    texts = [text for record in records for text in record.chain.texts]
    make_tiny(folder, texts, seed=0, width=16, max_tokens=4096)
    return folder


def test_scoring_runs_each_distinct_token_once_and_says_what_padding_says(
    trunk: Path, shared_data: Path, tmp_path: Path
):
    options = ["--trunk", trunk, "--data", shared_data, "--out", tmp_path, "--precision", "fp32"]
    options += ["--chains", 5, "--steps", 3, "--beams", 4, "--rounds", 1, "--without-peers"]
    said = run("score_tree", *options)
    cells = [[cell.strip() for cell in line.split("|")] for line in said.splitlines()]
    told = {row[1]: row[2:] for row in cells if len(row) > 3}
    for workload in ("best-of-N", "beam search", "unrelated"):
        assert told[f"{workload}: tokens run / distinct"][0] == "1.000"
    for workload in ("best-of-N", "unrelated"):
        assert told[f"{workload}, padded"][4] == "0.000"
    assert "best-of-N: padded / rung" in told


def test_training_counts_the_same_labels_with_and_without_sharing(
    trunk: Path, shared_data: Path, tmp_path: Path
):
    options = ["--trunk", trunk, "--data", shared_data, "--out", tmp_path, "--precision", "fp32"]
    said = run("train", *options, "--chains", 8, "--rows", 1, "--rounds", 1, "--without-peers")
    assert "| rows with alternatives: rung / rung without sharing |" in said


def test_writing_is_timed_beside_generate(trunk: Path):
    sizes = ["--questions", 2, "--n", 4, "--steps", 2, "--max-tokens", 6, "--rounds", 2]
    said = run("writing", "--policy", trunk, *sizes)
    assert [line.split("|")[1].strip() for line in said.splitlines()[2:4]] == [
        "whole chains",
        "a beam's steps",
    ]


def test_all_ways_of_attention_give_one_result(trunk: Path, shared_data: Path):
    options = ["--trunk", trunk, "--data", shared_data, "--tokens", 200, "--no-flex"]
    said = run("attention", *options, "--rounds", 1)
    rows = [line.split("|")[1:-1] for line in said.splitlines() if "tokens |" in line]
    assert len(rows) == 20
    assert all(float(row[-1]) < 1e-5 for row in rows)


def test_a_compiled_model_is_timed_beside_the_plain_one(trunk: Path, shared_data: Path):
    sizes = ["--trunk", trunk, "--data", shared_data, "--batches", 1, "--rounds", 1]
    said = run("compiled", *sizes, "--compiled", "nothing")
    assert "| nothing | scoring |" in said and "| nothing | training |" in said


def test_curves_are_told_step_by_step_with_the_largest_difference():
    said = module("curves").shown([2.0, 1.5], [2.0, 1.25])
    assert "| 2 | 1.500000 | 1.250000 | 2.5e-01 |" in said
    assert said.endswith("At most 2.5e-01 apart in 2 steps.")


def test_policy_and_scorer_are_timed_at_once_and_in_turn(trunk: Path, tmp_path: Path):
    names = ("num_demonstrations", "train_problems", "validation_problems", "test_problems")
    lab = {"num_steps": 2, "largest": 9}
    settings = {"lab": lab, "seed": 0, **dict.fromkeys(names, 1)}
    (tmp_path / "stages.json").write_text(json.dumps({"settings": settings}))
    (tmp_path / "policy").symlink_to(trunk)
    sizes = ["--problems", 4, "--n", 4, "--batch", 4, "--rounds", 1, "--width", 16, "--layers", 1]
    said = run("overlap", "--quickstart", tmp_path, *sizes)
    [at_once, in_turn] = [line.split("|") for line in said.splitlines()[2:4]]
    assert at_once[1].strip() == "at once" and in_turn[1].strip() == "in turn"
    assert "(at least 1.5)" in at_once[5] and "No order of work could gain more than" in said


def test_verdicts_do_not_depend_on_the_number_of_processes(shared_data: Path):
    options = ["--data", shared_data, "--steps", 1000, "--equations", 10, "--rounds", 1]
    said = run("verify_arithmetic", *options)
    assert "| 2 | 1000 |" in said
    assert "| math-verify |" in said


def test_a_missing_peer_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
):
    from rung.core import RungError

    peer = module("common").Peer("Peer", "peer.py", "RUNG_PEER_PYTHON", "no_such_peer", "peer==1")
    for python in ("", sys.executable):
        monkeypatch.setenv("RUNG_PEER_PYTHON", python)
        with pytest.raises(RungError, match="pip install peer==1' and set RUNG_PEER_PYTHON="):
            peer.python()


def test_rows_with_alternatives_are_flattened_to_a_chain_for_each(shared_data: Path):
    rows = module("rows")
    (problem, *_) = rows._by_problem(shared_data / RAW)
    assert len(problem) == 10
    assert all(len(row["labels"]) == len(row["completions"]) for row in problem)
    beginnings = {tuple(row["completions"][:1]) for row in problem}
    assert len(beginnings) == 1


def test_publishing_again_replaces_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    common = module("common")
    monkeypatch.setattr(common, "HERE", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- train: begin -->\nold\n<!-- train: end -->\nafter\n")
    for value in (1, 2):
        common.publish("train", f"| {value} |")
    expected = "before\n<!-- train: begin -->\n| 2 |\n<!-- train: end -->\nafter\n"
    assert readme.read_text() == expected


def test_a_bundle_opens_and_scrolls(web: Path, shared_data: Path):
    if shutil.which("chromium") is None:
        missing("chromium")
    options = ["--chains", "60", "--rounds", "1", "--frames", "10", "--data", str(shared_data)]
    command = [sys.executable, str(BENCHMARKS / "bundle.py"), *options]
    # a process of its own: in this one there may be a browser of other tests
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    for what in ("the list of chains, painted after", "a chain by its link, painted after"):
        assert re.search(rf"{what} \| \d+\.\d+ ", said)


def test_people_rate_while_the_server_is_killed_and_nothing_is_lost(shared_data: Path):
    options = ["--stores", "SQLite", "--raters", 3, "--chains", 40, "--seconds", 4]
    said = run("rating", *options, "--pause-s", 0.02, "--kills", 1, "--data", shared_data)
    rows = re.findall(r"\| SQLite \| (\d) \| (\d+) \|.*?\| (\d+) \| 0 \| 0 \| 0 \|", said)
    assert [kills for kills, *_ in rows] == ["0", "1"]
    assert all(int(ratings) > 0 for _, ratings, _ in rows)


def test_serving_loses_nothing_and_leaves_nothing(shared_data: Path):
    sizes = ["--clients", 6, "--chains", 2, "--width", 16, "--layers", 1]
    sizes += ["--rounds", 1, "--waves", 1, "--idle-s", 1]
    said = run("serve", *sizes, "--data", shared_data)
    assert "Of 6 requests 0 answers were lost; scores are at most " in said
    [wave] = [line.split("|")[2:-2] for line in said.splitlines() if line.startswith("| 1 |")]
    assert [cell.strip() for cell in wave] == ["3 of 3", "3", "0", "0", "0", "0"]
