"""A step's text cut into the tokens of arithmetic: numbers, signs, words, and what is neither.

Linear in the text's length: one pass with one regular expression, one pass for the context.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction

MAX_DIGITS = 40
MAX_UNIT_WORDS = 3


class Kind(Enum):
    """What a token is for the calculator."""

    NUMBER = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    FRACTION = auto()
    PERCENT = auto()
    EQUALS = auto()
    ABOUT = auto()
    WORD = auto()
    UNIT = auto()
    """A word, or words, behind a number and before a sign: "3 eggs + 4 eggs"."""
    BREAK = auto()
    """An equation may begin or end here."""
    BARRIER = auto()
    """Nothing beside this is checked: a variable, an unknown command, a number too long."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text at [start, end)."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Fraction = Fraction(0)
    decimals: int = 0
    """Digits behind the point, for a NUMBER."""


_SPACE = r"[ \t\r~]+|\\[!,;: ]|\\(?:left|right|displaystyle|boxed)(?![a-zA-Z])|[&$]"
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\})\d{3})+(?!\d)|\d+)"
_SQUARED = r"(?:\^\{?\d\}?|[²³])?"
_PATTERN = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in [
            ("JOIN", r"(?:\\\\|\n)[\s&]{0,20}(?=[=≈])"),  # the equation goes on in the next line
            ("BULLET", r"(?:(?<=\n)|^)[ \t]*[-*+•][ \t]+"),
            ("NEWLINE", r"\n|\\\\"),
            ("MIXED", r"\\?\$?(?<![\d.,/])\d{1,4} \d{1,3}/\d{1,3}(?![\d/.])"),
            (
                "NUMBER",
                rf"(?:\\?\$)?(?:{_DIGITS}(?:\.\d+)?|(?<![\d.])\.\d+)(?:[eE][+-]?\d+(?![\w]))?",
            ),
            ("PERCENT", r"\\?%|percent(?![a-zA-Z])"),
            ("FRACTION", r"\\[dtc]?frac(?![a-zA-Z])"),
            (
                "ARROW",
                r"={1,3}>|[-−]{1,3}>|[→⇒⟹]|\\(?:Long|long)?[Rr]ightarrow|\\implies",
            ),
            ("EQUALS", r"==?"),
            ("ABOUT", r"≈|≃|≅|\\approx|\\simeq"),
            ("TIMES", r"\\?\*(?!\*)|[×·⋅∙✕]|\\(?:times|cdot|ast)(?![a-zA-Z])|[xX](?=\s*\$?\.?\d)"),
            ("DIVIDE", r"÷|\\div(?![a-zA-Z])|/(?!\s?[a-zA-Z])"),
            ("PER", r"(?:/\s?|per )[a-zA-Z]{2,}"),
            ("PLUS", r"\+"),
            ("MINUS", r"[-−–]"),
            ("SQUARE", "²"),
            ("CUBE", "³"),
            ("STARS", r"\*\*+"),
            ("POWER", r"\^(?! ?\{? ?\\circ)"),
            ("DEGREE", r"\^ ?\{? ?\\circ ?\}?|°"),
            ("REMARK", r"\((?:[a-zA-Z][a-zA-Z '-]{2,40}|\\text\{[a-zA-Z '-]{1,40}\})\)"),
            ("OPEN", r"[(\[{]"),
            ("CLOSE", r"[)\]}]"),
            (
                "TEXT",
                r"\\(?:text|mathrm|mbox|textbf|textrm)\s*\{[a-zA-Z ./]*\}(?:\^\{?\d\}?|[²³])?",
            ),
            ("MARK", r"\\[()\[\]]"),
            ("SPACE", _SPACE),
            ("WORD", r"[^\W\d_]+(?:['’][a-z]+)?" + _SQUARED),
            ("DOTS", r"\.\.+|…"),
            ("PAUSE", r"[.,;:?\"“”‘’'`]|!(?=\s|$)"),
            ("OTHER", r"\\[a-zA-Z]+|."),
        ]
    ),
    re.DOTALL,
)
_SIGNS = {"PLUS": "+", "MINUS": "-", "TIMES": "*", "DIVIDE": "/", "POWER": "^"}
_AS_THEY_ARE = {"PERCENT", "FRACTION", "EQUALS", "ABOUT", "OPEN", "CLOSE"}
_INVISIBLE = {"JOIN", "SPACE", "DEGREE"}
_PARTNER = {")": "(", "]": "[", "}": "{"}
_VALUE_ENDS = {Kind.NUMBER, Kind.CLOSE, Kind.PERCENT, Kind.UNIT}
_SCALE = re.compile(
    "(?:dozen|hundred|thousand|million|billion|trillion|cent)s?|pi|sqrt|squared|cubed|factorial|"
    "st|nd|rd|th",
    re.IGNORECASE,
)
_SHORT_UNIT = re.compile(  # no single letters: they may be variables
    "kg|mg|km|cm|mm|kmh|kph|mph|ml|lbs?|oz|ft|in|yd|hrs?|mins?|sec|kw|gb|mb|am|pm", re.IGNORECASE
)
_NO_UNIT = re.compile(
    "so|and|but|or|then|is|are|was|were|which|that|to|if|when|since|because|thus|therefore|also|as|"
    "while|gives?|makes?|equals?",
    re.IGNORECASE,
)


def tokenize(text: str) -> list[Token]:
    """The tokens of a step, with units marked and stray parentheses turned into breaks."""
    tokens: list[Token] = []
    for found in _PATTERN.finditer(text):
        name = str(found.lastgroup)
        if name == "STARS" and _is_power(text, found, tokens):
            name = "POWER"
        if name == "REMARK" and text[found.start() - 1 : found.start()].isspace():
            continue  # 20 * 40 (tomato seeds)
        if name not in _INVISIBLE and name != "STARS":
            tokens.extend(_read(name, found, tokens[-1] if tokens else None))
    return _pair_parentheses(_mark_units(tokens))


def _is_power(text: str, found: re.Match[str], tokens: list[Token]) -> bool:
    """Whether "**" stands between values, as in 2**3, and is not bold type."""
    touches = bool(tokens) and tokens[-1].end == found.start() and tokens[-1].kind in _VALUE_ENDS
    return touches and len(found.group()) == 2 and text[found.end() : found.end() + 1].isdigit()


def _read(name: str, found: re.Match[str], before: Token | None) -> list[Token]:
    text, start, end = found.group(), found.start(), found.end()
    token = Token(Kind.BREAK, text, start, end)
    if name in ("NUMBER", "MIXED"):
        return [_number(token, before)]
    if name in _SIGNS:
        return [_sign(token, _SIGNS[name], before)]
    if name in ("SQUARE", "CUBE"):
        power = Fraction(2 if name == "SQUARE" else 3)
        exponent = replace(token, kind=Kind.NUMBER, value=power)
        return [replace(token, kind=Kind.OPERATOR, text="^"), exponent]
    if name == "OPEN" and before and before.kind is Kind.WORD and before.end == start:
        return [replace(token, kind=Kind.BARRIER)]  # f(3)
    if name in _AS_THEY_ARE:
        return [replace(token, kind=Kind[name])]
    if name in ("WORD", "TEXT", "PER"):
        return [_word(token, name, before)]
    is_barrier = name in ("OTHER", "DOTS", "REMARK")
    return [replace(token, kind=Kind.BARRIER) if is_barrier else token]


def _number(token: Token, before: Token | None) -> Token:
    digits = re.sub(r"[\\$,{}]", "", token.text)
    mantissa, _, exponent = digits.lower().partition("e")
    is_cut = before is not None and before.end == token.start and before.text in ",."  # 16,0000
    is_clock = mantissa[0] == "0" and mantissa[1:2].isdigit()  # 0730
    if len(mantissa) > MAX_DIGITS or len(exponent) > 3 or is_cut or is_clock:
        return replace(token, kind=Kind.BARRIER)
    whole, _, part = mantissa.partition(" ")
    if part:
        top, low = part.split("/")
        if int(low) == 0:
            return replace(token, kind=Kind.BARRIER)
        return replace(token, kind=Kind.NUMBER, value=int(whole) + Fraction(int(top), int(low)))
    value = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
    decimals = max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))
    return replace(token, kind=Kind.NUMBER, value=value, decimals=decimals)


def _sign(token: Token, sign: str, before: Token | None) -> Token:
    if token.text in ("x", "X") and (
        before is None or before.kind not in (*_VALUE_ENDS, Kind.WORD)
    ):
        return replace(token, kind=Kind.BARRIER)  # the variable x
    return replace(token, kind=Kind.OPERATOR, text=sign)


def _word(token: Token, name: str, before: Token | None) -> Token:
    """A word. Variables and words that change the number before them are barriers."""
    if name != "WORD":
        text = re.sub(r"\\[a-z]+\s*\{|\}.*", "", token.text).strip()
        return replace(token, kind=Kind.WORD, text="/" if name == "PER" else text)
    letters = token.text.rstrip("^{}0123456789²³")
    touches = before is not None and before.kind in _VALUE_ENDS and before.end == token.start
    is_unit = _SHORT_UNIT.fullmatch(letters) if touches else len(letters) > 1 or letters in "aI"
    if not is_unit or _SCALE.fullmatch(letters):
        return replace(token, kind=Kind.BARRIER)
    return replace(token, kind=Kind.WORD)


def _mark_units(tokens: list[Token]) -> list[Token]:
    """Turn up to three words between a value and a sign or a closing parenthesis into a unit."""
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        is_unit = (
            token.kind is Kind.WORD
            and bool(marked)
            and marked[-1].kind in _VALUE_ENDS
            and _sign_follows(tokens, index)
        )
        marked.append(replace(token, kind=Kind.UNIT) if is_unit else token)
    return marked


def _sign_follows(tokens: list[Token], index: int) -> bool:
    words = 0
    while index < len(tokens) and tokens[index].kind is Kind.WORD and words < MAX_UNIT_WORDS:
        if _NO_UNIT.fullmatch(tokens[index].text):
            return False
        index, words = index + 1, words + 1
    after = tokens[index].kind if index < len(tokens) else Kind.BREAK
    return after in (Kind.OPERATOR, Kind.EQUALS, Kind.ABOUT, Kind.CLOSE)


def _pair_parentheses(tokens: list[Token]) -> list[Token]:
    """Keep the parentheses that hold arithmetic; others are breaks or, in formulas, barriers."""
    paired, open_at = list(tokens), list[int]()

    def give_up(indices: list[int], kind: Kind) -> None:
        for index in indices:
            is_prose = tokens[index].text in "()"
            paired[index] = replace(tokens[index], kind=kind if is_prose else Kind.BARRIER)

    for index, token in enumerate(tokens):
        if token.kind is Kind.OPEN:
            open_at.append(index)
        elif token.kind is Kind.CLOSE and open_at:
            if tokens[open_at[-1]].text == _PARTNER[token.text]:
                open_at.pop()
            else:
                give_up([*open_at, index], Kind.BARRIER)
                open_at.clear()
        elif token.kind is Kind.CLOSE:
            give_up([index], Kind.BREAK)
        elif token.kind in (Kind.EQUALS, Kind.ABOUT, Kind.BREAK, Kind.WORD, Kind.BARRIER):
            is_prose = token.kind in (Kind.EQUALS, Kind.ABOUT, Kind.BREAK)
            give_up(open_at, Kind.BREAK if is_prose else Kind.BARRIER)
            open_at.clear()
    give_up(open_at, Kind.BREAK)
    return paired
