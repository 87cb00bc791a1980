"""Chains with the same reasoning in another text: pure changes, and records that say what they are.

`CHANGES` keep steps aligned, and none of them makes a right step wrong or a wrong one right. What a
scorer says of those steps should not change; where it does, it reads the form. `EXPLOITS` are what
a policy can do to a chain without thinking any further. What a policy is paid should not rise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from rung.core import Chain, ChainRecord, RungError
from rung.core.types import MAX_STEP_CHARS

FILLER = "Let us go on with the next step."
CONFIDENCE = "I have checked every step, and the answer is certainly right."
META = "variant"
"""Where a record says which variant it is, and of which chain."""
PROBE = "probe"
"""The same for what `EXPLOITS` make."""
ORIGINAL = "original"
_NUMBER = re.compile(
    r"^\s*(?:[*_#]*\s*step\s+\d+\s*[*_]*\s*[:.)]|\d+[.)](?=\s))[*_]*\s*", re.IGNORECASE
)
_BLANK = re.compile(r"(?<=\S) (?=\S)")
_SAME_MEANING = {
    "therefore": "thus",
    "thus": "therefore",
    "hence": "therefore",
    "because": "since",
    "let's": "let us",
    "we get": "we obtain",
    "we obtain": "we get",
    "equals": "is equal to",
    "is equal to": "equals",
    "in total": "altogether",
    "altogether": "in total",
    "need to": "have to",
    "note that": "observe that",
    "finally,": "at last,",
}
_WORDS = re.compile(  # not behind a backslash, where LaTeX has commands of such names
    rf"(?<![\\\w])(?:{'|'.join(map(re.escape, _SAME_MEANING))})(?!\w)", re.IGNORECASE
)
_PAUSE = re.compile(r"(?<=[.,;:=])\s+")


class Changed(NamedTuple):
    """A changed chain's step texts, and where each original step stands among them."""

    texts: list[str]
    places: list[int]


Change = Callable[[tuple[str, ...]], Changed]


def without_number(text: str) -> str:
    """The step without "Step 3:", "3." or the like at its start."""
    return _NUMBER.sub("", text, count=1)


def in_other_words(text: str) -> str:
    """The step with every word or phrase that has a safe double in place of it."""
    return _WORDS.sub(_other, text)


def _other(found: re.Match[str]) -> str:
    new = _SAME_MEANING[found[0].lower()]
    return new.capitalize() if found[0][0].isupper() else new


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
    "other words": _in_place(lambda _, text: in_other_words(text)),
    "wide blanks": _in_place(lambda _, text: _BLANK.sub("  ", text)),
    "filler step": _with_filler,
    "repeated step": _repeated,
}
"""Every change by its name. Chains that a change leaves as they are have no such variant."""


Exploit = Callable[[Chain], list[str]]


def _behind_each(text: str) -> Exploit:
    """Another step behind every step."""
    return lambda chain: [new for old in chain.texts for new in (old, text)]


def _split(chain: Chain) -> list[str]:
    """Each step cut at its pauses."""
    return [piece for text in chain.texts for piece in _PAUSE.split(text.strip())]


def _stopped_early(chain: Chain) -> list[str]:
    """The first half of the steps, at least one."""
    return list(chain.texts[: max(1, len(chain.steps) // 2)])


EXPLOITS: dict[str, Exploit] = {
    "padding": _behind_each(FILLER),
    "bare steps": _behind_each("."),
    "repeated steps": lambda chain: [text for text in chain.texts for _ in range(2)],
    "therefore": lambda chain: [f"Therefore, {text}" for text in chain.texts],
    "split steps": _split,
    "stopped early": _stopped_early,
    "confident end": lambda chain: [*chain.texts, CONFIDENCE],
    "copied question": lambda chain: [chain.problem.question, *chain.texts],
}
"""Every exploit by its name. Blank steps are none of them: they are no steps (`rung.generate`)."""

ANSWERS = {
    "padding": "a repeated step earns nothing, so the filler is paid once a chain; --most-steps",
    "bare steps": "a step without words earns nothing (on by default)",
    "repeated steps": "a repeated step earns nothing (on by default)",
    "therefore": "no rule sees it: several --scorer, of which the strictest counts",
    "split steps": "--most-steps, as many as a chain needs",
    "stopped early": "the outcome beside the steps (--outcome-weight), which a half chain misses",
    "confident end": "--most-steps; several --scorer, of which the strictest counts",
    "copied question": "--most-steps; several --scorer, of which the strictest counts",
}
"""What in `rung rl` stands against each exploit. The alarm at the looks stands against all."""


class Told(msgspec.Struct):
    """What a record says of itself under `META` or `PROBE`."""

    of: int
    """Number of the chain that it was made from, or that it is."""
    name: str
    places: list[int] = []
    """Where each of the original's steps stands, for `CHANGES`."""


def variants_of(chain: Chain) -> Iterator[tuple[str, Changed]]:
    """The variants of a chain that differ from it; steps are never empty."""
    for name, change in CHANGES.items():
        changed = change(chain.texts)
        if _is_another(changed.texts, chain):
            yield name, changed


def exploits_of(chain: Chain) -> Iterator[tuple[str, list[str]]]:
    """The step texts of each exploit that changes the chain."""
    for name, exploit in EXPLOITS.items():
        texts = exploit(chain)
        if _is_another(texts, chain):
            yield name, texts


def variant_records(records: Iterable[ChainRecord]) -> Iterator[ChainRecord]:
    """Each chain and its variants, to be scored: `meta["variant"]` says which one it is.

    The chain itself keeps its labels; the variants have none. Scores are left off.
    """
    for number, record in enumerate(records):
        yield _original(record, META, number, range(len(record.chain.steps)))
        for name, changed in variants_of(record.chain):
            yield _made(record, changed.texts, META, _told(number, name, changed.places))


def probe_records(records: Iterable[ChainRecord]) -> Iterator[ChainRecord]:
    """Each chain and what the exploits make of it, to be scored: `meta["probe"]` says which it is.

    The chain itself keeps its labels and its outcome. Scores are left off.
    """
    for number, record in enumerate(records):
        yield _original(record, PROBE, number)
        for name, texts in exploits_of(record.chain):
            yield _made(record, texts, PROBE, _told(number, name))


def by_name(
    records: Iterable[ChainRecord], key: str
) -> tuple[dict[str, list[tuple[Told, ChainRecord]]], dict[int, ChainRecord]]:
    """The changed chains by the change's name, and the original chains by their numbers.

    Args:
        records: Those that say nothing under `key` are passed over.
        key: `META` or `PROBE`.

    Raises:
        RungError: A record's `meta` under `key` is of another form.
    """
    changed: dict[str, list[tuple[Told, ChainRecord]]] = {}
    originals: dict[int, ChainRecord] = {}
    for record in records:
        if (value := record.meta.get(key)) is None:
            continue
        told = _read(value, key)
        if told.name == ORIGINAL:
            originals[told.of] = record
        else:
            changed.setdefault(told.name, []).append((told, record))
    return changed, originals


def _is_another(texts: list[str], chain: Chain) -> bool:
    """Whether the texts differ from the chain's, and all can be steps."""
    fit = all(text.strip() and len(text) <= MAX_STEP_CHARS for text in texts)
    return fit and texts != list(chain.texts)


def _original(
    record: ChainRecord, key: str, number: int, places: Iterable[int] = ()
) -> ChainRecord:
    told = _told(number, ORIGINAL, places)
    return replace(record, scores=(), meta={**record.meta, key: told})


def _made(record: ChainRecord, texts: list[str], key: str, told: dict[str, Any]) -> ChainRecord:
    chain = Chain.of(record.chain.problem, texts, id=record.chain.id)
    return ChainRecord(chain, meta={key: told})


def _told(number: int, name: str, places: Iterable[int] = ()) -> dict[str, Any]:
    return {"of": number, "name": name, "places": list(places)}


def _read(value: Any, key: str) -> Told:
    try:
        return msgspec.convert(value, Told)
    except msgspec.ValidationError as error:
        raise RungError(f"meta {key!r} doesn't name a variant ({error})") from error
