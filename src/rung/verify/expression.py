"""Exact values of arithmetic expressions: a recursive-descent parser over `tokenize`'s tokens.

Values are rational numbers. Everything is bounded (depth, exponents, digits), so that no text
makes it slow; what goes beyond, and what is no arithmetic, has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from rung.verify.tokens import Kind, Token

MAX_DEPTH = 40
MAX_EXPONENT = 400
MAX_BITS = 2048


class Value(NamedTuple):
    """A rational number, and how far off it may be because the text rounded its parts."""

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
            if self._sign() in ("*", "/"):
                sign = self._next().text
                if sign == "/" and divided:  # 28 / 1/5: meant as 28 / (1/5)
                    raise _NoValueError
                factor = self._signed(depth)
                product = _times(product, factor) if sign == "*" else _over(product, factor)
                divided = sign == "/"
            elif self._touching_parenthesis():
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
        if self._kind() is Kind.PERCENT:
            self._next()
            value = Value(value.exact * self._percent, value.slack * self._percent)
        return value

    def _atom(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise _NoValueError
        token = self._next()
        if token.kind is Kind.NUMBER:
            return Value(token.value, _rounding(token))
        if token.kind is Kind.FRACTION:
            return _over(self._argument(depth), self._argument(depth))
        if token.kind is Kind.OPEN:
            return self._inside(depth)
        raise _NoValueError

    def _argument(self, depth: int) -> Value:
        if self._kind() is not Kind.OPEN:
            raise _NoValueError
        return self._atom(depth)

    def _inside(self, depth: int) -> Value:
        value = self.sum(depth + 1)
        if self._next().kind is not Kind.CLOSE:
            raise _NoValueError
        return value

    def _touching_parenthesis(self) -> bool:
        if not 0 < self._at < len(self._tokens):
            return False
        before, token = self._tokens[self._at - 1], self._tokens[self._at]
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
