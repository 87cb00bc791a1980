"""Conversations in which the model judges every turn: the user writes a step, the model a label.

The label in every earlier turn is always the good one, whatever is true, as in the authors' code. A
score is read at the token before the label, so a step's ids begin with the label of the step before
and what closes its turn, and end with what opens the label: a further step only adds ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rung.core.types import Chain
from rung.model.families.texts import chat, encode, plain_text, read_at
from rung.model.rendering import Rendered

LABEL = "\ufdd1"
"""Stands for a label while the template is filled: a noncharacter, which no text has."""


class JudgedTurns:
    """A rendering: call it with chains.

    Args:
        tokenizer: Of the model; its chat template writes the turns.
        label: What the model is taken to have said of every earlier step.
        turns: The user's turns for a chain that has steps; a score is read behind each.
        max_tokens: The model's context; steps that are read beyond it are lost.
    """

    def __init__(
        self, tokenizer: Any, label: str, turns: Callable[[Chain], list[str]], *, max_tokens: int
    ) -> None:
        self._tokenizer = tokenizer
        self._label = encode([label], tokenizer, special=False)[0]
        self._turns = turns
        self._plain = plain_text(tokenizer)
        self._max_tokens = max_tokens

    def __call__(self, chains: Sequence[Chain]) -> list[Rendered]:
        """Render chains; every distinct text is tokenized once.

        Raises:
            RungError: The tokenizer has no chat template.
        """
        openings_B = [self._openings(chain) for chain in chains]
        distinct = list(dict.fromkeys(text for texts in openings_B for text in texts))
        ids_of = dict(zip(distinct, encode(distinct, self._tokenizer, special=False), strict=True))
        return [self._lay_out([ids_of[text] for text in texts]) for texts in openings_B]

    def _openings(self, chain: Chain) -> list[str]:
        """The conversation's text up to each label, from the label before."""
        if not chain.steps:
            return []
        messages: list[tuple[str, str]] = []
        for turn in self._turns(chain):
            content = self._plain(turn.replace(LABEL, ""))
            messages += [("user", content), ("assistant", LABEL)]
        return chat(self._tokenizer, messages).split(LABEL)[:-1]

    def _lay_out(self, openings: Sequence[Sequence[int]]) -> Rendered:
        ids, places = list[int](), list[int]()
        for k, opening in enumerate(openings):
            ids += [*(self._label if k else ()), *opening]
            places.append(len(ids) - 1)
        return read_at(ids, places, self._max_tokens)
