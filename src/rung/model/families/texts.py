"""Text to ids as authors do it: whole strings with markers in them, read where the markers stand.

A marker, or any other special token, that stands in a question or a step as text must not become
one: `plain_text` breaks it. Nothing else of a text is changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from rung.core.errors import RungError
from rung.core.types import Step
from rung.model.rendering import Branch, Rendered


def plain_text(tokenizer: Any, *markers: str) -> Callable[[str], str]:
    """What breaks special tokens in a text: a space behind the first character of their names.

    Args:
        tokenizer: Its special tokens are broken.
        *markers: Further strings to break. One that a space would not break, such as a blank
            line, loses its first character.
    """
    specials = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    names = sorted({*specials, *markers}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, names)) or "(?!)")

    def plain(text: str) -> str:
        while pattern.search(text):
            text = pattern.sub(lambda found: _broken(found[0]), text)
        return text

    return plain


def _broken(name: str) -> str:
    spaced = f"{name[0]} {name[1:]}"
    return name[1:] if name in spaced else spaced


def shown(step: Step) -> str:
    """A step's text, and what a tool gave back below it."""
    return step.text if step.observation is None else f"{step.text}\n{step.observation}"


def marker_id(tokenizer: Any, marker: str) -> int:
    """The id of a marker that is one token.

    Raises:
        RungError: It is none or several.
    """
    ids = tokenizer.encode(marker, add_special_tokens=False)
    if len(ids) != 1:
        raise RungError(f"the tokenizer makes {len(ids)} tokens of {marker!r}, expected one")
    return ids[0]


def chat(
    tokenizer: Any, messages: Sequence[tuple[str, str]], *, generation_prompt: bool = False
) -> str:
    """The tokenizer's chat template filled with (role, content) pairs.

    Raises:
        RungError: The tokenizer has no template.
    """
    if not tokenizer.chat_template:
        raise RungError("the tokenizer has no chat template, and this family is read through one")
    turns = [{"role": role, "content": content} for role, content in messages]
    return tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=generation_prompt
    )


def encode(texts: Sequence[str], tokenizer: Any, *, special: bool = True) -> list[list[int]]:
    """The ids of whole strings, with special tokens parsed.

    Args:
        texts: Any number of strings.
        tokenizer: A tokenizer of transformers.
        special: Whether the tokenizer adds what it adds by itself, such as BOS.
    """
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return encoded["input_ids"]


class Encoder:
    """The ids of single texts; each distinct text is tokenized once."""

    def __init__(self, tokenizer: Any, *, special: bool = True) -> None:
        self._tokenizer, self._special = tokenizer, special
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """The ids of one text; the list is not to be changed."""
        if text not in self._known:
            self._known[text] = encode([text], self._tokenizer, special=self._special)[0]
        return self._known[text]


def read_at(ids: Sequence[int], places: Sequence[int], max_tokens: int) -> Rendered:
    """A chain whose step k is read at places[k], cut behind its last read in the context."""
    ends = tuple(place if place < max_tokens else None for place in places)
    last = max((end for end in ends if end is not None), default=-1)
    return Rendered(tuple(ids[: last + 1]), ends, 0)


def read_whole(ids: Sequence[int], num_steps: int, max_tokens: int) -> Rendered:
    """A chain with one score, read at its last token; none if it doesn't fit the context."""
    fits = num_steps > 0 and 0 < len(ids) <= max_tokens
    last = [len(ids) - 1 if fits else None] if num_steps else []
    return Rendered(tuple(ids) if fits else (), (*[None] * (num_steps - 1), *last), 0)


def read_growing(
    prefixes: Sequence[Sequence[int]], max_tokens: int, probe: Sequence[int] = ()
) -> Rendered:
    """A chain whose step k is read at the last of prefixes[k] and the probe behind it.

    Each prefix is tokenized as a whole. Where a further step changes the ids before it, and where
    there is a probe, which no further step sees, it is read on a branch.
    """
    own = tuple(prefixes[-1][:max_tokens]) if prefixes else ()
    ends: list[int | None] = []
    branches: list[Branch | None] = []
    for ids in prefixes:
        fits = 0 < len(ids) + len(probe) <= max_tokens
        same = _num_same(ids, own)
        rest = (*ids[same:], *probe)
        ends.append(max(same, 1) - 1 if fits else None)
        branches.append(Branch(same, rest) if fits and rest else None)
    return Rendered(own, tuple(ends), 0, tuple(branches))


def read_markers(ids: Sequence[int], marker: int, num_steps: int, max_tokens: int) -> Rendered:
    """A chain whose steps are read where the marker stands.

    Raises:
        RungError: It does not stand once a step.
    """
    places = [place for place, token in enumerate(ids) if token == marker]
    if len(places) != num_steps:
        raise RungError(
            f"the tokenizer makes {len(places)} markers of {num_steps} steps; is it this model's?"
        )
    return read_at(ids, places, max_tokens)


def _num_same(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences have in common from the start on."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)
