"""A step's text cut into the tokens of arithmetic: numbers, signs, words, and what is neither.

Linear in the text's length: one pass with one regular expression, then passes over the tokens
(`rung.verify.marks`) for what depends on the context.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 40


class Kind(Enum):
    """What a token is for the calculator."""

    NUMBER = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    FUNCTION = auto()
    """What stands before its arguments: "frac", "binom", "sqrt", "√"."""
    PI = auto()
    FACTORIAL = auto()
    PERCENT = auto()
    EQUALS = auto()
    ABOUT = auto()
    ORDER = auto()
    """"<", "<=", ">", ">=" or "!="."""
    WORD = auto()
    UNIT = auto()
    """A word, or words, behind a number and before a sign: "3 eggs + 4 eggs"."""
    BREAK = auto()
    """An equation may begin or end here."""
    BARRIER = auto()
    """Nothing beside this is checked: a variable, an unknown command, a number too long."""

    __hash__ = object.__hash__  # enum's own hashes the name, on every look-up


class Token(NamedTuple):
    """A piece of the text at [start, end)."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Fraction = Fraction(0)
    decimals: int = 0
    """Digits behind the point, for a NUMBER."""


RELATIONS = frozenset([Kind.EQUALS, Kind.ABOUT, Kind.ORDER])
VALUE_ENDS = frozenset(
    [Kind.NUMBER, Kind.CLOSE, Kind.PERCENT, Kind.UNIT, Kind.FACTORIAL, Kind.PI],
)

_SPACE = r"[ \t\r~]+|\\[!,;: ]|\\(?:left|right|displaystyle|boxed)(?![a-zA-Z])|[&$]"
_COMMA = r"(?:,|\{,\}|,\\!|\\,)"
_DIGITS = rf"(?:\d{{1,3}}(?:{_COMMA}\d{{3}})+(?!\d)|\d+)"
_SQUARED = r"(?:\^\{?\d\}?|[²³])?"
_HALVES = dict(
    zip("½⅓⅔¼¾⅕⅛", ((1, 2), (1, 3), (2, 3), (1, 4), (3, 4), (1, 5), (1, 8)), strict=True)
)
_PATTERN = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in [
            # most of a text, first for speed
            ("GAP", r" +(?=[a-zA-Z0-9])"),
            ("LETTERS", rf"[a-oq-wyzA-OQ-WYZ][^\W\d_π]*(?:['’][a-z]+)?{_SQUARED}"),
            # the equation goes on in the next line or formula
            (
                "JOIN",
                r"(?:\\\\|\n|\\\]\s{0,3}\\\[|\$\$\s{0,3}\$\$)[\s&]{0,20}(?=[=≈]|\\approx)",
            ),
            ("BULLET", r"(?:(?<=\n)(?<!\\\n)|^)[ \t]*[-*+•][ \t]+"),
            ("NEWLINE", r"\n|\\\\"),
            ("ENVIRONMENT", r"\\(?:begin|end)\{(?:align|gather|equation|split|aligned)\*?\}"),
            ("HALF", rf"\d{{0,4}} ?[{''.join(_HALVES)}]"),
            ("MIXED", r"\\?\$?(?<![\d.,/])\d{1,4} \d{1,3}/\d{1,3}(?![\d/.])"),
            ("REPEATING", r"\d{0,9}\.\d{0,9}\\overline\{\d{1,9}\}"),
            (
                "NUMBER",
                rf"(?:\\?\$)?(?:{_DIGITS}(?:\.\d+)?|(?<![\d.])\.\d+)(?:[eE][+-]?\d+(?![\w]))?",
            ),
            ("PERCENT", r"\\?%|percent(?![a-zA-Z])"),
            ("SHORT", r"\\[dtc]?frac ?\d ?\d(?!\d)"),
            ("FUNCTION", r"\\[dtc]?(?:frac|binom)(?![a-zA-Z])|\\sqrt(?![a-zA-Z\[])|√"),
            (
                "ARROW",
                r"={1,3}>|[-−]{1,3}>|[→⇒⟹]|\\(?:Long|long)?[Rr]ightarrow|\\implies",
            ),
            ("UNSURE", "!="),  # unequal, or a factorial
            ("ORDER", r"[<>]=?|[≤≥≠]|\\(?:leq?|geq?|neq?|lt|gt)(?![a-zA-Z])"),
            ("EQUALS", r"==?"),
            ("ABOUT", r"≈|≃|≅|\\approx|\\simeq"),
            ("TIMES", r"\\?\*(?!\*)|[×·⋅∙✕]|\\(?:times|cdot)(?![a-zA-Z])|[xX](?=\s*\$?\.?\d)"),
            ("DIVIDE", r"÷|\\div(?![a-zA-Z])|/(?!\s?(?:\\text\{ ?)?[a-zA-Z])"),
            ("PER", r"(?:/\s?|per )(?:\\text\{ ?)?[a-zA-Z]{2,}\}?"),
            ("PLUS", r"\+"),
            ("MINUS", r"[-−–]"),
            ("SQUARE", "²"),
            ("CUBE", "³"),
            ("STARS", r"\*\*+"),
            ("POWER", r"\^(?! ?\{? ?\\circ)"),
            ("DEGREE", r"\^ ?\{? ?\\circ ?\}?|°"),
            (
                "REMARK",
                r"\((?:[a-zA-Z][a-zA-Z '-]{2,40}|\\text\{[a-zA-Z '-]{1,40}\})\)"
                r"|\([a-zA-Z]{2,} [a-zA-Z0-9 ,.'$%-]{1,100}\)"
                r"|\\text\{ ?\([a-zA-Z '-]{1,40}\) ?\}",
            ),
            ("OPEN", r"(?:\\(?:left|bigl?|Bigl?)\s?)?[(\[{]"),
            ("CLOSE", r"(?:\\(?:right|bigr?|Bigr?)\s?)?[)\]}]"),
            (
                "TEXT",
                r"\\(?:text|mathrm|mbox|textbf|textrm)\s*\{[a-zA-Z ./]*\}(?:\^\{?\d\}?|[²³])?",
            ),
            ("MARK", r"\\[()\[\]]|\\q?quad(?![a-zA-Z])"),
            ("SPACE", _SPACE),
            ("PI", r"π|\\pi(?![a-zA-Z])"),
            ("FACTORIAL", r"!"),
            ("WORD", r"[^\W\d_π]+(?:['’][a-z]+)?" + _SQUARED),
            ("DOTS", r"\.\.+|…|\\[lc]?dots(?![a-zA-Z])"),
            ("PAUSE", r"[.,;:?\"“”‘’'`]"),
            ("OTHER", r"\\[a-zA-Z]+|."),
        ]
    ),
    re.DOTALL,
)
_SIGNS = {"PLUS": "+", "MINUS": "-", "TIMES": "*", "DIVIDE": "/", "POWER": "^"}
_AS_THEY_ARE = {name: Kind[name] for name in ("PERCENT", "EQUALS", "ABOUT", "OPEN", "CLOSE", "PI")}
_INVISIBLE = {"GAP", "JOIN", "SPACE", "DEGREE"}
_BARRIERS = {"OTHER", "DOTS", "REMARK", "UNSURE"}
_ORDERS = {
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "\\lt": "<",
    "\\gt": ">",
    "\\le": "<=",
    "\\leq": "<=",
    "\\ge": ">=",
    "\\geq": ">=",
    "\\ne": "!=",
    "\\neq": "!=",
}
_SCALE = re.compile(
    "(?:dozen|hundred|thousand|million|billion|trillion|cent)s?|pi|squared|cubed|factorial|"
    "st|nd|rd|th",
    re.IGNORECASE,
)
_SHORT_UNIT = re.compile(  # no single letters: they may be variables
    "kg|mg|km|cm|mm|kmh|kph|mph|ml|lbs?|oz|ft|in|yd|hrs?|mins?|sec|kw|gb|mb|am|pm", re.IGNORECASE
)
_INITIALS = re.compile("(?!USD|EUR|GBP|KG|KM|CM|MM|ML|LBS?|OZ|FT|HRS?)[A-Z]{2,3}")
_NOT_PLAIN = re.compile(r"[\\$,{}!]")


def tokenize(text: str) -> list[Token]:
    """The tokens of a step as they stand there; `rung.verify.marks` reads them in their context."""
    tokens: list[Token] = []
    for found in _PATTERN.finditer(text):
        name = str(found.lastgroup)
        if name in _INVISIBLE:
            continue
        if name == "STARS":
            if not _is_power(text, found, tokens):
                continue
            name = "POWER"
        if name == "REMARK" and text[found.start() - 1 : found.start()].isspace():
            continue  # 20 * 40 (tomato seeds)
        tokens.extend(_read(name, found, tokens[-1] if tokens else None))
    return tokens


def _is_power(text: str, found: re.Match[str], tokens: list[Token]) -> bool:
    """Whether "**" stands between values, as in 2**3, and is not bold type."""
    touches = bool(tokens) and tokens[-1].end == found.start() and tokens[-1].kind in VALUE_ENDS
    return touches and len(found.group()) == 2 and text[found.end() : found.end() + 1].isdigit()


def _read(name: str, found: re.Match[str], before: Token | None) -> tuple[Token, ...]:
    text, (start, end) = found.group(), found.span()
    if name in ("WORD", "LETTERS"):
        return (_word(text, start, end, before),)
    if name in ("NUMBER", "MIXED", "HALF", "SHORT", "REPEATING"):
        return (_number(name, text, start, end, before),)
    if name in _SIGNS:
        return (_sign(text, start, end, _SIGNS[name], before),)
    if name in ("SQUARE", "CUBE"):
        power = Fraction(2 if name == "SQUARE" else 3)
        exponent = Token(Kind.NUMBER, text, start, end, power)
        return (Token(Kind.OPERATOR, "^", start, end), exponent)
    if name in ("TEXT", "PER"):
        text = re.sub(r"\\[a-z]+\s*\{|\}.*", "", text).strip()
        return (Token(Kind.WORD, "/" if name == "PER" else text, start, end),)
    return (Token(_kind(name, text, start, before), _spelled(name, text), start, end),)


def _kind(name: str, text: str, start: int, before: Token | None) -> Kind:
    touching = before.kind if before is not None and before.end == start else None
    if name == "OPEN" and touching is Kind.WORD:
        return Kind.BARRIER  # f(3)
    if name == "FACTORIAL":
        return Kind.FACTORIAL if touching in VALUE_ENDS else Kind.BREAK
    if name in ("FUNCTION", "ORDER"):
        return Kind[name]
    if name in _AS_THEY_ARE:
        return _AS_THEY_ARE[name]
    return Kind.BARRIER if name in _BARRIERS else Kind.BREAK


def _spelled(name: str, text: str) -> str:
    """One spelling for each function and each sign of order."""
    if name in ("OPEN", "CLOSE"):
        return text[-1]
    if name == "FUNCTION":
        return text[-5:] if "binom" in text else text[-4:]  # "frac", "sqrt", "√"
    return _ORDERS.get(text, text) if name == "ORDER" else text


def _number(name: str, text: str, start: int, end: int, before: Token | None) -> Token:
    digits = _NOT_PLAIN.sub("", text) if name != "REPEATING" else text
    is_cut = before is not None and before.end == start and before.text in ",."  # 16,0000
    is_clock = digits[0] == "0" and digits[1:2].isdigit()  # 0730
    found = None if is_cut or is_clock else _value(name, digits)
    if found is None:
        return Token(Kind.BARRIER, text, start, end)
    return Token(Kind.NUMBER, text, start, end, *found)


def _value(name: str, digits: str) -> tuple[Fraction, int] | None:
    """A number's value and its decimals; None when it is too long or divides by zero."""
    if name == "NUMBER":
        return _decimal(digits)
    if name == "HALF":
        return Fraction(int(digits[:-1].strip() or 0)) + Fraction(*_HALVES[digits[-1]]), 0
    if name == "SHORT":
        top, low = (int(digit) for digit in digits if digit.isdigit())
        return (Fraction(top, low), 0) if low else None
    if name == "MIXED":
        whole, part = digits.split(" ")
        top, low = map(int, part.split("/"))
        return (int(whole) + Fraction(top, low), 0) if low else None
    plain, _, period = digits.rstrip("}").partition("\\overline{")
    decimals = len(plain.partition(".")[2])
    tail = Fraction(int(period), 10**decimals * (10 ** len(period) - 1))
    return Fraction(plain.rstrip(".") or 0) + tail, 0


def _decimal(digits: str) -> tuple[Fraction, int] | None:
    mantissa, _, exponent = digits.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 3:
        return None
    whole, _, decimals = mantissa.partition(".")
    value = Fraction(int(whole + decimals), 10 ** len(decimals))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return value, max(0, len(decimals) - int(exponent or 0))


def _sign(text: str, start: int, end: int, sign: str, before: Token | None) -> Token:
    if text in ("x", "X") and (
        before is None or not (before.kind in VALUE_ENDS or before.kind is Kind.WORD)
    ):
        return Token(Kind.BARRIER, text, start, end)  # the variable x
    # how a product was written is kept: "3 * 4" may be somebody's own operation
    return Token(Kind.OPERATOR, sign, start, end, Fraction(text == "*"))


def _word(text: str, start: int, end: int, before: Token | None) -> Token:
    """A word. Variables and words that change the number before them are barriers."""
    letters = text.rstrip("^{}0123456789²³")
    touches = before is not None and before.kind in VALUE_ENDS and before.end == start
    is_unit = _SHORT_UNIT.fullmatch(letters) if touches else len(letters) > 1 or letters in "aI"
    is_name = before is not None and before.kind in VALUE_ENDS and _INITIALS.fullmatch(letters)
    if not is_unit or is_name or _SCALE.fullmatch(letters):
        return Token(Kind.BARRIER, text, start, end)
    return Token(Kind.WORD, text, start, end)
