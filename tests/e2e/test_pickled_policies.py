"""Policies in pickles: refused by every verb that lets one write, unless they are trusted."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, write_problems, write_records

PROBLEM = Problem("a", "What is 3 + 4?", "7")


@pytest.fixture
def folder(tiny_lm: Path, tmp_path: Path) -> Path:
    """A causal LM in a pickle, beside a problem and a chain."""
    pickled = Path(shutil.copytree(tiny_lm, tmp_path / "pickled"))
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    write_problems(tmp_path / "problems.jsonl", [PROBLEM])
    write_records(tmp_path / "chains.jsonl", [ChainRecord(Chain.of(PROBLEM, ["#### 9"]))])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("sample problems.jsonl --n 2", 2),
        ("search problems.jsonl --algorithm majority --n 2", 1),
        ("label rollout chains.jsonl --k 2", 1),
    ],
)
def test_a_pickle_is_refused_and_a_trusted_one_writes(
    words: str, rows: int, folder: Path, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    command = [*words.split(), *["--policy", "pickled", "--max-tokens", "4", "--out", "out.jsonl"]]
    assert main(command) == 2
    assert "pickled weights such as pytorch_model.bin are refused" in capsys.readouterr().err
    assert main([*command, "--trust-pickle"]) == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == rows


def test_a_judge_in_a_pickle_is_refused_and_a_trusted_one_is_opened(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = ["label", "judge", "chains.jsonl", "--model", "pickled", "--out", "out.jsonl"]
    assert main(command) == 2
    assert "pickled weights such as pytorch_model.bin are refused" in capsys.readouterr().err
    assert main([*command, "--trust-pickle"]) == 2
    assert "has no chat template" in capsys.readouterr().err, "it was opened"
