"""The process that asks sympy: a claim about formulas in, a verdict out.

What it decides, and no more:

- A link ``a = b`` is right if it is an identity, and wrong if it can't hold for any value.
- A link behind an identity (``a = b = c``, where a and b are equal for all values) is a
  transformation as well; it is wrong if b and c are polynomials of one degree in one variable and
  differ. (Where something given is put in, as ``x^2 = x + 1`` or ``ab = 5``, the degree falls, or
  there are several variables.)
- An equation that follows from another one is right if both have the same solutions, and wrong if
  they have none in common: no value satisfies what the text says of the variable.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import sympy

from rung.core import Verdict
from rung.verify.algebra_formula import NoFormulaError, parse
from rung.verify.serving import serve

POINTS = (sympy.Rational(13, 10), sympy.Rational(29, 7))
"""Where sides are compared that are no polynomials: the n-th variable has the n-th power."""
DIGITS = 40
_NO_FACTOR = re.compile(
    r"[a-zA-Z](?:\^\{?-1\}?)?\s*(?:\\left\s*)?[(\[]|(?<![a-z])i(?![a-z])|\\omega"
)
ROUNDED = sympy.Rational(1, 50)
"""How far apart the solutions of equations with decimals may be, relative to their size."""


class Claim(msgspec.Struct, array_like=True):
    """An equation, and the one before it."""

    left: str
    right: str
    before: tuple[str, str] | None = None
    follows: bool = False
    """`before` is another equation, from which this one follows; else the link before this one."""


def judge(claim: Claim) -> Verdict:
    """The verdict; UNPARSED for what is not understood and for what stays open. Never raises."""
    try:
        sides = parse(claim.left), parse(claim.right)
        before = (parse(claim.before[0]), parse(claim.before[1])) if claim.before else None
        if before is not None and claim.follows:
            verdict = _judge_derived(before, sides, claim)
        else:
            verdict = _judge_link(before, sides)
    except NoFormulaError:
        return Verdict.UNPARSED
    except (RecursionError, MemoryError, OverflowError):
        return Verdict.TIMEOUT
    except Exception:  # sympy raises many kinds
        return Verdict.UNPARSED
    is_doubtful = verdict is Verdict.INCORRECT and _has_no_factors(claim)
    return Verdict.UNPARSED if is_doubtful else verdict


def _has_no_factors(claim: Claim) -> bool:
    """Whether a letter may be no variable: a function before parentheses, or the unit i."""
    return any(_NO_FACTOR.search(side) for side in (claim.left, claim.right, *(claim.before or ())))


def _judge_link(before: tuple[Any, Any] | None, sides: tuple[Any, Any]) -> Verdict:
    left, right = sides
    if not left.free_symbols and not right.free_symbols:
        return Verdict.UNPARSED  # the calculator has had it
    gap = sympy.expand(left - right)
    if _is_zero(gap):
        return Verdict.CORRECT
    is_impossible = not gap.free_symbols and bool(left.free_symbols & right.free_symbols)
    is_alike = left.free_symbols == right.free_symbols and _degree(left) == _degree(right) > 0
    is_derived = before is not None and is_alike and _is_zero(sympy.expand(before[0] - before[1]))
    return Verdict.INCORRECT if is_impossible or is_derived else Verdict.UNPARSED


def _degree(side: Any) -> int:
    """The degree of a polynomial in one variable, 0 for anything else."""
    symbols = side.free_symbols
    is_polynomial = len(symbols) == 1 and side.is_polynomial(*symbols)
    return sympy.Poly(side, *symbols).total_degree() if is_polynomial else 0


def _is_zero(expanded: Any) -> bool:
    """Whether an expression vanishes for all (positive) values."""
    if expanded == 0:
        return True
    symbols = sorted(expanded.free_symbols, key=str)
    if not symbols or expanded.is_polynomial(*symbols):
        return not symbols and abs(expanded.evalf(DIGITS)) < 10 ** (-DIGITS // 2)
    for point in POINTS:
        values = {symbol: point ** (k + 1) for k, symbol in enumerate(symbols)}
        value = expanded.evalf(DIGITS, subs=values)
        if not value.is_number or abs(value) > 10 ** (-DIGITS // 2):
            return False
    return True


def _judge_derived(before: tuple[Any, Any], sides: tuple[Any, Any], claim: Claim) -> Verdict:
    first, second = (sympy.expand(a - b) for a, b in (before, sides))
    symbols = first.free_symbols
    if not symbols or symbols != second.free_symbols:
        return Verdict.UNPARSED
    a, b = (
        sympy.Poly(sympy.fraction(sympy.together(side))[0], *symbols) for side in (first, second)
    )
    if a.monic() == b.monic():
        return Verdict.CORRECT
    if len(symbols) > 1 or min(a.degree(), b.degree()) < 1 or a.gcd(b).degree() > 0:
        return Verdict.UNPARSED
    if "." in "".join((claim.left, claim.right, *(claim.before or ()))) and _is_near(a, b):
        return Verdict.UNPARSED
    return Verdict.INCORRECT


def _is_near(a: Any, b: Any) -> bool:
    """Whether a solution of one is that of the other, but for rounding on the way."""
    roots_a, roots_b = a.nroots(), b.nroots()
    return any(abs(x - y) <= ROUNDED * (1 + abs(x)) for x in roots_a for y in roots_b)


def _answer(line: bytes) -> bytes:
    return judge(msgspec.json.decode(line, type=Claim)).encode()


if __name__ == "__main__":
    serve(_answer, warm_up=lambda: judge(Claim("(x+1)^2", "x^2+2x+1", ("2x", "2"), True)))
