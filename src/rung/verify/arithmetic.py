"""A calculator that reads the equations in a step: right, wrong, or nothing to check.

It is made to be believed when it says "wrong": an equation with a variable, an unknown sign, a
word that may change its meaning ("twice 3 + 4 = 14") or parts that were rounded on the way is
left alone. No `eval`; exact rational numbers; linear in the text's length; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from rung.verify.expression import Value, evaluate
from rung.verify.tokens import Kind, Token, tokenize


@dataclass(frozen=True, slots=True)
class Equation:
    """Two neighboring sides of an equation chain, at text[start:end]."""

    start: int
    end: int
    is_right: bool | None
    """None: it was read, but rounding or a percent sign leaves it open."""


@dataclass(frozen=True, slots=True)
class StepCheck:
    """What the calculator says of a step."""

    equations: tuple[Equation, ...]

    @property
    def is_right(self) -> bool | None:
        """False when an equation is wrong; True when one is right and none wrong; else None."""
        verdicts = {equation.is_right for equation in self.equations}
        return False if False in verdicts else True if True in verdicts else None


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens without a break between them, and whether the text allows to check its ends."""

    tokens: list[Token]
    begins_clean: bool
    ends_clean: bool


_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_OTHER_ARITHMETIC = re.compile(
    r"\bmod(?:ulo)?\b|\\[pb]?mod|≡|\\equiv|\bbase[- ]|_\{?\d|binary|hexadecimal|octal|o'clock|"
    r"\d:\d",
    re.IGNORECASE,
)
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
    "remainder|r|mod|times|plus|minus|divided|choose|over|of|and|or|am|pm|point|half|with",
    re.IGNORECASE,
)
_EDGES = (Kind.BREAK, Kind.BARRIER, Kind.WORD)
_VALUES = (Kind.NUMBER, Kind.PERCENT, Kind.CLOSE)


def check_step(text: str) -> StepCheck:
    """Check every equation in a step.

    Reads plain text, LaTeX and GSM8K's ``<<48/2=24>>``; chains ``a = b = c`` pair by pair; units,
    dollar signs and thousands commas are passed over. A decimal result may be rounded or cut off
    in its last place (10/3 = 3.33); a percent sign may mean hundredths or be only a unit.
    """
    equations = [
        equation
        for found in _ANNOTATION.finditer(text)
        for equation in _check(found.group(1), found.start(1))
    ]
    plain = _ANNOTATION.sub(lambda found: " " * len(found.group()), text)
    if not _OTHER_ARITHMETIC.search(plain):
        equations += _check(plain, 0)
    return StepCheck(tuple(sorted(equations, key=lambda equation: equation.start)))


def _check(text: str, offset: int) -> Iterator[Equation]:
    for run in _runs(tokenize(text)):
        for left, sign, right in _sides(run):
            verdicts = _judge(left, right, about=sign.kind is Kind.ABOUT)
            if verdicts:
                is_right = True if True in verdicts else None if None in verdicts else False
                yield Equation(offset + left[0].start, offset + right[-1].end, is_right)


def _runs(tokens: list[Token]) -> Iterator[_Run]:
    start = 0
    for index in range(len(tokens) + 1):
        if index == len(tokens) or tokens[index].kind in _EDGES:
            if any(token.kind in (Kind.EQUALS, Kind.ABOUT) for token in tokens[start:index]):
                yield _Run(
                    tokens[start:index], _clean_before(tokens, start), _clean_after(tokens, index)
                )
            start = index + 1


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
        is_number = before is not None and before.kind is Kind.NUMBER
        is_cut = is_number and edge.text == "," and len(tokens[start].text) == 3  # 14, 400
        return not is_cut and (before is None or before.kind is not Kind.OPERATOR)
    if edge.kind is Kind.BARRIER or _WORD_BEFORE.fullmatch(edge.text):
        return False
    if before is None or not _JOINING_WORD.fullmatch(edge.text):
        return True
    return before.kind not in _VALUES and not _PART.fullmatch(before.text)


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


def _sides(run: _Run) -> Iterator[tuple[list[Token], Token, list[Token]]]:
    """The pairs of neighboring sides that may be checked, with the sign between them."""
    sides: list[list[Token]] = [[]]
    signs: list[Token] = []
    for token in run.tokens:
        if token.kind in (Kind.EQUALS, Kind.ABOUT):
            signs.append(token)
            sides.append([])
        else:
            sides[-1].append(token)
    last = len(sides) - 1
    for index, (left, right) in enumerate(pairwise(sides)):
        clean = (index > 0 or run.begins_clean) and (index + 1 < last or run.ends_clean)
        # "14 hours = 14 * 60" begins a conversion: a bare quantity on the left is not computed
        computes = _computes(left) or (index > 0 and not _units(left) and _computes(right))
        if left and right and clean and computes and not _converts_units(left, right):
            yield left, signs[index], right


def _computes(side: Sequence[Token]) -> bool:
    """Whether something is computed here: it is more than a quantity such as "1/2 a cup"."""
    signs = [token.text for token in side[1:] if token.kind is Kind.OPERATOR]
    has_fraction = any(token.kind is Kind.FRACTION for token in side)
    first_unit = next((k for k, token in enumerate(side) if token.kind is Kind.UNIT), len(side))
    ends_in_unit = all(token.kind is Kind.UNIT for token in side[first_unit:])
    if first_unit < len(side) and ends_in_unit and len(signs) + has_fraction == 1:
        return not (has_fraction or signs == ["/"])
    return bool(signs) or has_fraction


def _converts_units(left: Sequence[Token], right: Sequence[Token]) -> bool:
    """Whether units are mixed: 2 hours + 30 minutes, or 2 * 3 hours = 6 * 60 minutes."""
    left_units, right_units = _units(left), _units(right)
    if len(left_units | right_units) > 1 and _adds([*left, *right]):
        return True
    return bool(left_units and right_units) and left_units != right_units and _computes(right)


def _units(side: Sequence[Token]) -> set[str]:
    words = {token.text.lower().rstrip("s") for token in side if token.kind is Kind.UNIT}
    return words - {"/"}


def _adds(tokens: Sequence[Token]) -> bool:
    return any(token.kind is Kind.OPERATOR and token.text in "+-" for token in tokens)


def _judge(left: list[Token], right: list[Token], *, about: bool) -> list[bool | None]:
    """The verdict under each reading of the percent sign; none when a side has no value."""
    has_percent = any(token.kind is Kind.PERCENT for token in (*left, *right))
    verdicts: list[bool | None] = []
    for percent in (Fraction(1, 100), Fraction(1)) if has_percent else (Fraction(1),):
        computed, stated = evaluate(left, percent), evaluate(right, percent)
        place = _last_place(right, percent)
        if place is None:
            computed, stated, place = stated, computed, _last_place(left, percent)
        if computed is not None and stated is not None:
            verdicts.append(_compare(computed, stated, place, about=about))
    if has_percent and _adds([*left, *right]) and True not in verdicts:
        return [None] * len(verdicts)  # 50 - 10% = 45 is how people write
    return verdicts


def _last_place(side: Sequence[Token], percent: Fraction) -> Fraction | None:
    """What one unit in the last place of a side is worth, when the side is a single number."""
    tokens = [token for token in side if token.kind is not Kind.UNIT]
    if tokens and tokens[0].kind is Kind.OPERATOR and tokens[0].text == "-":
        tokens = tokens[1:]
    kinds = [token.kind for token in tokens]
    if kinds not in ([Kind.NUMBER], [Kind.NUMBER, Kind.PERCENT]):
        return None
    return Fraction(1, 10 ** tokens[0].decimals) * (percent if len(kinds) > 1 else 1)


def _compare(computed: Value, stated: Value, place: Fraction | None, *, about: bool) -> bool | None:
    """Compare two sides.

    Args:
        computed: One side's value.
        stated: The other's; a single number, when `place` is given.
        place: One unit in the last place of that number.
        about: The sign between them is an approximate one.
    """
    gap = abs(computed.exact - stated.exact)
    if gap == 0 or (place is not None and _is_rounded(computed.exact, stated.exact, place, about)):
        return True
    slack = computed.slack + stated.slack
    if slack and gap <= slack + (place or 0):
        return None
    if place == 1 and gap < 1:
        return None  # 7/2 = 3: perhaps a wrong result, perhaps whole things were counted
    if about and gap * 20 <= abs(computed.exact):
        return None
    return False


def _is_rounded(exact: Fraction, stated: Fraction, place: Fraction, about: bool) -> bool:
    """Whether `stated` is `exact` rounded, or cut off, at `place`; whole numbers if `about`."""
    gap = abs(exact - stated)
    is_cut_off = gap < place and abs(stated) < abs(exact)
    return (about or place < 1) and (is_cut_off or gap * 2 <= place)
