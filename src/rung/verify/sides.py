"""Which two sides of an equation may be compared, and what excuses a difference between them."""

from __future__ import annotations

from collections.abc import Sequence

from rung.verify.expression import evaluate
from rung.verify.tokens import Kind, Token
from rung.verify.units import convert, mixes_units, units_of

Side = tuple[Token, ...]

_MAKES = frozenset([Kind.FUNCTION, Kind.FACTORIAL])


def may_be_checked(index: int, left: Side, sign: Token, right: Side) -> bool:
    """Whether a pair of sides claims a result, and units don't change what it means.

    Args:
        index: How many sides stand before `left` in the chain.
        left: The side before the sign.
        sign: "=", an approximate sign, or one of order.
        right: The side behind it.
    """
    left_units, right_units = units_of(left), units_of(right)
    if mixes_units((*left, *right)) and _adds((*left, *right)):
        a, b = convert(left), convert(right)
        return a is not None and b is not None and a.system == b.system
    differ = bool(left_units and right_units) and left_units != right_units
    if differ and (sign.kind is Kind.ORDER or computes(right)):  # 2 * 3 hours = 6 * 60 minutes
        return False
    # "14 hours = 14 * 60" begins a conversion: a bare quantity on the left is not computed
    follows = index > 0 and not left_units and computes(right)
    return computes(left) or follows or sign.kind is Kind.ORDER


def computes(side: Sequence[Token]) -> bool:
    """Whether something is computed here: it is more than a quantity such as "1/2 a cup"."""
    signs = [token.text for token in side[1:] if token.kind is Kind.OPERATOR]
    makes = sum(token.kind in _MAKES for token in side)
    first_unit = next((k for k, token in enumerate(side) if token.kind is Kind.UNIT), len(side))
    ends_in_unit = all(token.kind is Kind.UNIT for token in side[first_unit:])
    if first_unit < len(side) and ends_in_unit and len(signs) + makes == 1:
        return not (makes or signs == ["/"])
    return bool(signs) or makes > 0


def is_excused(left: Side, right: Side) -> bool:
    """Whether sides that differ may be meant otherwise than they are read.

    Somebody's own operation (``2 * 6 = 2^6 + 6^2``), a division with remainder
    (``500 / 13 = 13 * 38 + 6``), or a factor that converts units (``60 minutes / 1 hour = 1``).
    """
    is_formula = _operators(right) > 1 or any(token.kind is Kind.OPEN for token in right)
    if _is_own_operation(left) and is_formula:
        return True
    if len(units_of(left)) > 1 and [token.value for token in right[:2]] == [1]:
        return True
    divisions = [k for k, token in enumerate(left) if token.text == "/"]
    if len(divisions) == 1 and _operators(left) == 1 and _adds(right):
        dividend, whole = evaluate(left[: divisions[0]]), evaluate(right)
        return dividend is not None and whole is not None and dividend.exact == whole.exact
    return False


def _is_own_operation(side: Side) -> bool:
    """Numbers and parentheses joined by nothing but "*"."""
    signs = [token for token in side if token.kind is Kind.OPERATOR]
    return bool(signs) and all(token.text == "*" and token.value for token in signs)


def _operators(side: Side) -> int:
    return sum(token.kind is Kind.OPERATOR for token in side)


def _adds(tokens: Sequence[Token]) -> bool:
    return any(token.kind is Kind.OPERATOR and token.text in "+-" for token in tokens)
