"""The verdict on two sides of an equation: exact where it can be, open where rounding decides."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction

from rung.verify.expression import TINY, Value, evaluate
from rung.verify.sides import Side, is_excused
from rung.verify.tokens import Kind, Token
from rung.verify.units import convert, mixes_units

_ORDERS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
}


def judge(left: Side, sign: Token, right: Side, *, rounds: bool) -> list[bool | None]:
    """The verdict under each reading of the percent sign; none when a side has no value.

    Args:
        left: The side before the sign.
        sign: What stands between the sides.
        right: The side behind it.
        rounds: The text speaks of rounding, so "=" before a whole number may mean "about".
    """
    if mixes_units((*left, *right)):
        converted = _judge_units(left, sign, right, rounds)
        if converted:
            return converted
    has_percent = any(token.kind is Kind.PERCENT for token in (*left, *right))
    verdicts: list[bool | None] = []
    for percent in (Fraction(1, 100), Fraction(1)) if has_percent else (Fraction(1),):
        computed, stated = evaluate(left, percent), evaluate(right, percent)
        if computed is not None and stated is not None:
            places = _last_place(left, percent), _last_place(right, percent)
            verdicts.append(_verdict(computed, sign, stated, places, rounds))
    if verdicts and True not in verdicts and (_is_open(left, right) or is_excused(left, right)):
        return [None] * len(verdicts)
    return verdicts


def _judge_units(left: Side, sign: Token, right: Side, rounds: bool) -> list[bool | None]:
    a, b = convert(left), convert(right)
    if a is None or b is None or a.system != b.system:
        return []
    return [_verdict(a.value, sign, b.value, (a.place, b.place), rounds)]


def _is_open(left: Side, right: Side) -> bool:
    """Whether people write this and mean something else.

    50 - 10% = 45; 20% of 50 - 10 = 8; 45/300 * 100% = 15% of 300.
    """
    both = (*left, *right)
    adds = any(
        token.kind is Kind.OPERATOR and token.text in "+-" for token in (*left[1:], *right[1:])
    )
    has_percent = [any(token.kind is Kind.PERCENT for token in side) for side in (left, right)]
    has_share = any(token.kind is Kind.OPERATOR and token.text == "of" for token in both)
    return (adds and (has_share or any(has_percent))) or (has_share and all(has_percent))


def _verdict(
    computed: Value,
    sign: Token,
    stated: Value,
    places: tuple[Fraction | None, Fraction | None],
    rounds: bool,
) -> bool | None:
    if sign.kind is Kind.ORDER:
        return _in_order(computed, sign.text, stated)
    place = places[1]
    if place is None:
        computed, stated, place = stated, computed, places[0]
    about = sign.kind is Kind.ABOUT or (rounds and (place is None or place >= 1))
    return _compare(computed, stated, place, about=about)


def _in_order(left: Value, sign: str, right: Value) -> bool | None:
    slack = left.slack + right.slack
    if slack and abs(left.exact - right.exact) <= slack:
        return None
    return _ORDERS[sign](left.exact, right.exact)


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
        about: An approximate value is meant.
    """
    gap = abs(computed.exact - stated.exact)
    if gap == 0 or (place is not None and _is_rounded(computed.exact, stated.exact, place, about)):
        return True
    # how a single number was rounded has been asked already
    slack = computed.slack + (stated.slack if place is None else 0)
    if gap <= slack <= TINY:
        return True
    if slack > TINY and gap <= slack + (place or 0):
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
