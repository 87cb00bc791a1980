"""Is the final answer right? A normalized match first, then math-verify with a hard kill."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

import msgspec

from rung.core import Chain, Verdict
from rung.verify.extract import MAX_TEXT_CHARS, extract_answer
from rung.verify.normalize import is_text, normalize, number_within, read_choice, read_number
from rung.verify.workers import Closing, WorkerPool

MAX_ANSWER_CHARS = 1000
"""A longer "answer" is no answer; nothing is spent on it."""
TIMEOUT_S = 2.0
"""Ordinary pairs take math-verify 3 ms; what takes this long does not come back."""


class AnswerVerifier(Closing):
    """Checks final answers against the problems' reference answers: a `Verifier`.

    Never raises on a model's text. Equal text, numbers, and multiple-choice letters are settled
    here; only the rest goes to math-verify (Hugging Face), in worker processes that are killed
    when they take too long. Use it as a context manager, or `close` it, to end the workers.

    Args:
        workers: Worker processes, started when first needed; by default one a core, at most 4.
            The verdicts don't depend on it.
        timeout_s: Seconds for one answer; then its verdict is TIMEOUT.
    """

    def __init__(self, *, workers: int | None = None, timeout_s: float = TIMEOUT_S) -> None:
        size = workers or min(4, os.cpu_count() or 1)
        self._pool = WorkerPool("rung.verify.math_worker", size, timeout_s)
        self._end = weakref.finalize(self, self._pool.close)

    def close(self) -> None:
        """End the workers; new ones start if it is used again."""
        self._pool.close()

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """One verdict a chain, in order.

        Raises:
            ValueError: A problem has no reference answer.
        """
        return self.compare([(_reference(chain), answer_of(chain)) for chain in chains])

    def compare(self, pairs: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        """One verdict a pair (reference answer, answer or None), in order."""
        distinct = list(dict.fromkeys(pairs))
        verdicts = {pair: quick_verdict(*pair) for pair in distinct}
        hard: dict[tuple[str, str | None], bytes] = {
            (reference, answer): msgspec.json.encode((normalize(reference), normalize(answer)))
            for reference, answer in distinct
            if verdicts[reference, answer] is None and answer is not None
        }
        replies = self._pool.ask_all(list(hard.values()))
        for pair, reply in zip(hard, replies, strict=True):
            verdicts[pair] = Verdict.TIMEOUT if reply is None else Verdict(reply.decode())
        return [verdicts[pair] or Verdict.UNPARSED for pair in pairs]


def answer_of(chain: Chain) -> str | None:
    """The chain's own `answer`, else the one found in its last step, else in its last two.

    Two, because a split at blank lines parts a heading such as "# Answer" from what follows it.
    """
    if chain.answer is not None or not chain.steps:
        return chain.answer
    ends = [text[-MAX_TEXT_CHARS:] for text in chain.texts[-2:]]
    return extract_answer(ends[-1]) or extract_answer("\n\n".join(ends))


def quick_verdict(reference: str, answer: str | None) -> Verdict | None:
    """The verdict where text and plain numbers settle it; None when mathematics is needed."""
    if answer is None or len(answer) > MAX_ANSWER_CHARS or len(reference) > MAX_ANSWER_CHARS:
        return Verdict.UNPARSED
    expected, given = normalize(reference), normalize(answer)
    if not given:
        return Verdict.UNPARSED
    if expected == given:
        return Verdict.CORRECT
    number = read_number(expected)
    if number is not None:
        value = read_number(given)
        value = number_within(given) if value is None else value
        if value is not None:
            return _verdict(value == number)
    letter = read_choice(expected) if len(expected) <= len("(A)") else None
    choice = read_choice(given) if letter is not None else None
    if choice is not None:
        return _verdict(choice == letter)
    if is_text(expected):
        return Verdict.INCORRECT
    return Verdict.UNPARSED if is_text(given) else None


def _verdict(is_correct: bool) -> Verdict:
    return Verdict.CORRECT if is_correct else Verdict.INCORRECT


def _reference(chain: Chain) -> str:
    if chain.problem.answer is None:
        raise ValueError(f"problem {chain.problem.id!r} has no reference answer")
    return chain.problem.answer
