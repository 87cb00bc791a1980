"""A calculator that reads the equations in a step: right, wrong, or nothing to check.

It is made to be believed when it says "wrong": an equation with a variable, an unknown sign, a
word that may change its meaning ("twice 3 + 4 = 14"), parts that were rounded on the way, or a
text that says itself that it does not hold, is left alone. No `eval`; exact rational numbers;
linear in the text's length; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rung.verify.compare import judge
from rung.verify.equations import Equation, StepCheck, unless_refuted
from rung.verify.marks import read_tokens
from rung.verify.sides import Side, computes, may_be_checked
from rung.verify.tokens import RELATIONS, VALUE_ENDS, Kind, Token
from rung.verify.units import is_known_unit, mixes_units, units_of

MAX_STEP_CHARS = 100_000
"""A longer step is not read, and has no equations: it costs no time and no memory."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens [start, end) without a break between them, and whether its ends may be checked."""

    start: int
    end: int
    sides: list[Side]
    signs: list[Token]
    begins_clean: bool
    ends_clean: bool


_NOTHING = StepCheck(())
_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_ANY_SIGN = re.compile(
    r"[=<>≈≃≅≤≥≠]|\\(?:approx|simeq|l[et]|g[et]|n[e])|\b(?:is|equals)\b", re.IGNORECASE
)
_OTHER_ARITHMETIC = re.compile(
    r"\bmod(?:ulo)?\b|\\[pb]?mod|≡|\\equiv|\bbase[- ]|_\{?\d|binary|hexadecimal|octal|o'clock|"
    r"\d:\d",
    re.IGNORECASE,
)
_ROUNDS = re.compile(r"\bround|\bnearest\b|approximat|\bestimat|\broughly\b", re.IGNORECASE)
_PART = re.compile("half|third|quarter|fourth|fifth|tenth|percent|percentage", re.IGNORECASE)
_WORD_BEFORE = re.compile(
    "half|twice|double|triple|thrice|third|quarter|times|by|plus|minus|than|square|root|log|ln|sin|"
    "cos|tan|(?:step|day|week|month|year|number|part|case|option|problem|question|equation|example|"
    "level|round|page|chapter|grade|stage|phase)s?|negative|over|divided|multiplied|subtract|less|"
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty",
    re.IGNORECASE,
)
_JOINING_WORD = re.compile("of|and|to|with|from", re.IGNORECASE)
_WORD_AFTER = re.compile(
    "remainder|r|mod|times|plus|minus|divided|choose|over|of|and|or|am|pm|point|half|with|more|less|"
    "fewer|greater|smaller|percent",
    re.IGNORECASE,
)
_MAX_GAP_WORDS = 4
_ENDS = frozenset([".", ";", "\n", "\\\\", "\\]", "\\["])
"""Breaks behind which the same name may be given a value again; a comma parts two solutions."""
_CASES = frozenset(
    ["or", "and", "if", "when", "otherwise", "case", "another", "second", "other", "either"]
)
_LITTLE_WORD = re.compile(
    "so|is|are|as|to|we|get|by|it|and|the|for|has|in|at|or|if|was|be|yes|now|all", re.IGNORECASE
)
_EDGES = frozenset([Kind.BREAK, Kind.BARRIER, Kind.WORD])
_NAME = re.compile(r"[a-zA-Z][a-zA-Z '’_-]*")
_NAME_MARKS = re.compile(r"\\(?:text|mathrm|mbox|textbf|left|right)(?![a-zA-Z])|[\\{}$&*]|\s+")


def check_step(text: str) -> StepCheck:
    """Check every equation and inequality in a step.

    Reads plain text, LaTeX and GSM8K's ``<<48/2=24>>``; chains ``a = b = c`` pair by pair, also
    over several lines and under one name ("Total = 3 + 4. Total = 7."); units, dollar signs and
    thousands commas are passed over, and converted where they are mixed. A decimal result may be
    rounded or cut off in its last place (10/3 = 3.33); a percent sign may mean hundredths or be
    only a unit; roots and pi are compared as closely as the text can mean them.
    """
    if len(text) > MAX_STEP_CHARS or not _ANY_SIGN.search(text):
        return _NOTHING
    equations = [
        equation
        for found in _ANNOTATION.finditer(text)
        for equation in _check(found.group(1), found.start(1))
    ]
    plain = _ANNOTATION.sub(lambda found: " " * len(found.group()), text)
    if not _OTHER_ARITHMETIC.search(plain):
        equations += [unless_refuted(equation, plain) for equation in _check(plain, 0)]
    return StepCheck(tuple(sorted(equations, key=lambda equation: equation.start)))


def _check(text: str, offset: int) -> Iterator[Equation]:
    tokens = read_tokens(text)
    rounds = _ROUNDS.search(text) is not None
    before: _Run | None = None
    for run in _runs(tokens):
        pairs = list(_pairs(run))
        if before is not None and _goes_on(text, tokens, before, run):
            pairs.insert(0, (before.sides[1], before.signs[0], run.sides[1]))
        for left, sign, right in pairs:
            verdicts = judge(left, sign, right, rounds=rounds)
            if verdicts:
                is_right = True if True in verdicts else None if None in verdicts else False
                yield Equation(offset + left[0].start, offset + right[-1].end, is_right)
        before = run


def _runs(tokens: list[Token]) -> Iterator[_Run]:
    start, signs = 0, list[int]()
    for index in range(len(tokens) + 1):
        kind = tokens[index].kind if index < len(tokens) else Kind.BREAK
        if kind in RELATIONS:
            signs.append(index)
        elif kind in _EDGES:
            if signs:
                yield _run(tokens, start, index, signs)
                signs = []
            start = index + 1


def _run(tokens: list[Token], start: int, end: int, signs: list[int]) -> _Run:
    starts, ends = [start, *(at + 1 for at in signs)], [*signs, end]
    sides = [tuple(tokens[a:b]) for a, b in zip(starts, ends, strict=True)]
    clean = _clean_before(tokens, start), _clean_after(tokens, end)
    tail = tokens[end : end + 1]
    if clean[1] and tail and sides[-1] and _matters(tail[0], tokens[signs[-1]], sides[-2]):
        sides[-1] = (*sides[-1], tail[0]._replace(kind=Kind.UNIT))
    return _Run(start, end, sides, [tokens[at] for at in signs], *clean)


def _matters(word: Token, sign: Token, left: Side) -> bool:
    """Whether the word behind the last side is a unit that decides how sides are compared."""
    if word.kind is not Kind.WORD:
        return False
    if sign.kind is Kind.ORDER:
        return bool(units_of(left))
    return mixes_units(left) and is_known_unit(word.text)


def _pairs(run: _Run) -> Iterator[tuple[Side, Token, Side]]:
    """The pairs of neighboring sides that may be checked, with the sign between them."""
    last = len(run.sides) - 1
    for index, (left, right) in enumerate(pairwise(run.sides)):
        is_clean = (index > 0 or run.begins_clean) and (index + 1 < last or run.ends_clean)
        if left and right and is_clean and may_be_checked(index, left, run.signs[index], right):
            yield left, run.signs[index], right


def _goes_on(text: str, tokens: list[Token], before: _Run, run: _Run) -> bool:
    """Whether a run goes on with the one before it, under its name: Total = 3 + 4. Total = 7."""
    if before.sides[0] or run.sides[0] or len(before.sides) > 2:  # x = 3 + 1 = 4. x = 3 - 1 = 2.
        return False
    if not (before.ends_clean and computes(before.sides[1])):
        return False
    if not run.sides[1] or not (run.ends_clean or len(run.sides) > 2):
        return False
    if Kind.ORDER in (before.signs[-1].kind, run.signs[0].kind):
        return False
    if _texts(before.sides[1])[: len(run.sides[1])] == _texts(run.sides[1]):
        return False  # Total = 3 * 4 * 5. Total = 3 * 4 = 12, 12 * 5 = 60.
    at = _name_start(tokens, run.start, before.end)
    was = _named(text, tokens, _name_start(tokens, before.start, 0), before.start)
    now = _named(text, tokens, at, run.start)
    is_same = bool(now) and (was == now or (" " in now and was.endswith(" " + now)))
    return is_same and _is_bridge(tokens[before.end : at])


def _is_bridge(gap: list[Token]) -> bool:
    """Whether what stands between two runs lets the second go on with the first."""
    words = [token.text.lower() for token in gap if token.kind is not Kind.BREAK]
    is_near = len(words) <= _MAX_GAP_WORDS and all(t.kind is not Kind.BARRIER for t in gap)
    return is_near and any(t.text in _ENDS for t in gap) and not _CASES & set(words)


def _texts(side: Side) -> list[str]:
    return [token.text for token in side]


def _name_start(tokens: list[Token], end: int, least: int) -> int:
    """Where the name begins that ends before `end`: behind a break."""
    at = end
    while at > least and tokens[at - 1].kind is not Kind.BREAK:
        at -= 1
    return at


def _named(text: str, tokens: list[Token], start: int, end: int) -> str:
    name = text[tokens[start].start : tokens[end].start] if start < end else ""
    name = " ".join(_NAME_MARKS.sub(" ", name).split()).casefold()
    return name if _NAME.fullmatch(name) else ""


def _clean_before(tokens: list[Token], start: int) -> bool:
    """Whether an equation may begin at `start`: nothing before it belongs to it."""
    if start == len(tokens) or not _opens_a_side(tokens[start : start + 2]):
        return False
    edge, before = (tokens[index] if index >= 0 else None for index in (start - 1, start - 2))
    if edge is None:
        return True
    if edge.kind is Kind.BREAK:
        if edge.text == ")":  # of a list: "1) 3 + 4 = 7"
            return start < 3 or tokens[start - 3].kind is Kind.BREAK
        if edge.text in "'’" and edge.end == tokens[start].start:  # f''(4)
            return False
        is_number = before is not None and before.kind is Kind.NUMBER
        is_cut = is_number and edge.text == "," and len(tokens[start].text) == 3  # 14, 400
        return not is_cut and (before is None or before.kind is not Kind.OPERATOR)
    if edge.kind is Kind.BARRIER or _is_factor(edge, tokens[start]):
        return False
    if _WORD_BEFORE.fullmatch(edge.text):
        return False
    if before is None or not _JOINING_WORD.fullmatch(edge.text):
        return True
    return before.kind not in VALUE_ENDS and not _PART.fullmatch(before.text)


def _is_factor(word: Token, first: Token) -> bool:
    r"""Whether a word is rather a variable times what follows: a2^4, ab \sqrt{3}."""
    if word.end == first.start and word.text.isalpha():
        return True
    is_formula = first.kind in (Kind.FUNCTION, Kind.PI)
    return is_formula and len(word.text) <= 3 and not _LITTLE_WORD.fullmatch(word.text)


def _opens_a_side(tokens: Sequence[Token]) -> bool:
    """A number, parenthesis or fraction, or a minus that touches what follows it."""
    first, *rest = tokens
    if first.kind is Kind.OPERATOR:
        return first.text == "-" and bool(rest) and rest[0].start == first.end
    return first.text not in "{["


def _clean_after(tokens: list[Token], end: int) -> bool:
    """Whether an equation may end before `end`: words behind it don't go on calculating."""
    if end == len(tokens):
        return True
    edge = tokens[end]
    if edge.kind is Kind.BREAK:
        return edge.text != "(" or end == 0 or tokens[end - 1].end < edge.start  # 2(x + 1)
    if edge.kind is Kind.BARRIER or _WORD_AFTER.fullmatch(edge.text):
        return False
    after = next((token for token in tokens[end : end + 5] if token.kind is not Kind.WORD), edge)
    return after.kind not in (Kind.OPERATOR, Kind.UNIT, Kind.BARRIER)
