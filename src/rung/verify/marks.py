"""What tokens mean where they stand: words that calculate, units, and parentheses that don't."""

from __future__ import annotations

import re

from rung.verify.tokens import RELATIONS, VALUE_ENDS, Kind, Token, tokenize

MAX_UNIT_WORDS = 3

_PARTNER = {")": "(", "]": "[", "}": "{"}
_ABOUT = re.compile("about|approximately|roughly|around|nearly|approx", re.IGNORECASE)
_NO_UNIT = re.compile(
    "so|and|but|or|then|is|are|was|were|which|that|to|if|when|since|because|thus|therefore|also|as|"
    "while|gives?|makes?|equals?",
    re.IGNORECASE,
)
_MAY_FOLLOW = frozenset([Kind.NUMBER, Kind.FUNCTION, Kind.OPEN, Kind.WORD])
_AFTER_UNIT = frozenset([Kind.OPERATOR, Kind.CLOSE, *RELATIONS])
_PROSE = frozenset([Kind.BREAK, *RELATIONS])
_ENDS_PARENTHESES = frozenset([Kind.WORD, Kind.BARRIER, *_PROSE])


def read_tokens(text: str) -> list[Token]:
    """The tokens of a step, read in their context."""
    return _pair_parentheses(_mark_units(_mark_words(tokenize(text))))


def _mark_words(tokens: list[Token]) -> list[Token]:
    """Turn "20% of 50 is about 10" into its signs."""
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        if token.kind is Kind.WORD and marked:
            kind = _as_sign(token, marked, tokens[index + 1 : index + 3])
            if kind is Kind.ABOUT and marked[-1].kind is Kind.EQUALS:
                marked.pop()  # "= about 5" has one sign
            if kind is not None:
                token = token._replace(kind=kind)
        marked.append(token)
    return marked


def _as_sign(token: Token, before: list[Token], behind: list[Token]) -> Kind | None:
    """The kind of a word that is a sign here, else None."""
    if not behind or behind[0].kind not in _MAY_FOLLOW:
        return None
    last, after = before[-1], behind[0]
    is_number = after.kind is Kind.NUMBER
    if token.text == "of" and after.kind is not Kind.WORD and _is_share(before):
        return Kind.OPERATOR
    if is_number and last.kind is Kind.EQUALS and _ABOUT.fullmatch(token.text):
        return Kind.ABOUT
    if last.kind not in VALUE_ENDS or not (is_number or _ABOUT.fullmatch(after.text)):
        return None
    if token.text == "equals":
        return Kind.EQUALS
    # "the last digit of 7^2 is 9": only a share is believed to be what it "is"
    goes_on = len(behind) > 1 and behind[1].kind is Kind.OPERATOR
    if token.text == "is" and _takes_share(before) and not goes_on:
        return Kind.EQUALS
    return None


def _takes_share(before: list[Token]) -> bool:
    """Whether "... of 50" ends here."""
    return len(before) > 1 and before[-2].kind is Kind.OPERATOR and before[-2].text == "of"


def _is_share(before: list[Token]) -> bool:
    """Whether a percentage or a fraction ends here, of which something can be taken."""
    last = before[-1]
    if last.kind is Kind.PERCENT:
        return True
    if last.kind is not Kind.NUMBER:
        return False
    if last.value.denominator > 1 and not last.decimals:  # a fraction in one sign: ½
        return True
    slash = before[-2] if len(before) > 2 else last
    return slash.text == "/" and slash.end == last.start


def _mark_units(tokens: list[Token]) -> list[Token]:
    """Turn up to three words between a value and a sign or a closing parenthesis into a unit."""
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        follows = token.kind is Kind.WORD and bool(marked) and marked[-1].kind in VALUE_ENDS
        if follows and _sign_follows(tokens, index):
            token = token._replace(kind=Kind.UNIT)
        marked.append(token)
    return marked


def _sign_follows(tokens: list[Token], index: int) -> bool:
    words = 0
    while index < len(tokens) and tokens[index].kind is Kind.WORD and words < MAX_UNIT_WORDS:
        if _NO_UNIT.fullmatch(tokens[index].text):
            return False
        index, words = index + 1, words + 1
    return index < len(tokens) and tokens[index].kind in _AFTER_UNIT


def _pair_parentheses(tokens: list[Token]) -> list[Token]:
    """Keep the parentheses that hold arithmetic; others are breaks or, in formulas, barriers."""
    open_at = list[int]()

    def give_up(indices: list[int], kind: Kind) -> None:
        for index in indices:
            is_prose = tokens[index].text in "()"
            tokens[index] = tokens[index]._replace(kind=kind if is_prose else Kind.BARRIER)

    for index, token in enumerate(tokens):
        kind = token.kind
        if kind is Kind.OPEN:
            open_at.append(index)
        elif kind is Kind.CLOSE and open_at:
            if tokens[open_at[-1]].text == _PARTNER[token.text]:
                open_at.pop()
            else:
                give_up([*open_at, index], Kind.BARRIER)
                open_at.clear()
        elif kind is Kind.CLOSE:
            give_up([index], Kind.BREAK)
        elif open_at and kind in _ENDS_PARENTHESES:
            give_up(open_at, Kind.BREAK if kind in _PROSE else Kind.BARRIER)
            open_at.clear()
    give_up(open_at, Kind.BREAK)
    return tokens
