"""The same reasoning in another form: pure changes of a chain's text, with steps kept aligned.

None of these makes a right step wrong or a wrong one right. What a scorer says of them should not
change; where it does, it reads the form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from rung.core import Chain, ChainRecord

FILLER = "Let us go on with the next step."
META = "variant"
"""Where a record says which variant it is, and of which chain."""
ORIGINAL = "original"
_NUMBER = re.compile(
    r"^\s*(?:[*_#]*\s*step\s+\d+\s*[*_]*\s*[:.)]|\d+[.)](?=\s))[*_]*\s*", re.IGNORECASE
)
_BLANK = re.compile(r"(?<=\S) (?=\S)")


class Changed(NamedTuple):
    """A changed chain's step texts, and where each original step stands among them."""

    texts: list[str]
    places: list[int]


Change = Callable[[tuple[str, ...]], Changed]


def without_number(text: str) -> str:
    """The step without "Step 3:", "3." or the like at its start."""
    return _NUMBER.sub("", text, count=1)


def _in_place(change: Callable[[int, str], str]) -> Change:
    """A change of each step by itself, told its number from 1 on."""

    def changed(texts: tuple[str, ...]) -> Changed:
        new = [change(number, text) for number, text in enumerate(texts, start=1)]
        return Changed(new, list(range(len(texts))))

    return changed


def _with_filler(texts: tuple[str, ...]) -> Changed:
    places = [0, *range(2, len(texts) + 1)]
    return Changed([texts[0], FILLER, *texts[1:]], places)


def _repeated(texts: tuple[str, ...]) -> Changed:
    """The first step stands there twice; its score is that of the first time."""
    places = [0, *range(2, len(texts) + 1)]
    return Changed([texts[0], *texts], places)


CHANGES: dict[str, Change] = {
    "step prefix": _in_place(lambda number, text: f"Step {number}: {without_number(text)}"),
    "numbered": _in_place(lambda number, text: f"{number}. {without_number(text)}"),
    "numbered from 11": _in_place(lambda number, text: f"{number + 10}. {without_number(text)}"),
    "no numbers": _in_place(lambda _, text: without_number(text)),
    "wide blanks": _in_place(lambda _, text: _BLANK.sub("  ", text)),
    "filler step": _with_filler,
    "repeated step": _repeated,
}
"""Every change by its name. Chains that a change leaves as they are have no such variant."""


def variants_of(chain: Chain) -> Iterator[tuple[str, Changed]]:
    """The variants of a chain that differ from it; steps are never empty."""
    for name, change in CHANGES.items():
        changed = change(chain.texts)
        if changed.texts != list(chain.texts) and all(text.strip() for text in changed.texts):
            yield name, changed


def variant_records(records: Iterable[ChainRecord]) -> Iterator[ChainRecord]:
    """Each chain and its variants, to be scored: `meta["variant"]` says which one it is.

    The chain itself keeps its labels; the variants have none. Scores are left off.
    """
    for number, record in enumerate(records):
        told = _told(number, ORIGINAL, range(len(record.chain.steps)))
        yield replace(record, scores=(), meta={**record.meta, META: told})
        for name, changed in variants_of(record.chain):
            chain = Chain.of(record.chain.problem, changed.texts, id=record.chain.id)
            yield ChainRecord(chain, meta={META: _told(number, name, changed.places)})


def _told(number: int, name: str, places: Iterable[int]) -> dict[str, Any]:
    return {"of": number, "name": name, "places": list(places)}
