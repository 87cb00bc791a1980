"""Exact values of arithmetic expressions: a recursive-descent parser over `tokenize`'s tokens.

Values are rational numbers, a root that has none a close one. Everything is bounded (depth,
exponents, digits), so that no text makes it slow; what goes beyond, and what is no arithmetic, has
no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from rung.verify.tokens import Kind, Token

MAX_DEPTH = 40
MAX_EXPONENT = 400
MAX_BITS = 2048
MAX_FACTORIAL = 170
TINY = Fraction(1, 2**30)
"""Slack below this comes from roots: what agrees so closely is equal."""
PI = Fraction(math.pi)
PI_SLACK = Fraction(2, 1000)
"""Covers 3.14 and 22/7, which stand for pi in many a solution."""
ROOT_BITS = 64


class Value(NamedTuple):
    """A number, and how far off it may be: its parts were rounded, or have no exact value."""

    exact: Fraction
    slack: Fraction = Fraction(0)


class _NoValueError(Exception):
    """The tokens are not an expression that we can or want to compute."""


def evaluate(tokens: Sequence[Token], percent: Fraction = Fraction(1, 100)) -> Value | None:
    """The value of the whole sequence; None when it has none.

    Args:
        tokens: Numbers, signs, parentheses, fractions, units (which are passed over).
        percent: What a percent sign multiplies by: 1/100, or 1 where it is only a unit.
    """
    parser = _Parser([token for token in tokens if token.kind is not Kind.UNIT], percent)
    try:
        value = parser.sum(0)
        parser.expect_end()
    except (_NoValueError, ZeroDivisionError):
        return None
    return value


class _Parser:
    def __init__(self, tokens: Sequence[Token], percent: Fraction) -> None:
        self._tokens = tokens
        self._at = 0
        self._percent = percent

    def sum(self, depth: int) -> Value:
        total = self._product(depth)
        while self._sign() in ("+", "-"):
            sign = self._next().text
            term = self._product(depth)
            exact = total.exact + term.exact if sign == "+" else total.exact - term.exact
            total = _bounded(exact, total.slack + term.slack)
        return total

    def expect_end(self) -> None:
        if self._at != len(self._tokens):
            raise _NoValueError

    def _product(self, depth: int) -> Value:
        product, divided = self._signed(depth), False
        while True:
            if self._sign() in ("*", "/", "of"):
                sign = self._next().text
                if sign == "/" and divided:  # 28 / 1/5: meant as 28 / (1/5)
                    raise _NoValueError
                factor = self._signed(depth)
                product = _over(product, factor) if sign == "/" else _times(product, factor)
                divided = sign == "/"
            elif self._goes_on():
                if divided:  # 6/2(3): nobody knows
                    raise _NoValueError
                product = _times(product, self._power(depth))
            else:
                return product

    def _signed(self, depth: int) -> Value:
        if self._sign() not in ("+", "-"):
            return self._power(depth)
        if depth > MAX_DEPTH:
            raise _NoValueError
        sign, value = self._next().text, self._signed(depth + 1)
        return value if sign == "+" else Value(-value.exact, value.slack)

    def _power(self, depth: int) -> Value:
        base = self._percentage(depth)
        if self._sign() != "^":
            return base
        self._next()
        if self._kind() not in (Kind.NUMBER, Kind.OPEN):
            raise _NoValueError
        exponent = self._atom(depth).exact
        if self._sign() == "^" or exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT:
            raise _NoValueError
        power = Value(Fraction(1))
        for _ in range(abs(int(exponent))):
            power = _times(power, base)
        return power if exponent >= 0 else _over(Value(Fraction(1)), power)

    def _percentage(self, depth: int) -> Value:
        value = self._atom(depth)
        if self._kind() is Kind.FACTORIAL:
            self._next()
            value = _factorial(value)
        if self._kind() is Kind.PERCENT:
            self._next()
            value = Value(value.exact * self._percent, value.slack * self._percent)
        return value

    def _atom(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise _NoValueError
        token = self._next()
        if token.kind is Kind.NUMBER:
            value = Value(token.value, _rounding(token))
            is_mixed = self._kind() is Kind.FUNCTION and self._tokens[self._at].text == "frac"
            return self._mixed(value, depth) if is_mixed else value
        if token.kind is Kind.PI:
            return Value(PI, PI_SLACK)
        if token.kind is Kind.FUNCTION:
            return self._function(token.text, depth + 1)
        if token.kind is Kind.OPEN:
            return self._inside(depth)
        raise _NoValueError

    def _mixed(self, whole: Value, depth: int) -> Value:
        r"""``5\frac{1}{2}``; a product, as which TeX would set it as well, has no value."""
        kinds = [token.kind for token in self._tokens[self._at + 1 : self._at + 8]]
        part = self._atom(depth)
        is_plain = kinds[:6] == [Kind.OPEN, Kind.NUMBER, Kind.CLOSE] * 2 and not (
            kinds[6:] and kinds[6] in (Kind.FUNCTION, Kind.OPEN, Kind.PI)
        )
        if not is_plain or whole.exact.denominator != 1 or not 0 < part.exact < 1:
            raise _NoValueError
        return Value(whole.exact + part.exact, part.slack)

    def _function(self, name: str, depth: int) -> Value:
        if name in ("sqrt", "√"):
            return _root(self._radicand(name, depth))
        top, low = self._argument(depth), self._argument(depth)
        return _over(top, low) if name == "frac" else _binomial(top, low)

    def _radicand(self, name: str, depth: int) -> Value:
        r"""What stands under a root: ``\sqrt{16}``, ``\sqrt4`` (a digit, as in TeX), ``√16``."""
        if self._kind() is not Kind.NUMBER:
            return self._argument(depth)
        token = self._next()
        if name == "sqrt" and len(token.text) > 1:
            raise _NoValueError
        return Value(token.value, _rounding(token))

    def _argument(self, depth: int) -> Value:
        if self._kind() is not Kind.OPEN:
            raise _NoValueError
        return self._atom(depth)

    def _inside(self, depth: int) -> Value:
        value = self.sum(depth + 1)
        if self._next().kind is not Kind.CLOSE:
            raise _NoValueError
        return value

    def _goes_on(self) -> bool:
        r"""Whether a factor follows without a sign: ``2(3 + 4)``, ``2\sqrt{3}``, ``4\pi``."""
        if not 0 < self._at < len(self._tokens):
            return False
        before, token = self._tokens[self._at - 1], self._tokens[self._at]
        if token.kind is Kind.FUNCTION or token.kind is Kind.PI:
            return True
        return token.kind is Kind.OPEN and token.text == "(" and before.end == token.start

    def _kind(self) -> Kind | None:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else None

    def _sign(self) -> str | None:
        return self._tokens[self._at].text if self._kind() is Kind.OPERATOR else None

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise _NoValueError
        self._at += 1
        return self._tokens[self._at - 1]


def _times(a: Value, b: Value) -> Value:
    slack = abs(a.exact) * b.slack + abs(b.exact) * a.slack + a.slack * b.slack
    return _bounded(a.exact * b.exact, slack)


def _over(a: Value, b: Value) -> Value:
    exact = a.exact / b.exact
    if not b.slack:
        return _bounded(exact, a.slack / abs(b.exact))
    if b.slack >= abs(b.exact):
        raise _NoValueError
    return _bounded(exact, (a.slack + abs(exact) * b.slack) / (abs(b.exact) - b.slack))


def _factorial(value: Value) -> Value:
    if value.slack or value.exact.denominator != 1 or not 0 <= value.exact <= MAX_FACTORIAL:
        raise _NoValueError
    return Value(Fraction(math.factorial(int(value.exact))))


def _binomial(n: Value, k: Value) -> Value:
    if n.slack or k.slack or n.exact.denominator != 1 or k.exact.denominator != 1:
        raise _NoValueError
    if not 0 <= k.exact <= n.exact <= MAX_BITS // 2:
        raise _NoValueError
    return Value(Fraction(math.comb(int(n.exact), int(k.exact))))


def _root(value: Value) -> Value:
    if value.exact < 0 or value.slack > value.exact:
        raise _NoValueError
    top, low = (math.isqrt(part) for part in value.exact.as_integer_ratio())
    if not value.slack and Fraction(top, low) ** 2 == value.exact:
        return Value(Fraction(top, low))
    scaled = (value.exact.numerator << 2 * ROOT_BITS) // value.exact.denominator
    root = Fraction(math.isqrt(scaled), 1 << ROOT_BITS)
    if not root:
        raise _NoValueError
    return _bounded(root, value.slack / root + Fraction(1, 1 << ROOT_BITS))


def _bounded(exact: Fraction, slack: Fraction) -> Value:
    size = max(exact.numerator.bit_length(), exact.denominator.bit_length())
    if size > MAX_BITS:
        raise _NoValueError
    # the slack is a bound, so it may be coarse: it is kept short, rounding up
    return Value(exact, Fraction(-(-slack.numerator * 2**40 // slack.denominator), 2**40))


def _rounding(token: Token) -> Fraction:
    """Half a unit in the last place of a decimal that looks rounded, such as 0.33 or 16.667.

    Multiples of 1/80 (0.25, 1.5, 0.125, 0.05) look exact.
    """
    if token.decimals < 2 or (token.value * 80).denominator == 1:
        return Fraction(0)
    return Fraction(1, 2 * 10**token.decimals)
