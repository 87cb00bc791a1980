"""Final answers as text: one spelling for what is the same answer, and the plain numbers.

The rules, where graders differ: units are dropped, and ``%`` is a unit as ``$`` and ``cm`` are, so
50% is 50 and is not 0.5 (GSM8K and MATH ask "what percent" and keep 50 as the reference).
Numbers are compared exactly: 0.33 is not 1/3.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_EXPONENT = 400

_REPLACEMENTS = [
    (re.compile(pattern), by)
    for pattern, by in [
        (r"\\(?:left|right|displaystyle|bigl|bigr|big|Big)(?![a-zA-Z])", ""),
        (r"(?<!\\)\\[!,;: ]|~|\\q?quad(?![a-zA-Z])|\u00a0|\u202f", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![\\a-zA-Z])pi(?![a-zA-Z])", r"\\pi "),
        (r"\*\*(?=[\d({-])", "^"),
        (r"(?<=[\d}])\s*\\(?:text|mathrm|mbox|textrm|rm)\s*\{[^{}]*\}\s*(?:\^\{?\d\}?)?\s*$", ""),
        (r"\\(?:text|mathrm|mbox|textbf|textit|textrm|mathbf|operatorname)\s*\{([^{}]*)\}", r"\1"),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°|(?<=\d)\s*degrees?(?![a-zA-Z])", ""),
        (r"\\?%|(?<=\d)\s*percent(?![a-zA-Z])", ""),
        (r"\\?\$|[€£¥]", ""),
        (r"\\(?:\(|\)|\[|\])", ""),
        (r"\*\*|`", ""),
        (r"\{,\}", ","),
        (r"[−–]", "-"),
        (r"\s+", " "),
    ]
]
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:([ ,])\d{3})(?:\1\d{3})*(?![\d,])")
_LEADING_NAME = re.compile(r"^(?:[a-zA-Z]|\\[a-z]+)\s*=\s*(?=[^=]+$)")
_DECIMAL = r"(?:\d+(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:"
    rf"(?P<mixed>\d+)?\s*\\frac\s*\{{\s*(?P<top>-?{_DECIMAL})\s*\}}\s*\{{\s*(?P<low>{_DECIMAL})\s*\}}"
    rf"|(?:(?P<whole>\d+) )?(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})"
    rf"|(?P<decimal>{_DECIMAL})"
    rf"(?:[eE](?P<e>[+-]?\d{{1,4}})|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*"
    rf"(?:\{{\s*(?P<ten>[+-]?\d{{1,4}})\s*\}}|(?P<ten1>[+-]?\d{{1,4}})))?)"
)
_UNIT = re.compile(
    r"(?<=\d)\s*(?!and\b|million|billion|thousand|hundred|dozen)[a-z]{3,}\.?$", re.IGNORECASE
)
_ANY_NUMBER = re.compile(rf"(?<![\w.])(?:-\s?)?{_DECIMAL}(?:\s*/\s*{_DECIMAL})?")
_NOT_ALONE = re.compile(
    r"\b(?:not|half|twice|third|quarter|double|triple|dozen|hundred|thousand|million|billion|"
    r"trillion|plus|minus|times|squared|cubed|root|sqrt|pi|infinity|(?:least|most|than)\s+\d)"
    r"|[\\^_=<>+*×÷{}\[\]|!]|\d\s*:\s*\d",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\(?([a-j])\)?(?:[.):,]\s*.*)?|(?:option|choice)\s+\(?([a-j])\)?\.?", re.IGNORECASE
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-z]*\*?\}")
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_MATH_WORDS = frozenset(["and", "sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "mod"])


def normalize(answer: str) -> str:
    """One spelling for answers that differ only in how they are typeset.

    Spaces, dollar signs, thousands commas, LaTeX sizing, text commands, fraction commands,
    degree and percent signs, a unit behind a number and ``x =`` before the answer go away.
    """
    for pattern, by in _REPLACEMENTS:
        answer = pattern.sub(by, answer)
    answer = answer.strip()
    if not answer.startswith(("(", "[", "\\{")):  # (1,234) is a pair
        answer = _THOUSANDS.sub(lambda found: re.sub("[ ,]", "", found.group()), answer)
    answer = _LEADING_NAME.sub("", answer.rstrip(".").strip())
    if is_text(answer):
        return answer.casefold()
    return re.sub(r"(?<![a-zA-Z\d]) | (?![a-zA-Z\d])", "", answer)


def read_number(answer: str) -> Fraction | None:
    r"""The value of a normalized answer that is one number, with or without a unit.

    Decimals, ``1e3``, ``1.5 \times 10^{3}``, ``3/4``, ``\frac{3}{4}`` and mixed numbers.
    """
    found = _NUMBER.fullmatch(_UNIT.sub("", answer).strip())
    if found is None:
        return None
    part = {name: text for name, text in found.groupdict().items() if text}
    top, low = part.get("top", part.get("over")), part.get("low", part.get("under"))
    exponent = int(part.get("e") or part.get("ten") or part.get("ten1") or 0)
    if (low is not None and Fraction(low) == 0) or abs(exponent) > MAX_EXPONENT:
        return None
    if top is not None and low is not None:
        value = Fraction(part.get("mixed", part.get("whole", "0"))) + Fraction(top) / Fraction(low)
    else:
        value = Fraction(part["decimal"]) * Fraction(10) ** exponent
    return -value if part.get("sign") == "-" else value


def number_within(answer: str) -> Fraction | None:
    """The number in a normalized answer that says it in words: "18 miles per hour" is 18.

    None when there are several numbers, or signs that the number is not the whole answer. Of a
    sum written out ("3 + 4 = 7") the last side counts.
    """
    last_side = re.split(r"=|≈|\\approx", answer)[-1].strip()
    value = read_number(last_side)
    if value is not None:
        return value
    numbers = _ANY_NUMBER.findall(last_side)
    if len(numbers) != 1 or _NOT_ALONE.search(last_side):
        return None
    return read_number(re.sub(r"^-\s", "-", numbers[0]))


def read_choice(answer: str) -> str | None:
    """The letter of a multiple-choice answer: "B", "(B)", "B. 12 apples", "option B"."""
    found = _CHOICE.fullmatch(answer.strip())
    return (found.group(1) or found.group(2)).upper() if found else None


def is_text(answer: str) -> bool:
    """Whether there are words in it, so that it can't be read as mathematics."""
    return any(
        word.lower() not in _MATH_WORDS for word in _WORD.findall(_ENVIRONMENT.sub("", answer))
    )
