"""Equations with variables: identities, transformations and equations solved, through sympy.

The calculator (`check_step`) comes first, since it costs a hundredth; what holds no number claims
for it comes here. False alarms are the worst failing, so that little is called wrong: see
`rung.verify.algebra_worker` for what is decided.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import msgspec

from rung.core import Verdict
from rung.verify.arithmetic import MAX_STEP_CHARS, check_step
from rung.verify.equations import Equation, StepCheck, unless_refuted
from rung.verify.workers import Closing, WorkerPool

MAX_CLAIMS = 24
"""Claims of one step that are looked at, the first ones."""
TIMEOUT_S = 2.0

_LATEX = re.compile(
    r"\\\(.{1,1000}?\\\)|\\\[.{1,2000}?\\\]|\$\$.{1,2000}?\$\$|(?<!\\)\$[^$]{1,1000}(?<!\\)\$"
    r"|\\begin\{(?:align|gather|equation)\*?\}.{1,2000}?\\end\{",
    re.DOTALL,
)
_PLAIN = re.compile(  # no words, but single letters
    r"(?:(?<![a-zA-Z'’\\_])[a-zA-Z](?![a-zA-Z'’])|[-+*/^=()×÷·− \d]|(?<=\d),(?=\d{3})|\.(?=\d))+"
)
_JOIN = re.compile(r"(?:\\\\|\\\]\s{0,3}\\\[|\$\$\s{0,3}\$\$)[\s&]{0,20}=")
_PARTS = re.compile(
    r"\\\\|\\q?quad(?![a-z])|\\implies|\\(?:Long)?[Rr]ightarrow|\\iff|[;⇒→]|(?<!\d),|,(?!\d)"
)
_DISPLAY = r"(?:align|aligned|gather|equation|split)\*?\}"
_DELIMITERS = re.compile(rf"\\[()\[\]]|\$|&|\\begin\{{{_DISPLAY}|\\end\{{(?:{_DISPLAY}|$)")
_UNREADABLE = re.compile(
    r"[<>≤≥≠≈≡_!%|#'\"]|(?<!\\)\[|[a-zA-Z]{4,}(?<!\\frac)(?<!\\sqrt)(?<!\\cdot)(?<!\\times)"
    r"(?<!\\left)(?<!\\right)(?<!\\dfrac)(?<!\\tfrac)(?<!\\boxed)(?<!\\alpha)(?<!\\beta)"
    r"(?<!\\gamma)(?<!\\theta)(?<!\\lambda)(?<!\\omega)(?<!\\displaystyle)(?![a-z])"
    r"|\\(?:le|ge|ne|lt|gt|pm|mp|sim|sin|cos|tan|log|ln|to|in)(?![a-z])"
)
_CUT = re.compile(r"[+*/×)^]|[aI] ")
_TURNS = re.compile(
    r"\b(?:twice|half|double|triple|times|by|plus|minus|than|root|negative|over|less|more|of|per)"
    r"[\s\\($]*$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"[\s\\)$]{0,4}(?:times|plus|minus|divided|over|of|or|and|mod|more|less|percent|cents?|%)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_DERIVES = re.compile(
    r"(?:[\s.,:;$&\\()\[\]]|\b(?:so|then|thus|therefore|hence|which|that|this|it|we|gets?|gives|us|"
    r"give|giving|means|implies|now|next|finally|simplif\w+|divid\w+|multipl\w+|subtract\w*|add\w*|"
    r"combin\w+|solv\w+|isolat\w+|obtain|have|yields?|equation|both|sides?|each|by|from|to|the|of|"
    r"for|like|terms|expand\w*|distribut\w+|mov\w+|rearrang\w+|left|right|hand|find|leads?|becomes|"
    r"is|can|as|q?quad|iff|Rightarrow|rightarrow|in|on|with|out|[a-z]|\d+)\b)*",
    re.IGNORECASE,
)
_DERIVING_WORD = re.compile(
    r"\b(?:so|then|thus|therefore|hence|gives|means|implies|simplif\w+|divid\w+|multipl\w+|"
    r"subtract\w*|add\w*|combin\w+|solv\w+|isolat\w+|rearrang\w+|expand\w*|[Rr]ightarrow)\b",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"\b(?:if|when|case|given)\b[^.\n]{0,80}$|\b(?:for|at)[\s\\($]*$", re.IGNORECASE
)
_CASES = re.compile(r"\b(?:or|either|cases?)\b", re.IGNORECASE)
_TWO_IN_ONE = re.compile(r"[\da-z] +-\d", re.IGNORECASE)
"""x + 2 -16 = x: perhaps the next equation begins at the minus."""
_MAX_BETWEEN = 200


class Statement(NamedTuple):
    """An equation or a chain of them, at text[start:end]."""

    start: int
    end: int
    sides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    start: int
    end: int
    request: tuple[object, ...]


class AlgebraChecker(Closing):
    """Checks the equations of steps: the calculator first, sympy where it says nothing.

    Never raises on a model's text. Sympy runs in worker processes that are killed when they take
    too long. Use it as a context manager, or `close` it, to end the workers.

    Args:
        workers: Worker processes, started when first needed; by default one a core, at most 4.
        timeout_s: Seconds for one equation; then it is left open.
    """

    def __init__(self, *, workers: int | None = None, timeout_s: float = TIMEOUT_S) -> None:
        size = workers or min(4, os.cpu_count() or 1)
        self._pool = WorkerPool("rung.verify.algebra_worker", size, timeout_s)
        self._end = weakref.finalize(self, self._pool.close)

    def close(self) -> None:
        """End the workers; new ones start if it is used again."""
        self._pool.close()

    def check(self, texts: Sequence[str]) -> list[StepCheck]:
        """One check a step, in order."""
        checks = [check_step(text) for text in texts]
        solved = self.solve(texts, [check.is_right for check in checks])
        return [
            StepCheck((*check.equations, *found))
            for check, found in zip(checks, solved, strict=True)
        ]

    def solve(
        self, texts: Sequence[str], calculated: Sequence[bool | None]
    ) -> list[tuple[Equation, ...]]:
        """What sympy says of each step's equations, in order.

        Args:
            texts: The steps.
            calculated: What the calculator said of each; sympy is asked where that is None.
        """
        asked = [
            list(_asked(text)) if verdict is None else []
            for text, verdict in zip(texts, calculated, strict=True)
        ]
        requests = [msgspec.json.encode(one.request) for many in asked for one in many]
        replies = iter(self._pool.ask_all(requests))
        return [
            tuple(_found(text, one, next(replies)) for one in many)
            for text, many in zip(texts, asked, strict=True)
        ]


def _found(text: str, asked: _Asked, reply: bytes | None) -> Equation:
    verdict = Verdict(reply.decode()) if reply else Verdict.TIMEOUT
    is_right = {Verdict.CORRECT: True, Verdict.INCORRECT: False}.get(verdict)
    if is_right is False and _SUPPOSES.search(text[max(0, asked.start - 100) : asked.start]):
        is_right = None
    return unless_refuted(Equation(asked.start, asked.end, is_right), text)


def _asked(text: str) -> Iterator[_Asked]:
    """What sympy is asked about a step."""
    found = list(statements(text)) if len(text) <= MAX_STEP_CHARS else []
    claims = [*(one for statement in found for one in _links(statement)), *_derived(text, found)]
    yield from claims[:MAX_CLAIMS]


def _links(statement: Statement) -> Iterator[_Asked]:
    """Neighboring sides that both have a variable; else the claim is a definition, or solved."""
    before: tuple[str, str] | None = None
    for left, right in pairwise(statement.sides):
        if left != right and _has_letter(left) and _has_letter(right):
            yield _Asked(statement.start, statement.end, (left, right, before))
        before = (left, right)


def _derived(text: str, found: Sequence[Statement]) -> Iterator[_Asked]:
    """Equations that follow from the one before them, by the words between."""
    for first, second in pairwise(found):
        between = text[first.end : second.start]
        if len(first.sides) != 2 or len(second.sides) != 2 or _solved(first) is not None:
            continue
        around = text[max(0, first.start - 30) : second.end + 30]
        if _CASES.search(around) or len(between) > _MAX_BETWEEN:
            continue
        if _DERIVES.fullmatch(between):
            has_word = _DERIVING_WORD.search(between) is not None
            if has_word or _solved(second) is not None:  # x - 2 = 0, x - 3 = 0 are two cases
                request = (*second.sides, first.sides, True)
                yield _Asked(second.start, second.end, request)


def _solved(statement: Statement) -> str | None:
    """The variable in ``x = 3`` or ``3 = x``, else None."""
    for one, other in (statement.sides, statement.sides[::-1]):
        if len(one) == 1 and one.isalpha() and not _has_letter(other):
            return one
    return None


def _has_letter(side: str) -> bool:
    return any(letter.isalpha() for letter in re.sub(r"\\[a-z]+", "", side))


def statements(text: str) -> Iterator[Statement]:
    """The equations with variables in a step, in order; what can't be read whole is left out."""
    spans = [(found.start(), found.end()) for found in _LATEX.finditer(text)]
    plain = _LATEX.sub(lambda found: "#" * len(found.group()), text)
    spans += [found.span() for found in _PLAIN.finditer(plain) if "=" in found.group()]
    for start, end in sorted(spans):
        yield from _statements_in(text, start, end)


def _statements_in(text: str, start: int, end: int) -> Iterator[Statement]:
    formula = _JOIN.sub(lambda found: "=".rjust(len(found.group())), text[start:end])
    at = 0
    for found in (*_PARTS.finditer(formula), None):
        part, begin = formula[at : found.start() if found else None], start + at
        at = found.end() if found else len(formula)
        bare = _DELIMITERS.sub(" ", part)
        if "=" not in bare or _UNREADABLE.search(bare) or not _has_letter(bare):
            continue
        if "\\" not in formula and _TWO_IN_ONE.search(bare):
            continue
        sides = tuple(side.strip().rstrip(". \n") for side in bare.split("="))
        begins = (
            all(sides) and sides[0][0] not in "+*/×)^" and not sides[0].startswith(("a ", "I "))
        )
        over = begin + len(part)
        if (
            begins
            and not _TURNS.search(text[:begin][-30:])
            and not _GOES_ON.match(text[over:][:20])
        ):
            yield Statement(begin, over, sides)
