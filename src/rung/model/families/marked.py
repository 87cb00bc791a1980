"""Plain text with a marker token behind every step: how marker PRMs are shown chains.

The ids are those of the whole text, as authors tokenize it, put together from pieces: the question
with the first step, then every further step. So a further step changes no id before it. A piece is
tokenized behind the marker that it follows, or SentencePiece would put a space before it. Markers
are placed as ids and never looked for: a text that spells the marker, or a special token, stays
text, in other tokens of the same spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain as join
from typing import Any, NamedTuple

from rung.core.errors import RungError
from rung.core.types import Chain, Step
from rung.model.families.texts import read_at, shown
from rung.model.rendering import Rendered

BESIDE = "a"
"""Stands before a text that is to be tokenized as it is within a text, not as its beginning."""


class Piece(NamedTuple):
    """A part of a chain's text."""

    text: str
    is_first: bool
    """Whether it begins the whole text, or stands behind a marker."""


class MarkedText:
    """A rendering: call it with chains.

    Args:
        tokenizer: Of the model.
        marker: Written behind every step, with the space before it if there is one: one token, or
            the same token several times. The score is read at the first of them; the others are
            the beginning of the next step's ids.
        max_tokens: The model's context; steps that are read beyond it are lost.
        before_question: Written before the question.
        before_steps: Written between the question and the first step.
        step_break: Written before every step but the first.
        step_text: A step's text.

    Raises:
        RungError: The tokenizer makes other tokens of the marker: it is another model's.
    """

    def __init__(
        self,
        tokenizer: Any,
        marker: str,
        *,
        max_tokens: int,
        before_question: str = "",
        before_steps: str = " ",
        step_break: str = "",
        step_text: Callable[[Step], str] = shown,
    ) -> None:
        self._tokenizer = tokenizer
        self._anchor = BESIDE + marker
        self._before_question, self._before_steps = before_question, before_steps
        self._step_break, self._step_text = step_break, step_text
        self._max_tokens = max_tokens
        self._start = _start(tokenizer)
        self.marker = self._within(marker)
        if len(set(self.marker)) != 1:
            count = len(self.marker)
            raise RungError(f"the tokenizer makes {count} tokens of {marker!r}, expected one")
        self._spelled = [token for letter in marker for token in self._within(letter)]

    def __call__(self, chains: Sequence[Chain]) -> list[Rendered]:
        """Render chains; every distinct text is tokenized once."""
        pieces_B = [self._pieces(chain) for chain in chains]
        ids_of = self._encode_all(join.from_iterable(pieces_B))
        return [self._lay_out([ids_of[piece] for piece in pieces]) for pieces in pieces_B]

    def _pieces(self, chain: Chain) -> list[Piece]:
        steps = [self._step_text(step) for step in chain.steps]
        if not steps:
            return []
        question = f"{self._before_question}{chain.problem.question}{self._before_steps}"
        further = (Piece(self._step_break + text, False) for text in steps[1:])
        return [Piece(question + steps[0], True), *further]

    def _encode_all(self, pieces: Iterable[Piece]) -> dict[Piece, list[int]]:
        distinct = list(dict.fromkeys(pieces))
        texts = [text if is_first else self._anchor + text for text, is_first in distinct]
        known = self._encode([self._anchor])[0]
        found: dict[Piece, list[int]] = {}
        for piece, ids in zip(distinct, self._encode(texts), strict=True):
            if not piece.is_first:
                is_whole = ids[: len(known)] == known
                # a text that would melt into the marker before it is tokenized alone
                ids = ids[len(known) :] if is_whole else self._encode([piece.text])[0]
            found[piece] = self._without_marker(ids)
        return found

    def _without_marker(self, ids: list[int]) -> list[int]:
        if len(self.marker) > 1:
            return ids
        return [t for i in ids for t in (self._spelled if i == self.marker[0] else (i,))]

    def _lay_out(self, pieces: Sequence[Sequence[int]]) -> Rendered:
        ids, places = list(self._start), list[int]()
        for k, piece in enumerate(pieces):
            ids += [*(self.marker[1:] if k else ()), *piece, self.marker[0]]
            places.append(len(ids) - 1)
        return read_at(ids, places, self._max_tokens)

    def _within(self, text: str) -> list[int]:
        before, whole = self._encode([BESIDE, BESIDE + text])
        return whole[len(before) :]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        return self._tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]


def _start(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before a text by itself: BOS, where it has one and adds it."""
    whole = tokenizer.encode(BESIDE)
    text = tokenizer.encode(BESIDE, add_special_tokens=False)
    places = range(len(whole) - len(text) + 1)
    return tuple(whole[: next((k for k in places if whole[k : k + len(text)] == text), 0)])
