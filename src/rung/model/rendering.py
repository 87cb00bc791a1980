"""Chains to token ids: the one rendering that training and scoring share.

The ids are BOS (where the tokenizer has one), the question, the question separator, then every
step followed by the step separator. Each piece is tokenized alone, so writing a further step
behind a chain never changes the ids before it. Text is tokenized as text: a special token's
name inside a question or a step stays plain characters.

TRL's trainer (trl/experimental/prm/prm_trainer.py) tokenizes alike but puts no separator behind
the question in training and one in evaluation; here it always stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain as join
from typing import Any, NamedTuple, Protocol

from rung.core.errors import RungError
from rung.core.types import Chain, Step


class Layout(Protocol):
    """What a rendering depends on; a `Reading` has it."""

    @property
    def question_separator(self) -> str:
        """Written behind the question."""
        ...

    @property
    def step_separator(self) -> str:
        """Written behind every step."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens a rendered chain may have."""
        ...


class Branch(NamedTuple):
    """Ids that leave a chain's own to ask for one step's score, read at the last of them."""

    start: int
    """How many of the chain's own ids stand before."""
    ids: tuple[int, ...]
    """At least one."""


class Rendered(NamedTuple):
    """A chain as token ids.

    `step_ends[k]` is the index of the token where step k's score is read: the last token of
    its separator. None for a step that ends beyond the context. Steps that are lost are cut
    off whole, so `ids` ends with the last step that fits.
    """

    ids: tuple[int, ...]
    step_ends: tuple[int | None, ...]
    num_question_tokens: int
    """Tokens before the first step: BOS, question and separator. Only training asks; 0 where a
    published model's rendering does not tell."""
    branches: tuple[Branch | None, ...] = ()
    """For a model that is asked with tokens which the next step does not see: where step k's
    score is read instead of at `step_ends[k]`, which then is the token before the branch. Empty
    if no step has one."""

    def read_of(self, step: int) -> tuple[tuple[int, ...], int] | None:
        """The ids up to where a step's score is read, and the index there; None if it is lost."""
        end = self.step_ends[step]
        if end is None:
            return None
        branch = self.branches[step] if self.branches else None
        if branch is None:
            return self.ids, end
        ids = (*self.ids[: branch.start], *branch.ids)
        return ids, len(ids) - 1

    @property
    def num_lost(self) -> int:
        """Steps beyond the context."""
        return sum(end is None for end in self.step_ends)


def render(chain: Chain, tokenizer: Any, reading: Layout) -> Rendered:
    """Render one chain (see `render_all`)."""
    return render_all([chain], tokenizer, reading)[0]


def render_all(chains: Sequence[Chain], tokenizer: Any, reading: Layout) -> list[Rendered]:
    """Render chains; every distinct text is tokenized once.

    A question that alone fills the context is cut to it, and all steps are lost.

    Raises:
        RungError: The tokenizer gives no token for a separator.
    """
    texts = join.from_iterable((c.problem.question, *map(_shown, c.steps)) for c in chains)
    ids_of = _encode_all(texts, tokenizer)
    question_end = _separator(reading.question_separator, tokenizer)
    step_end = _separator(reading.step_separator, tokenizer)
    bos: tuple[int, ...] = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    return [
        _lay_out(
            (*bos, *ids_of[chain.problem.question], *question_end),
            [(*ids_of[_shown(step)], *step_end) for step in chain.steps],
            reading.max_tokens,
        )
        for chain in chains
    ]


def _lay_out(
    question: tuple[int, ...], steps: Sequence[tuple[int, ...]], max_tokens: int
) -> Rendered:
    ids, ends = list(question[:max_tokens]), list[int | None]()
    fits = len(question) <= max_tokens
    for step in steps:
        fits = fits and len(ids) + len(step) <= max_tokens
        if fits:
            ids += step
        ends.append(len(ids) - 1 if fits else None)
    return Rendered(tuple(ids), tuple(ends), min(len(question), max_tokens))


def _shown(step: Step) -> str:
    return step.text if step.observation is None else f"{step.text}\n{step.observation}"


def _encode_all(texts: Iterable[str], tokenizer: Any) -> dict[str, tuple[int, ...]]:
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    encoded = tokenizer(
        distinct,
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return {text: tuple(ids) for text, ids in zip(distinct, encoded["input_ids"], strict=True)}


def _separator(text: str, tokenizer: Any) -> tuple[int, ...]:
    ids = tuple(tokenizer.encode(text, add_special_tokens=False))
    if not ids:
        raise RungError(f"the tokenizer gives no token for the separator {text!r}")
    return ids
