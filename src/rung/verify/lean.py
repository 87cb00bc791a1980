"""Lean 4 as a verifier: each step is a tactic, run through the REPL where the last one ended.

The problem's last premise is a theorem's statement (``theorem t (n : Nat) : n + 0 = n``); those
before it are what stands above: imports, definitions, `open`. See `rung.verify.lean_repl`.

Tactics can run programs of their own (`run_tac`, where `Lean` is imported), and Lean is no
sandbox: start the REPL inside one where you don't trust who wrote the steps.
"""

from __future__ import annotations

import queue
import re
import textwrap
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rung.core import Chain, Problem, RungError, Verdict
from rung.verify.arithmetic import MAX_STEP_CHARS
from rung.verify.findings import Finding, Findings
from rung.verify.lean_repl import LeanGoneError, LeanRepl, LeanReply
from rung.verify.workers import Closing

COMMAND = ("lake", "exe", "repl")
TIMEOUT_S = 60.0
"""Seconds for one tactic."""
PREMISES_S = 600.0
"""Seconds for the premises: importing Mathlib may take a minute."""
MAX_DETAIL_CHARS = 300
_FENCE = re.compile(r"\s*```\s*(\w*)\s*")
_LEAN = ("lean", "lean4")
_PROOF = re.compile(r"\s*:=(?:\s*by(?:\s+sorry)?)?\s*$")
_EXHAUSTED = ("(deterministic) timeout", "maximum recursion depth")
_HAS_HOLE = "Incomplete: contains sorry"


class _RefusedError(Exception):
    """Lean does not take a problem's premises."""


class LeanVerifier(Closing):
    """Checks Lean proofs step by step: a `StepChecker`, and a `Verifier` of whole proofs.

    Steps are judged so (label in brackets):

    - accepted (1): Lean runs the tactic without an error.
    - refused (0): it does not, and no step before it was refused. The next step is run where the
      last accepted one ended, so a step that mends this one is accepted.
    - in-doubt (None): refused, but it may rest on an earlier refused step.
    - sorry (None): something in it is claimed and not proved. Later steps go on from there.
    - timeout, died (None): the REPL did not come back in time, died or wrote without end; Lean
      ran out of its own limits (timeout). Steps behind a lost REPL are unreached (None).
    - no-tactic (None): the step is empty or a comment, or prose beside fenced Lean, or too long.
    - no-theorem (None): Lean refuses the problem's premises, so no step could be run.

    The outcome: CORRECT when the proof is complete by the steps that were accepted, as the REPL's
    "Completed" says after its own check by the kernel; UNPARSED without a theorem; TIMEOUT if it
    was lost on the way; else INCORRECT.

    Args:
        command: Starts the REPL, in this process's folder; ``("env", "-C", FOLDER, "lake", "env",
            REPL)`` starts it inside a project.
        workers: REPLs at once; each holds what the premises import.
        timeout_s: Seconds for one tactic.
    """

    def __init__(
        self, command: Sequence[str] = COMMAND, *, workers: int = 1, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._command = tuple(command)
        self._workers = workers
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[_Session] = queue.LifoQueue()
        weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """End the REPLs; new ones start if it is used again."""
        _close_all(self._idle)

    def can_check(self, chain: Chain) -> bool:
        """Whether the problem has premises."""
        return bool(chain.problem.premises)

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain, in order.

        Raises:
            RungError: As `check`.
        """
        return [found.outcome or Verdict.UNPARSED for found in self.check(chains)]

    def check(self, chains: Sequence[Chain]) -> list[Findings]:
        """One `Findings` a chain, in order.

        Raises:
            RungError: The REPL does not start, is too old, or dies over a problem's premises.
        """
        with ThreadPoolExecutor(self._workers) as threads:
            return list(threads.map(self._check, chains))

    def _check(self, chain: Chain) -> Findings:
        session = self._take()
        try:
            try:
                state = session.start(chain.problem)
            except _RefusedError as error:
                lost = Finding("no-theorem", None, str(error))
                return Findings((lost,) * len(chain.steps), Verdict.UNPARSED)
            return self._run(session, state, _tactics(chain.texts))
        finally:
            if session.repl.is_alive:
                self._idle.put(session)
            else:
                session.repl.close()

    def _take(self) -> _Session:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return _Session(LeanRepl(self._command), {})

    def _run(self, session: _Session, state: int, tactics: Sequence[str | None]) -> Findings:
        steps: list[Finding] = []
        status, has_refused, has_hole = "", False, False
        for tactic in tactics:
            if tactic is None:
                steps.append(Finding("no-tactic", None))
                continue
            try:
                request = {"tactic": tactic, "proofState": state}
                reply = session.repl.ask(request, self._timeout_s)
            except LeanGoneError as error:
                lost = Finding("timeout" if "too long" in str(error) else "died", None, str(error))
                unreached = (Finding("unreached", None),) * (len(tactics) - len(steps) - 1)
                return Findings((*steps, lost, *unreached), Verdict.TIMEOUT)
            finding = _judge(reply, has_refused=has_refused, has_hole=has_hole)
            steps.append(finding)
            has_refused |= finding.label == 0
            if finding.status in ("accepted", "sorry") and reply.proof_state is not None:
                state, status = reply.proof_state, reply.proof_status or ""
                has_hole |= finding.status == "sorry"
        is_proved = status == "Completed"
        return Findings(tuple(steps), Verdict.CORRECT if is_proved else Verdict.INCORRECT)


@dataclass(slots=True)
class _Session:
    """A REPL and the environments that it holds, by the text that made them."""

    repl: LeanRepl
    envs: dict[str, int]

    def start(self, problem: Problem) -> int:
        """The proof state in which the theorem is still to be proved."""
        *above, theorem = problem.premises or ("",)
        env = self._env("\n".join(above)) if above else None
        statement = f"{_PROOF.sub('', theorem)} := by sorry"
        reply = self._command(statement, env)
        states = [hole.proof_state for hole in reply.sorries if hole.proof_state is not None]
        if len(states) != 1:
            raise _RefusedError(
                "expected the last premise to be one theorem's statement,"
                f" which Lean finds {len(states)} goals in"
            )
        return states[0]

    def _env(self, above: str) -> int:
        if above not in self.envs:
            env = self._command(above, None).env
            if env is None:
                raise RungError("Lean's REPL gives no environment for a command")
            self.envs[above] = env
        return self.envs[above]

    def _command(self, text: str, env: int | None) -> LeanReply:
        request = {"cmd": text} if env is None else {"cmd": text, "env": env}
        try:
            reply = self.repl.ask(request, PREMISES_S)
        except LeanGoneError as error:
            raise RungError(f"Lean's REPL gave no reply to the premises: {error}") from error
        if reply.error is not None:
            said = reply.error[:MAX_DETAIL_CHARS]
            raise _RefusedError(f"Lean refuses the premises: {said}")
        return reply


def _judge(reply: LeanReply, *, has_refused: bool, has_hole: bool) -> Finding:
    error = reply.error
    if error is None and (reply.proof_status or "").startswith("Error"):
        error = reply.proof_status
    if error is not None:
        detail = error.strip()[:MAX_DETAIL_CHARS]
        if any(sign in error for sign in _EXHAUSTED):
            return Finding("timeout", None, detail)
        return Finding("in-doubt", None, detail) if has_refused else Finding("refused", 0.0, detail)
    if reply.proof_status is None or reply.proof_state is None:
        raise RungError("Lean's REPL gives no proofStatus: take a newer one")
    if reply.sorries or (reply.proof_status == _HAS_HOLE and not has_hole):
        goals = "; ".join(" ".join(hole.goal.split()) for hole in reply.sorries)
        return Finding("sorry", None, goals[:MAX_DETAIL_CHARS])
    return Finding("accepted", 1.0)


def _tactics(texts: Sequence[str]) -> list[str | None]:
    """Each step's tactic; where steps have fenced blocks, Lean is what stands in those of Lean."""
    are_fenced = any(_FENCE.fullmatch(line) for text in texts for line in text.splitlines())
    return [_tactic(_fenced(text) if are_fenced else text) for text in texts]


def _fenced(text: str) -> str:
    kept: list[str] = []
    is_lean = is_inside = False
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line)
        if fence:
            is_inside = not is_inside
            is_lean = is_inside and fence[1].lower() in ("", *_LEAN)
        elif is_lean:
            kept.append(line)
    return "\n".join(kept)


def _tactic(text: str) -> str | None:
    if len(text) > MAX_STEP_CHARS:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if all(line.lstrip().startswith("--") for line in lines):
        return None
    if len(lines) == 1:
        return lines[0].strip()
    # the REPL runs one tactic; several in brackets are one
    block = textwrap.indent(textwrap.dedent("\n".join(lines)), "  ")
    return f"(\n{block}\n)"


def _close_all(idle: queue.LifoQueue[_Session]) -> None:
    while not idle.empty():
        idle.get().repl.close()
