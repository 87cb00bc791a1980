"""Units: which words they are, and sums such as "2 hours + 30 minutes" brought to one unit.

Only conversions that are exact and that nobody disputes; "1 inch = 5 miles" may be a map's scale,
so a bare quantity is never converted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from rung.verify.expression import Value
from rung.verify.tokens import Kind, Token

_SYSTEMS: tuple[Mapping[str, Fraction | int], ...] = (
    {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86400}
    | {"week": 604800},
    {"millimeter": Fraction(1, 10), "mm": Fraction(1, 10), "centimeter": 1, "cm": 1}
    | {"meter": 100, "metre": 100, "kilometer": 100_000, "km": 100_000},
    {"inch": 1, "inches": 1, "in": 1, "foot": 12, "feet": 12, "ft": 12, "yard": 36, "yd": 36}
    | {"mile": 63360},
    {"milligram": Fraction(1, 1000), "mg": Fraction(1, 1000), "gram": 1}
    | {"kilogram": 1000, "kg": 1000},
    {"milliliter": 1, "ml": 1, "liter": 1000, "litre": 1000},
)
_FACTORS = {
    name: (number, Fraction(factor))
    for number, system in enumerate(_SYSTEMS)
    for name, factor in system.items()
}


def units_of(side: Sequence[Token]) -> set[str]:
    """The unit words of a side, in the singular."""
    return {_singular(token.text) for token in side if token.kind is Kind.UNIT} - {"/"}


def mixes_units(side: Sequence[Token]) -> bool:
    """Whether more than one unit stands there."""
    return len(units_of(side)) > 1


def is_known_unit(word: str) -> bool:
    """Whether a word is a unit that is converted."""
    return _singular(word) in _FACTORS


class Quantity(NamedTuple):
    """A sum of quantities in the first unit of its system."""

    value: Value
    place: Fraction | None
    """What the last place of a single quantity is worth; None for a sum."""
    system: int


def convert(side: Sequence[Token]) -> Quantity | None:
    """The sum that a side is; None when it is none of numbers with known units of one system."""
    total, systems, place = Fraction(0), set[int](), Fraction(0)
    is_minus = bool(side) and side[0].kind is Kind.OPERATOR and side[0].text == "-"
    sign, rest = Fraction(-1 if is_minus else 1), list(side[is_minus:])
    while rest:
        number, *rest = rest
        unit = rest.pop(0) if rest else number
        if number.kind is not Kind.NUMBER or unit.kind is not Kind.UNIT:
            return None
        system, factor = _FACTORS.get(_singular(unit.text), (-1, Fraction(0)))
        systems.add(system)
        total += sign * number.value * factor
        place = factor / 10**number.decimals
        if rest:
            joint = rest.pop(0)
            if joint.kind is not Kind.OPERATOR or joint.text not in "+-" or not rest:
                return None
            sign = Fraction(1 if joint.text == "+" else -1)
    if len(systems) != 1 or -1 in systems:
        return None
    return Quantity(Value(total), place if len(side) - is_minus == 2 else None, systems.pop())


def _singular(word: str) -> str:
    return word.lower().rstrip("s")
