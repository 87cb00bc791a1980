"""`rung label verify --verifier code` from end to end."""

import json
from pathlib import Path

import pytest

from rung import Chain, ChainRecord, Problem, RungError, read_records, write_records
from rung.cli.main import main
from rung.verify.bubblewrap import BubblewrapSandbox
from rung.verify.sandlock_box import SandlockSandbox


@pytest.fixture
def programs(tmp_path: Path) -> list[str]:
    problem = Problem("d", "Double it.", tests=("assert double(2) == 4",))
    chains = [Chain.of(problem, [f"def double(x):\n    return x {how}"]) for how in ("+ x", "** x")]
    chains.append(Chain.of(problem, ["import math", "def double(x):\n    return x + 1"]))
    chains.append(Chain.of(Problem("n", "No tests."), ["Words."]))
    write_records(tmp_path / "in.jsonl", map(ChainRecord, chains))
    out = str(tmp_path / "out.jsonl")
    return ["label", "verify", str(tmp_path / "in.jsonl"), "--verifier", "code", "--out", out]


def test_outcomes_and_the_failing_step_are_put_on_the_records(
    programs: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main([*programs, "--unsafe-local", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["outcomes"] == {"correct": 2, "incorrect": 1, "unchecked": 1}
    assert summary["labels"] == {"code": {"right": 2, "unjudged": 1, "wrong": 1}}
    passing, *_, failing, untested = read_records(programs[-1])
    assert failing.labels[0].labels == (None, 0.0)
    assert untested.labels == ()
    assert passing.meta["code_tests"] == [{"test": 1, "status": "passed", "line": 2, "step": 1}]
    [told] = failing.meta["code_tests"]
    said = {"status": "failed", "message": "AssertionError", "line": 3, "step": 2}
    assert told == {"test": 1, **said}
    assert "code_tests" not in untested.meta
    assert summary["wrong"] == ["code: d, step 2: test 1: failed, line 3: AssertionError"]


def test_what_cannot_be_loaded_is_told_before_the_tests(tmp_path: Path):
    chain = Chain.of(Problem("d", "Double it.", tests=("assert double(2) == 4",)), ["def double("])
    write_records(tmp_path / "in.jsonl", [ChainRecord(chain)])
    command = ["label", "verify", str(tmp_path / "in.jsonl"), "--verifier", "code"]
    assert main([*command, "--out", str(tmp_path / "out.jsonl"), "--unsafe-local"]) == 0
    [record] = read_records(tmp_path / "out.jsonl")
    load, test = record.meta["code_tests"]
    assert (load["test"], load["status"], load["line"]) == (None, "raised", 1)
    assert load["message"].startswith("SyntaxError")
    assert test == {"test": 1, "status": "unrun"}


def test_without_a_sandbox_it_refuses_and_leaves_nothing(
    programs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def missing() -> None:
        raise RungError("it is not there")

    monkeypatch.setattr(BubblewrapSandbox, "found", missing)
    monkeypatch.setattr(SandlockSandbox, "found", missing)
    assert main(programs) == 2
    assert "apt-get install bubblewrap" in capsys.readouterr().err
    assert not Path(programs[-1]).exists()
