"""The final answer in a chain's text: the last place where the text says what its answer is."""

from __future__ import annotations

import re

MARKER = "ки"
"""Math-Shepherd's step marker; it stays behind where its files are read as plain text."""

MAX_TEXT_CHARS = 100_000
"""Only so much of a text's end is read: what is said before it is not the last."""

_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_SAYS = r"\banswer\s*(?:is|=|:)"
_SAID = re.compile(
    rf"{_SAYS}[\s:*]*(?:\$\$|\\\[)?\s*(?P<answer>\S[^\n]*)"  # "the answer is (: ) 18"
    r"|^A:\s*(?P<a>\S[^\n]*)"  # GSM8K's model solutions
    r"|^\#+\s*(?:final\s+)?answer[:*]*[ \t]*\n\s*"  # PRM800K
    rf"(?![^\n]*{_SAYS})(?P<section>\S[^\n]*(?:\n[^\n]+)*)"
    r"|^\#\#\#\#[ \t]*(?P<hashes>\S[^\n]*)\Z",  # GSM8K; elsewhere "####" is a heading
    re.IGNORECASE | re.MULTILINE,
)
_SAID_AGAIN = re.compile(rf"{_SAYS}[\s:*]*(?=\S)", re.IGNORECASE)
_NEXT_SENTENCE = re.compile(r"(?<=\S)\.\s+(?=[A-Z\"'(])")
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"))


def extract_answer(text: str) -> str | None:
    r"""Find the final answer that a text gives.

    Reads ``\boxed{...}``, ``#### 18`` on the last line, ``# Answer`` with the answer below it
    (PRM800K), ``The answer is (:) 18``, ``Answer: 18``, and ``A: 18`` at the start of a line; of
    several, the last counts. A number that merely stands last in the text is no answer. Of a long
    text, the last 100,000 characters are read, so that a gigabyte of digits costs nothing.

    Returns:
        The answer without dollar signs around it, final period or step marker; None if none.
    """
    text = text[-MAX_TEXT_CHARS:].replace(MARKER, " ").rstrip()
    said = max(_SAID.finditer(text), key=re.Match.start, default=None)
    box = _last_box(text)
    if box is not None and (said is None or box[0] > said.start()):
        return _clean(box[1])
    if said is None:
        return None
    found = next(group for group in said.groups() if group is not None)
    found = _SAID_AGAIN.split(found)[-1]
    return _clean(_NEXT_SENTENCE.split(found, maxsplit=1)[0])


def _last_box(text: str) -> tuple[int, str] | None:
    """Where the last closed box starts, and what is in it."""
    for match in reversed(list(_BOX.finditer(text))[-8:]):
        end = _closing_brace(text, match.end())
        if end is not None:
            return match.start(), text[match.end() : end]
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return None


def _clean(found: str) -> str | None:
    answer, before = found.strip(), None
    while answer != before:
        before = answer
        answer = answer.rstrip(".").strip()
        for left, right in _WRAPPERS:
            inside = answer[len(left) : -len(right)]
            if answer == left + inside + right and left not in inside:
                answer = inside.strip()
    return answer or None
