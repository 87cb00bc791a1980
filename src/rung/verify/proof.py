"""Proofs as a verifier: does each step follow from the premises and the steps before it?

The problem's `premises` are formulas (`rung.verify.theory`), each step states one
(`rung.verify.claims`), and Z3 (https://github.com/Z3Prover/z3) says whether the premises and the
earlier right steps can be true while the step is false. A step may leap: whatever follows is
right, however far. An infix name of a function means what the premises say of it, and a quotient
by zero is any number, as in SMT-LIB.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from threading import Lock

import msgspec

from rung.core import Chain, MissingExtraError, Problem, RungError, Verdict
from rung.verify.claims import claim_of
from rung.verify.findings import Finding, Findings
from rung.verify.sorts import Signature
from rung.verify.theory import Statement, Theory, read_premises, script
from rung.verify.workers import Closing, WorkerPool
from rung.verify.z3_worker import Answer

TIMEOUT_S = 5.0
"""Seconds that Z3 has for one question."""
KILL_S = 1.0
"""How much longer a process that does not keep to it lives."""
MAX_KEPT = 10_000
"""Answers kept for questions that come again: chains share steps."""


class ProofVerifier(Closing):
    """Checks proofs step by step: a `StepChecker`, and a `Verifier` of whole proofs.

    Steps are judged so (label in brackets):

    - follows (1): from the premises and the earlier steps that follow.
    - does-not-follow (0): with a counterexample, in which premises and right steps are true and
      the step is false. The step is then no help to later ones.
    - in-doubt (None): it follows only if earlier steps are taken for true that are wrong,
      undecided or in doubt themselves; or an earlier step could not be read. Behind a step that
      contradicts the premises this is so of every step that does not follow without it.
    - timeout, unknown (None): Z3 did not come back in time, or does not know.
    - unparsed (None): the step is no formula.
    - premises-contradict (None): everything would follow.

    So a chain that errs can go on: what later steps prove without the wrong one is right again.

    The outcome, where the problem's `answer` is a formula: CORRECT if the last step follows and
    says the answer by itself; INCORRECT if it does not say it, does not follow, or builds on a
    step that does not; UNPARSED or TIMEOUT if that can't be told. Without such an answer: none.

    Args:
        workers: Processes at once; by default one a core, at most 4.
        timeout_s: Seconds for one question. What does not keep to it is killed a second later.

    Raises:
        MissingExtraError: Z3 is not installed.
    """

    def __init__(self, *, workers: int | None = None, timeout_s: float = TIMEOUT_S) -> None:
        _require_z3()
        size = workers or min(4, os.cpu_count() or 1)
        self._timeout_s = timeout_s
        self._pool = WorkerPool("rung.verify.z3_worker", size, timeout_s + KILL_S, [str(timeout_s)])
        self._kept: dict[bytes, Answer] = {}
        self._lock = Lock()
        weakref.finalize(self, self._pool.close)

    def close(self) -> None:
        """End the processes; new ones start if it is used again."""
        self._pool.close()

    def can_check(self, chain: Chain) -> bool:
        """Whether the problem has premises."""
        return chain.problem.premises is not None

    def read_premises(self, problem: Problem) -> Theory:
        """The problem's premises; Z3 is asked where it has to read what we can't.

        Raises:
            RungError: There are none, or one can't be read.
        """
        theory = theory_of(problem)
        if theory.is_z3s:
            # with "false" there is nothing to find out, so that this is only read
            asked = self._ask(script(theory.names, (*theory.premises, "false")))
            if asked.said == "error":
                raise RungError(f"problem {problem.id!r}: Z3 can't read a premise: {asked.detail}")
        return theory

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain, in order; UNPARSED where the problem's answer is no formula.

        Raises:
            RungError: As `check`.
        """
        return [found.outcome or Verdict.UNPARSED for found in self.check(chains)]

    def check(self, chains: Sequence[Chain]) -> list[Findings]:
        """One `Findings` a chain, in order.

        Raises:
            RungError: A problem's premises are missing or can't be read, or Z3 does not start.
        """
        problems = dict.fromkeys(chain.problem for chain in chains)
        with ThreadPoolExecutor(self._pool.size) as threads:
            theories = dict(zip(problems, threads.map(self.read_premises, problems), strict=True))
            jobs = [threads.submit(self._check, c, theories[c.problem]) for c in chains]
            return [job.result() for job in jobs]

    def _check(self, chain: Chain, theory: Theory) -> Findings:
        asked = self._ask(script(theory.names, theory.premises))
        if asked.said == "unsat":
            detail = "the premises contradict each other, so every step would follow"
            steps = (Finding("premises-contradict", None, detail),) * len(chain.steps)
            return Findings(steps, None)
        state = _State(theory)
        steps = tuple(self._step(state, text) for text in chain.texts)
        return Findings(steps, self._outcome(state, chain.problem, steps))

    def _step(self, state: _State, text: str) -> Finding:
        try:
            claim = state.theory.read(claim_of(text))
        except ValueError as error:
            state.has_unread = True
            return Finding("unparsed", None, str(error))
        finding = self._judge(state, claim)
        if finding.status == "unparsed":
            state.has_unread = True
        else:
            state.take(claim, is_right=finding.label == 1)
        return finding

    def _judge(self, state: _State, claim: Statement) -> Finding:
        names = {**state.theory.names, **claim.new_names}
        asked = self._ask(script(names, state.sound, claim.term))
        if asked.said == "unsat":
            return Finding("follows", 1.0)
        if asked.said == "error":
            return Finding("unparsed", None, asked.detail)
        if state.doubtful:
            assumed = [*state.sound, *state.doubtful]
            if self._ask(script(names, assumed, claim.term)).said == "unsat":
                return Finding("in-doubt", None, "it follows only from a step that is not right")
        if asked.said == "unknown":
            return self._undecided(asked.detail)
        if state.has_unread:
            return Finding("in-doubt", None, "an earlier step could not be read")
        return Finding("does-not-follow", 0.0, asked.detail or "whatever the names stand for")

    def _undecided(self, reason: str) -> Finding:
        if reason in ("timeout", "canceled", _KILLED):
            why = f"Z3 found neither a proof nor a counterexample in {self._timeout_s:g} s"
            return Finding("timeout", None, f"{why}{', and was killed' * (reason == _KILLED)}")
        return Finding("unknown", None, f"Z3 gives up: {reason}")

    def _outcome(self, state: _State, problem: Problem, steps: Sequence[Finding]) -> Verdict | None:
        goal = _goal(state.theory, problem)
        if goal is None or not steps:
            return None
        last = steps[-1]
        if last.label is None:
            return _undecided_outcome(steps)
        if last.label == 0 or state.last is None:
            return Verdict.INCORRECT
        names = {**state.theory.names, **goal.new_names}
        says = self._ask(script(names, [state.last], goal.term)).said
        return Verdict.CORRECT if says == "unsat" else Verdict.INCORRECT

    def _ask(self, text: str) -> Answer:
        request = msgspec.json.encode(text)
        key = blake2b(request, digest_size=16).digest()
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                return kept
        reply = self._pool.ask(request)
        answer = Answer("unknown", _KILLED)
        if reply is not None:
            answer = msgspec.json.decode(reply, type=Answer)
        with self._lock:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = answer
        return answer


def theory_of(problem: Problem) -> Theory:
    """The problem's premises, read.

    Raises:
        RungError: There are none, or one can't be read.
    """
    if problem.premises is None:
        raise RungError(f"problem {problem.id!r} has no premises")
    try:
        return read_premises(problem.premises)
    except ValueError as error:
        raise RungError(f"problem {problem.id!r}, {error}") from error


_KILLED = "killed"


@dataclass(slots=True)
class _State:
    """What is known after some steps."""

    theory: Theory
    sound: list[str] = field(default_factory=list[str])
    """Premises and the steps that follow."""
    doubtful: list[str] = field(default_factory=list[str])
    """Steps that were read and do not follow, as far as is known."""
    last: str | None = None
    has_unread: bool = False

    def __post_init__(self) -> None:
        self.sound = [*self.theory.premises]

    def take(self, claim: Statement, *, is_right: bool) -> None:
        """Keep a step, with the names that came with it."""
        (self.sound if is_right else self.doubtful).append(claim.term)
        self.last = claim.term
        names: dict[str, Signature] = {**self.theory.names, **claim.new_names}
        self.theory = replace(self.theory, names=names)


def _goal(theory: Theory, problem: Problem) -> Statement | None:
    try:
        return None if problem.answer is None else theory.read(problem.answer)
    except ValueError:
        return None


def _undecided_outcome(steps: Sequence[Finding]) -> Verdict:
    """The outcome of a proof whose last step is neither right nor wrong."""
    if steps[-1].status == "in-doubt" and any(step.label == 0 for step in steps):
        return Verdict.INCORRECT
    if any(step.status == "unparsed" for step in steps):
        return Verdict.UNPARSED
    return Verdict.TIMEOUT


def _require_z3() -> None:
    from importlib.util import find_spec

    if find_spec("z3") is None:
        raise MissingExtraError("z3-solver", "verify")
