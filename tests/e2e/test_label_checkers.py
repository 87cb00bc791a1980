"""`rung label verify` for proofs, Lean and tools from end to end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rung import Chain, ChainRecord, Problem, Step, Verdict, read_records, write_records
from rung.cli.label import SLOW_WINDOW
from rung.cli.main import main
from rung.core.resume import partial_path

TESTS = Path(__file__).resolve().parents[1]


def proofs(count: int) -> list[ChainRecord]:
    return [
        ChainRecord(
            Chain.of(
                Problem(
                    f"p{k}", f"Prove x > {k}.", f"x > {k}", premises=("x: int", f"x >= {k + 2}")
                ),
                [f"x > {k + 1}", f"x > {k + 1 + k % 2}", f"x > {k}"],
            )
        )
        for k in range(count)
    ]


def verify(source: Path, out: Path, *options: object) -> int:
    return main(["label", "verify", str(source), "--out", str(out), "--json", *map(str, options)])


def summary_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "in.jsonl"


def test_proofs_get_labels_outcomes_and_reasons(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.parquet"
    write_records(source, [*proofs(2), ChainRecord(Chain.of(Problem("n", "Why?"), ["Because."]))])
    assert verify(source, out, "--verifier", "proof", "--workers", 1) == 0
    summary = summary_of(capsys)
    assert summary["outcomes"] == {"correct": 2, "unchecked": 1}
    assert summary["labels"] == {"proof": {"right": 5, "wrong": 1}}
    assert summary["findings"] == {"proof": {"does-not-follow": 1, "follows": 5}}
    assert summary["wrong"] == ["proof: p1, step 2: does-not-follow: x = 3"]
    first, second, third = read_records(out)
    assert (first.outcome, third.outcome) == (Verdict.CORRECT, None)
    assert second.labels[0].labels == (1.0, 0.0, 1.0)
    assert second.meta["proof"] == ["follows", "does-not-follow: x = 3", "follows"]
    assert third.labels == ()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # the second window takes as long as Z3 is given for what it can't do
    cubes = Problem("c", "?", premises=("x, y, z: int",))
    endless = Chain.of(cubes, ["x*x*x + y*y*y + z*z*z != 114"])
    write_records(source, [*proofs(4) * (SLOW_WINDOW // 4), ChainRecord(endless)])
    command = ["label", "verify", str(source)]
    command += ["--verifier", "proof", "--workers", "1", "--timeout-s", "3", "--out"]
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    assert main([*command, str(whole)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "rung.cli.main", *command, str(broken)], stderr=subprocess.DEVNULL
    )
    partial, deadline_s = partial_path(broken), time.monotonic() + 60
    while time.monotonic() < deadline_s:
        if partial.exists() and partial.read_bytes().count(b"\n") > 1:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not broken.exists()
    assert main([*command, str(broken)]) == 0
    assert "going on after the" in capsys.readouterr().err
    assert broken.read_bytes() == whole.read_bytes()
    *_, last = read_records(broken)
    assert last.labels[0].labels == (None,)
    assert "timeout" in last.meta["proof"][0]


def test_premises_that_cannot_be_read_are_named_with_their_file_and_nothing_is_left(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bad = Problem("bad", "?", premises=("x >= 1", "x and"))
    write_records(source, [*proofs(1), ChainRecord(Chain.of(bad, ["x > 0"]))])
    assert verify(source, tmp_path / "out.jsonl", "--verifier", "proof") == 2
    said = capsys.readouterr().err
    assert f"{source}: chain 2: problem 'bad', premise 2: expected a formula at character 6" in said
    assert list(tmp_path.iterdir()) == [source]


def test_chains_whose_premises_cannot_be_read_are_left_out_on_request(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ours = Problem("ours", "?", premises=("x >= 1", "x and"))
    z3s = Problem("z3s", "?", premises=("(=> p (> x 0))",))
    bad = [ChainRecord(Chain.of(problem, ["x > 0"])) for problem in (ours, z3s)]
    write_records(source, [*bad, *proofs(2)])
    assert verify(source, tmp_path / "out.jsonl", "--verifier", "proof") == 2
    command = ["--verifier", "proof", "--skip-bad", "--json"]
    assert verify(source, tmp_path / "out.jsonl", *command) == 0
    told = capsys.readouterr()
    summary = json.loads(told.out)
    assert (summary["rows"], summary["skipped_rows"]) == (2, 2)
    assert "chain 1: problem 'ours', premise 2: expected a formula at character 6" in told.err
    assert "chain 2: problem 'z3s': Z3 can't read a premise: line" in told.err
    assert [r.chain for r in read_records(tmp_path / "out.jsonl")] == [r.chain for r in proofs(2)]


def test_lean_checks_each_tactic(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    problem = Problem("f", "Give a number.", premises=("def f : Nat",))
    steps = ["exat 42", "have t : Nat := 42", "exact t"]
    write_records(source, [ChainRecord(Chain.of(problem, steps))])
    lean = shlex.join(
        [sys.executable, str(TESTS / "lean_stand_in.py"), "def"]
    )  # replayed, not Lean
    out = tmp_path / "out.jsonl"
    assert verify(source, out, "--verifier", "lean", "--lean", lean) == 0
    assert summary_of(capsys)["findings"] == {"lean": {"accepted": 2, "refused": 1}}
    (record,) = read_records(out)
    assert record.labels[0].labels == (0.0, 1.0, 1.0)
    assert record.outcome is Verdict.CORRECT


@pytest.fixture
def agent(source: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(TESTS)
    call = '{"name": "price", "arguments": {"fruit": "%s"}}'
    steps = (
        Step(call % "plum", observation="KeyError: 'plum'"),
        Step(call % "apple", observation='{"fruit": "apple", "price": 0.5}'),
        Step("An apple costs 0.5."),
    )
    chain = Chain(Problem("a", "What does an apple cost?", "0.5"), steps, answer="0.5")
    write_records(source, [ChainRecord(chain, outcome=Verdict.CORRECT)])
    return source


def test_calls_are_replayed_and_the_outcome_is_left_alone(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.jsonl"
    tool = ["--tool", "price=agent_tools:price"]
    assert verify(agent, out, "--verifier", "tools", *tool) == 0
    assert summary_of(capsys)["findings"] == {"tools": {"failed": 1, "no-call": 1, "replayed": 1}}
    (record,) = read_records(out)
    assert record.labels[0].labels == (0.0, 1.0, None)
    assert record.outcome is Verdict.CORRECT
    assert verify(agent, out, "--verifier", "tools", *tool) == 0
    assert "made from the same" not in capsys.readouterr().err, "the tool may be another by now"


def test_calls_are_held_against_schemas(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    schema = tmp_path / "schema.json"
    schema.write_text('{"observations": {"price": {"type": "object"}}}')
    out = tmp_path / "out.jsonl"
    assert verify(agent, out, "--verifier", "tools", "--tool-schema", schema) == 0
    summary = summary_of(capsys)
    assert summary["findings"]["tools"] == {"breaks-schema": 1, "fits-schema": 1, "no-call": 1}
    assert "is not of type 'object'" in summary["wrong"][0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["tools", "--tool", "price"], "expected NAME=MODULE:FUNCTION"),
        (["tools", "--tool", "price=agent_tools"], "expected module:function"),
        (["tools", "--tool", "price=agent_tools:prize"], "no attribute 'prize'"),
        (["tools", "--tool-schema", "no.json"], "no.json"),
        (["proof", "--timeout-s", "0"], "expected more than 0"),
        (["lean", "--lean", "'"], "--lean is no command"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_leaves_nothing(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    assert verify(agent, tmp_path / "out.jsonl", "--verifier", *options) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [agent]


def test_without_z3_it_says_what_to_install(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    write_records(source, proofs(1))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert verify(source, tmp_path / "out.jsonl", "--verifier", "proof") == 2
    assert "pip install 'rung[verify]'" in capsys.readouterr().err
