"""Formulas as people write them, read into terms that carry SMT-LIB's names of operators.

From loosest to tightest binding:

    forall x, y. F      exists n: int. F     reach as far to the right as they can
    F <-> G             iff
    F -> G              implies; groups to the right
    F or G              | ||
    F and G             & &&
    not F               ~ !
    a = b  a != b  a < b  a <= b             a < b <= c is (a < b) and (b <= c)
    a + b  a - b
    a * b  a / b  a mod b
    -a
    a ^ 3               a whole exponent up to 8
    p  x  f(a, b)  abs(x)  2  0.5  true  false  (F)

The signs of logic and mathematics (¬ ∧ ∨ → ↔ ∀ ∃ ≤ ≥ ≠ ×) stand for the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_FORMULA_CHARS = 10_000
"""A longer text is no formula; nothing is spent on it."""
MAX_DEPTH = 100
"""Of terms inside terms. Python's stack is the reason."""
MAX_TERMS = 5_000
"""Of one formula, with the copies that powers and chains of comparisons make."""
MAX_EXPONENT = 8

_EXPONENT = re.compile(r"[1-9]\d?")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[^\W\d]['\w]*)"
    r"|(?P<sign><->|<=>|->|=>|<=|>=|!=|==|&&|\|\||[-+*/^()<>=,.:~!&|¬∧∨→⇒↔⇔∀∃⊤⊥≤≥≠×·−]))"
)
_SPELLINGS = {
    **dict.fromkeys(("<->", "<=>", "↔", "⇔", "iff"), "iff"),
    **dict.fromkeys(("->", "→", "⇒", "implies"), "=>"),
    **dict.fromkeys(("∨", "|", "||"), "or"),
    **dict.fromkeys(("∧", "&", "&&"), "and"),
    **dict.fromkeys(("~", "!", "¬"), "not"),
    **dict.fromkeys(("==",), "="),
    **dict.fromkeys(("!=", "≠"), "distinct"),
    "≤": "<=",
    "≥": ">=",
    "×": "*",
    "·": "*",
    "−": "-",
    "∀": "forall",
    "∃": "exists",
    "⊤": "true",
    "⊥": "false",
}
_WORDS = {"iff", "implies", "or", "and", "not", "mod", "forall", "exists", "true", "false"}
_COMPARISONS = ("=", "distinct", "<", "<=", ">", ">=")
_BINDING = {
    **{"iff": 1, "=>": 2, "or": 3, "and": 4},
    **dict.fromkeys(_COMPARISONS, 6),
    **{"+": 7, "-": 7, "*": 8, "/": 8, "mod": 8, "^": 10},
}
_NOT, _MINUS = 5, 9
_KNOWN_FUNCTIONS = ("abs",)
"""Any other name that is applied is what the premises say of it."""
_FLAT = ("and", "or", "+", "*")
"""One term with many arguments instead of terms inside terms."""


@dataclass(frozen=True, slots=True)
class Term:
    """An operator (by SMT-LIB's name), a name, or a number, with what it is applied to."""

    head: str
    args: tuple[Term, ...] = ()
    is_name: bool = False
    bound: tuple[tuple[str, str | None], ...] = ()
    """A quantifier's variables, each with the sort that was given to it."""
    depth: int = 1
    size: int = 1

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self.head[0].isdigit()


class _Token(NamedTuple):
    text: str
    """An operator as in `_BINDING`, a name or a number as written; "" is the end."""
    is_name: bool
    at: int


def parse_formula(text: str) -> Term:
    """Read one formula, or a term such as ``x + 1``.

    Raises:
        ValueError: It can't be read; the sentence says what was expected where.
    """
    if len(text) > MAX_FORMULA_CHARS:
        raise ValueError(f"{len(text)} characters, expected at most {MAX_FORMULA_CHARS}")
    parser = _Parser(_tokens(text))
    term = parser.term(0, 0)
    parser.take("", "an operator or the end")
    return term


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    end = len(text.rstrip())
    place = 0
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            raise ValueError(f"{text[at]!r} at character {at + 1} is no part of a formula")
        word, place = match[0].strip(), match.end()
        is_word = word.casefold() in _WORDS
        plain = _SPELLINGS.get(word.casefold() if is_word else word, word)
        plain = plain.casefold() if is_word else plain
        is_name = match["name"] is not None and not is_word
        tokens.append(_Token(plain, is_name, match.end() - len(word)))
    return [*tokens, _Token("", False, end)]


class _Parser:
    """Top-down operator precedence (Pratt 1973): two calls of Python's a level of nesting."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def take(self, text: str, expected: str) -> None:
        if self._next.is_name or self._next.text != text:
            found = repr(self._next.text) if self._next.text else "the end"
            raise ValueError(f"expected {expected} at character {self._next.at + 1}, not {found}")
        self._place += 1

    def _accept(self, text: str) -> bool:
        found = self._next.text == text and not self._next.is_name
        self._place += found
        return found

    def term(self, binding: int, depth: int) -> Term:
        """A term whose operators bind tighter than `binding`."""
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        left = self._first(depth)
        while not self._next.is_name and _BINDING.get(self._next.text, 0) > binding:
            left = self._behind(left, depth)
        return left

    def _behind(self, left: Term, depth: int) -> Term:
        """The term that an operator makes of what stands before and behind it."""
        operator = self._next.text
        self._place += 1
        strength = _BINDING[operator]
        if operator == "^":
            return self._power(left)
        if operator in _COMPARISONS:
            return self._compared(left, operator, depth)
        right = self.term(strength - (operator == "=>"), depth + 1)
        return _make("=" if operator == "iff" else operator, (left, right))

    def _compared(self, left: Term, operator: str, depth: int) -> Term:
        found: list[Term] = []
        while True:
            right = self.term(_BINDING[operator], depth + 1)
            found.append(_make(operator, (left, right)))
            if self._next.is_name or self._next.text not in _COMPARISONS:
                return found[0] if len(found) == 1 else _make("and", tuple(found))
            left, operator = right, self._next.text
            self._place += 1

    def _power(self, base: Term) -> Term:
        word = self._next.text
        if not _EXPONENT.fullmatch(word) or int(word) > MAX_EXPONENT:
            where = self._next.at + 1
            raise ValueError(f"expected an exponent of 1 to {MAX_EXPONENT} at character {where}")
        self._place += 1
        return base if word == "1" else _make("*", (base,) * int(word))

    def _first(self, depth: int) -> Term:
        token = self._next
        if token.is_name:
            return self._named(depth)
        if token.text[:1].isdigit():
            self._place += 1
            return Term(token.text)
        if self._accept("true") or self._accept("false"):
            return Term(token.text)
        if self._accept("("):
            inner = self.term(0, depth + 1)
            self.take(")", "')'")
            return inner
        if self._accept("not"):
            return _make("not", (self.term(_NOT, depth + 1),))
        if self._accept("-"):
            return _make("-", (self.term(_MINUS, depth + 1),))
        if self._accept("forall") or self._accept("exists"):
            return self._quantified(token.text, depth)
        raise ValueError(
            f"expected a formula at character {token.at + 1}, not"
            f" {repr(token.text) if token.text else 'the end'}"
        )

    def _named(self, depth: int) -> Term:
        name = self._next.text
        self._place += 1
        if not self._accept("("):
            return Term(name, is_name=True)
        args = [self.term(0, depth + 1)]
        while self._accept(","):
            args.append(self.term(0, depth + 1))
        self.take(")", "',' or ')'")
        is_name = name not in _KNOWN_FUNCTIONS or len(args) != 1
        return _bounded(Term(name, tuple(args), is_name=is_name))

    def _quantified(self, quantifier: str, depth: int) -> Term:
        names = [self._name()]
        while self._accept(","):
            names.append(self._name())
        sort = self._name() if self._accept(":") else None
        self.take(".", "'.' behind the variables")
        body = self.term(0, depth + 1)
        bound = tuple((name, sort) for name in names)
        return _bounded(Term(quantifier, (body,), bound=bound))

    def _name(self) -> str:
        if not self._next.is_name:
            raise ValueError(f"expected a name at character {self._next.at + 1}")
        self._place += 1
        return self._tokens[self._place - 1].text


def _make(operator: str, args: tuple[Term, ...]) -> Term:
    first = args[0]
    if operator in _FLAT and first.head == operator and not first.is_name:
        args = (*first.args, *args[1:])
    return _bounded(Term(operator, args))


def _bounded(term: Term) -> Term:
    """The term with its depth and size.

    Raises:
        ValueError: It is too deep or too large.
    """
    depth = 1 + max(part.depth for part in term.args)
    size = 1 + sum(part.size for part in term.args)
    if depth > MAX_DEPTH or size > MAX_TERMS:
        raise ValueError(f"nested more than {MAX_DEPTH} deep, or of more than {MAX_TERMS} terms")
    return replace(term, depth=depth, size=size)
