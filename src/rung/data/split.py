"""Text to steps, with offsets into the original text: nothing is lost and nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rung.core.errors import RungError
from rung.data.split_code import CODE_WAYS, starts_of

MARKER = "marker:"


@dataclass(frozen=True, slots=True)
class Span:
    """A step's place in a text: `text[start:end]`, white space around it left outside."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The step's own text."""
        return text[self.start : self.end]


_SEPARATORS = {
    "blank-line": re.compile(r"\n[^\S\n]*\n"),
    "newline": re.compile(r"\n"),
}
_NUMBERED = re.compile(
    r"^[ \t]{0,3}(?:[#*>-]+[ \t]*)?(?:step[ \t]+\d+\b|\d+[.)](?=\s))", re.MULTILINE | re.IGNORECASE
)
# A sentence ends where white space follows its last mark and what comes next looks like a start;
# "e.g. 5", "Mr. Smith" and "no. 5" don't end one.
_SENTENCE_END = re.compile(
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)"
    r"(?<!\bDr\.)(?<!\bSt\.)(?<!\bEq\.)(?<!\bFig\.)"
    r"(?<=[.!?。])(?!(?<=\b[Nn]o\.)\s+\d)[\"')\]*$]*\s+(?=[A-Z0-9\"'(\[$\\*#-])"
)
WAYS = ("blank-line", "newline", "numbered", "sentence", *CODE_WAYS)


def split_steps(text: str, how: str) -> list[Span]:
    """Cut a text into steps.

    Args:
        text: The solution's text.
        how: "blank-line", "newline", "numbered" ("Step k:" and numbered lists: a step begins at
            each such line, text before the first is a step of its own), "sentence", or
            "marker:TOKEN" (every TOKEN ends a step and belongs to none). Programs, whose steps
            keep their indentation: "function" (and what stands between functions), "cell" (at
            `# %%`, or up to the end of each fenced block), "block" (between blank lines), "line".

    Returns:
        The steps' spans in order. They don't overlap, none is blank, and all that lies outside
        of them is white space or the marker.

    Raises:
        RungError: There is no such way to split.
    """
    pieces = _pieces(text, how)
    trim = _trim_lines if how in CODE_WAYS else _trim
    return [span for span in (trim(text, span) for span in pieces) if span.start < span.end]


def step_texts(text: str, how: str) -> list[str]:
    """The texts of the steps that `split_steps` finds."""
    return [span.of(text) for span in split_steps(text, how)]


def gaps(text: str, spans: Sequence[Span]) -> list[str]:
    """What lies before, between and behind the spans: one gap more than there are spans."""
    edges = [0, *(edge for span in spans for edge in (span.start, span.end)), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def join_steps(texts: Sequence[str], between: Sequence[str]) -> str:
    """The original text, from the steps' texts and the `gaps` around them."""
    return between[0] + "".join(t + gap for t, gap in zip(texts, between[1:], strict=True))


def _pieces(text: str, how: str) -> Iterator[Span]:
    if how in _SEPARATORS:
        return _between(text, _SEPARATORS[how])
    if how.startswith(MARKER) and len(how) > len(MARKER):
        return _between(text, re.compile(re.escape(how.removeprefix(MARKER))))
    ways: dict[str, Callable[[str], Iterator[Span]]] = {
        "numbered": lambda text: _from_starts(text, [m.start() for m in _NUMBERED.finditer(text)]),
        "sentence": _sentences,
    }
    if how in CODE_WAYS:
        return _from_starts(text, starts_of(text, how))
    if how not in ways:
        known = ", ".join((*WAYS, MARKER + "TOKEN"))
        raise RungError(f"there is no way {how!r} to split text into steps, expected {known}")
    return ways[how](text)


def _between(text: str, separator: re.Pattern[str]) -> Iterator[Span]:
    start = 0
    for match in separator.finditer(text):
        yield Span(start, match.start())
        start = match.end()
    yield Span(start, len(text))


def _from_starts(text: str, starts: Sequence[int]) -> Iterator[Span]:
    edges = [0, *starts, len(text)]
    return (Span(start, end) for start, end in pairwise(edges))


def _sentences(text: str) -> Iterator[Span]:
    for line in _between(text, _SEPARATORS["newline"]):
        ends = [m.end() for m in _SENTENCE_END.finditer(text, line.start, line.end)]
        edges = [line.start, *ends, line.end]
        yield from (Span(start, end) for start, end in pairwise(edges))


def _trim(text: str, span: Span) -> Span:
    piece = span.of(text)
    start = span.start + len(piece) - len(piece.lstrip())
    return Span(start, max(start, span.end - (len(piece) - len(piece.rstrip()))))


def _trim_lines(text: str, span: Span) -> Span:
    """Without blank lines at the start; the first line keeps its indentation."""
    inner = _trim(text, span)
    if inner.start >= inner.end:
        return inner
    return Span(max(span.start, text.rfind("\n", 0, inner.start) + 1), inner.end)
