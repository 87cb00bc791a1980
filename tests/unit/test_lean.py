"""Lean's REPL as a checker of steps.

Most of these tests replay exchanges that the REPL's own test suite publishes (lean_recorded.json
says which); the last ones ask a real Lean where RUNG_LEAN_REPL names a command that starts one.
"""

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from rung import Chain, Problem, RungError, Verdict
from rung.verify import Findings, LeanVerifier

STAND_IN = Path(__file__).resolve().parents[1] / "lean_stand_in.py"


def proof(theorem: str, *steps: str) -> Chain:
    return Chain.of(Problem("t", "Prove it.", premises=(theorem,)), steps)


def recorded(session: str, theorem: str, *steps: str, timeout_s: float = 20.0) -> Findings:
    command = [sys.executable, str(STAND_IN), session]
    with LeanVerifier(command, timeout_s=timeout_s) as verifier:
        return verifier.check([proof(theorem, *steps)])[0]


def statuses(found: Findings) -> list[str]:
    return [step.status for step in found.steps]


def test_recorded_a_finished_proof_is_right_in_every_step():
    found = recorded("def", "def f : Nat", "have t : Nat := 42", "-- now\n", "exact t")
    assert statuses(found) == ["accepted", "no-tactic", "accepted"]
    assert found.labels == (1.0, None, 1.0)
    assert found.outcome is Verdict.CORRECT


def test_recorded_an_unfinished_proof_is_not_correct():
    found = recorded("def", "def f : Nat := by sorry", "apply Int.natAbs")
    assert found.labels == (1.0,)
    assert found.outcome is Verdict.INCORRECT


def test_recorded_a_refused_step_can_be_mended():
    found = recorded("def", "def f : Nat", "exat 42", "exact u", "have t : Nat := 42", "exact t")
    assert statuses(found) == ["refused", "in-doubt", "accepted", "accepted"]
    assert found.labels == (0.0, None, 1.0, 1.0)
    assert found.steps[0].detail == "<input>:1:1: unknown tactic"
    assert found.outcome is Verdict.CORRECT


def test_recorded_an_error_beside_a_new_state_is_an_error():
    theorem = "theorem my_theorem (x : Nat) : x = x"
    found = recorded("identifier", theorem, "exact my_fake_premise")
    assert statuses(found) == ["refused"]
    assert "Unknown identifier" in found.steps[0].detail


@pytest.mark.parametrize(
    ("session", "theorem", "step", "goal"),
    [
        ("def", "def f : Nat", "sorry", "⊢ Nat"),
        ("hole", "theorem foo (x : Int) : x = x", "have h : x = 1 := by sorry", "⊢ x = 1"),
    ],
)
def test_recorded_a_sorry_proves_nothing(session: str, theorem: str, step: str, goal: str):
    found = recorded(session, theorem, step)
    assert (statuses(found), found.labels) == (["sorry"], (None,))
    assert goal in found.steps[0].detail
    assert found.outcome is Verdict.INCORRECT


def test_recorded_lean_is_taken_out_of_the_fences():
    theorem = "theorem foo (x : Int) : x = x"
    steps = (
        "We look.",
        "Cases:\n```lean\nby_cases h : x < 0\n```",
        "```lean4\ncase pos => rfl\n```",
    )
    found = recorded("cases", theorem, *steps)
    assert statuses(found) == ["no-tactic", "accepted", "accepted"]


def test_recorded_premises_that_lean_refuses_are_a_finding_and_other_chains_go_on():
    command = [sys.executable, str(STAND_IN), "incomplete"]
    bad = Problem("t", "?", premises=("def f : Nat := by apply Nat.succ", "theorem g : f = f"))
    with LeanVerifier(command) as verifier:
        first, second = verifier.check([Chain.of(bad, ["rfl", "rfl"])] * 2)
    assert first == second and first.labels == (None, None)
    assert statuses(first) == ["no-theorem", "no-theorem"]
    assert first.steps[0].detail.startswith("Lean refuses the premises: unsolved goals")
    assert first.outcome is Verdict.UNPARSED


@pytest.mark.parametrize(
    ("tactic", "status"),
    [("hang", "timeout"), ("die", "died"), ("flood", "died"), ("garble", "died")],
)
def test_a_repl_that_is_lost_leaves_the_rest_open_and_the_next_chain_has_a_new_one(
    tactic: str, status: str
):
    command = [sys.executable, str(STAND_IN), "def"]
    chains = [
        proof("def f : Nat", "have t : Nat := 42", tactic, "exact t"),
        proof("def f : Nat", "have t : Nat := 42", "exact t"),
    ]
    start_s = time.monotonic()
    with LeanVerifier(command, timeout_s=2.0) as verifier:
        lost, next_one = verifier.check(chains)
    assert time.monotonic() - start_s < 20
    assert statuses(lost) == ["accepted", status, "unreached"]
    assert (lost.labels, lost.outcome) == ((1.0, None, None), Verdict.TIMEOUT)
    assert next_one.outcome is Verdict.CORRECT


@pytest.mark.parametrize(
    ("tactic", "status", "label"), [("slow", "timeout", None), ("kernel", "refused", 0.0)]
)
def test_leans_own_limits_are_no_verdict_and_its_kernel_is(
    tactic: str, status: str, label: float | None
):
    (step,) = recorded("def", "def f : Nat", tactic).steps
    assert (step.status, step.label) == (status, label)


def test_a_repl_that_tells_no_proof_status_is_too_old():
    with pytest.raises(RungError, match="take a newer one"):
        recorded("def", "def f : Nat", "old")


@pytest.mark.parametrize(
    "text", ["", "(" * 60_000, "\x00", '"}\n\n{"cmd": "def x := 1"}\n\n', "\n\n"]
)
def test_no_text_makes_it_raise(text: str):
    assert recorded("def", "def f : Nat", text).labels in ((0.0,), (None,))


def test_a_step_of_endless_digits_is_not_sent():
    assert statuses(recorded("def", "def f : Nat", "7" * 2**26)) == ["no-tactic"]


@pytest.mark.parametrize("command", [["no-such-command"], [sys.executable, "-c", ""]])
def test_a_command_that_starts_no_repl_is_the_users_mistake(command: list[str]):
    with LeanVerifier(command) as verifier, pytest.raises(RungError, match="Lean's REPL"):
        verifier.check([proof("def f : Nat", "exact 1")])


@pytest.fixture(scope="module")
def real_lean() -> list[str]:
    command = os.environ.get("RUNG_LEAN_REPL")
    if not command:
        pytest.skip("needs a Lean 4 toolchain: RUNG_LEAN_REPL is the command that starts its REPL")
    return shlex.split(command)


def test_real_lean_checks_proofs(real_lean: list[str]):
    theorem = "theorem t (p q : Prop) (hp : p) (hq : q) : q ∧ p"
    chains = [
        proof(theorem, "constructor", "exact hq", "exact hp"),
        proof(theorem, "constructor", "exact hp", "exact hq", "exact hp"),
        proof(theorem, "constructor\n· exact hq\n· exact hp"),
        proof(theorem, "constructor", "sorry", "exact hp"),
        proof(theorem, "intro it follows"),
    ]
    with LeanVerifier(real_lean) as verifier:
        found = verifier.check(chains)
    assert [f.outcome for f in found] == [
        Verdict.CORRECT,
        Verdict.CORRECT,
        Verdict.CORRECT,
        Verdict.INCORRECT,
        Verdict.INCORRECT,
    ]
    assert [f.labels for f in found] == [
        (1.0, 1.0, 1.0),
        (1.0, 0.0, 1.0, 1.0),
        (1.0,),
        (1.0, None, 1.0),
        (0.0,),
    ]


def test_real_lean_answers_as_recorded(real_lean: list[str]):
    with LeanVerifier(real_lean) as verifier:
        found = verifier.check(
            [proof("def f : Nat", "exat 42", "have t : Nat := 42", "exact t", "sorry")]
        )
    assert statuses(found[0])[:3] == ["refused", "accepted", "accepted"]
