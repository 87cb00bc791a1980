"""Formulas with variables: from LaTeX or plain text to sympy. Only worker processes import this.

A parser of our own, since here a formula is read wholly or not at all: every single letter is a
variable (``e`` and ``i`` too, so nothing that holds for all values depends on what they mean), a
name before parentheses is a product like any other, and nothing is guessed.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import sympy

MAX_EXPONENT = 30
MAX_DEPTH = 40
MAX_FORMULA_CHARS = 400

_TOKEN = re.compile(
    r"\s+|\\(?:left|right|displaystyle|boxed|[,;:! ])|[&~]"
    r"|(?P<number>(?:\d{1,3}(?:(?:,|\{,\})\d{3})+(?!\d)|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40})"
    r"|(?P<letter>[a-zA-Z](?!')|\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega)(?![a-zA-Z]))"
    r"|(?P<call>\\(?:[dt]?frac|sqrt|pi)(?![a-zA-Z\[]))"
    r"|(?P<sign>[-+*/^(){}−×·÷]|\\(?:cdot|times|div)(?![a-zA-Z]))"
)
_SPELLED = {"−": "-", "×": "*", "·": "*", "÷": "/", "\\cdot": "*", "\\times": "*", "\\div": "/"}
_CLOSES = {"(": ")", "{": "}"}


class NoFormulaError(Exception):
    """The text is no formula that is understood as a whole."""


def parse(text: str) -> Any:
    """The sympy expression of a side of an equation.

    Raises:
        NoFormulaError: Something in it is not understood, or it is too large.
    """
    parser = _Parser(_tokens(text))
    expression = parser.sum(0)
    if parser.has_more:
        raise NoFormulaError
    return expression


def _tokens(text: str) -> list[str]:
    tokens, at = list[str](), 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or len(text) > MAX_FORMULA_CHARS:
            raise NoFormulaError
        if found.lastgroup:
            token = re.sub(r"[,{}]", "", found.group()) if found.lastgroup == "number" else ""
            token = token or found.group()
            tokens.append(_SPELLED.get(token, token))
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._tokens)

    def sum(self, depth: int) -> Any:
        total = self._product(depth)
        while self._peek() in ("+", "-"):
            sign = 1 if self._next() == "+" else -1
            total += sign * self._product(depth)
        return total

    def _product(self, depth: int) -> Any:
        product, divided = self._signed(depth), False
        while self.has_more and self._peek() not in ("+", "-", ")", "}", "^"):
            sign = self._next() if self._peek() in ("*", "/") else ""
            # 1/2x, 6/2/3, 3 4, 5\frac{1}{2}: nobody knows, or it is no product
            if not sign and (divided or self._peek()[0] in "0123456789." or self._after_number()):
                raise NoFormulaError
            factor = self._signed(depth) if sign else self._power(depth)
            if sign == "/" and (divided or factor == 0):
                raise NoFormulaError
            divided = sign == "/"
            product = product / factor if divided else product * factor
        return product

    def _after_number(self) -> bool:
        before = self._tokens[self._at - 1]
        return before[-1].isdigit() and "frac" in self._peek()

    def _signed(self, depth: int) -> Any:
        if self._peek() not in ("+", "-"):
            return self._power(depth)
        if depth > MAX_DEPTH:
            raise NoFormulaError
        sign = 1 if self._next() == "+" else -1
        return sign * self._signed(depth + 1)

    def _power(self, depth: int) -> Any:
        base = self._atom(depth)
        if self._peek() != "^":
            return base
        self._next()
        exponent = self._atom(depth)
        if self._peek() == "^" or (exponent.is_number and abs(exponent) > MAX_EXPONENT):
            raise NoFormulaError
        if base == 0 and not exponent.is_positive:
            raise NoFormulaError
        return base**exponent

    def _atom(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NoFormulaError
        token = self._next()
        if token in _CLOSES:
            return self._inside(token, depth)
        if token[0].isdigit() or token[0] == ".":
            value = Fraction(token)
            return sympy.Rational(value.numerator, value.denominator)
        if token == "\\pi":
            return sympy.pi
        if token == "\\sqrt":
            return sympy.sqrt(self._argument(depth))
        if token.endswith("frac"):
            top, low = self._argument(depth), self._argument(depth)
            if low == 0:
                raise NoFormulaError
            return top / low
        if token.startswith("\\") or token.isalpha():
            return sympy.Symbol(token)
        raise NoFormulaError

    def _argument(self, depth: int) -> Any:
        if self._next() != "{":
            raise NoFormulaError
        return self._inside("{", depth)

    def _inside(self, opening: str, depth: int) -> Any:
        value = self.sum(depth + 1)
        if self._next() != _CLOSES[opening]:
            raise NoFormulaError
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self.has_more else ""

    def _next(self) -> str:
        if not self.has_more:
            raise NoFormulaError
        self._at += 1
        return self._tokens[self._at - 1]
