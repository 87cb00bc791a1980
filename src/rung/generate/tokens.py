"""Chains with the tokens that were drawn for them: what a policy gradient is taken of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rung.core.types import Chain
from rung.generate.prompting import Prompts, steps_of_tokens


class TokenChain(NamedTuple):
    """A chain with the tokens that the policy drew for it."""

    chain: Chain
    prompt: tuple[int, ...]
    """What stood before them."""
    ids: tuple[int, ...]
    """The tokens drawn, the one that ended the chain too."""
    steps: tuple[int, ...]
    """Which of the chain's new steps each belongs to (`rung.generate.prompting.steps_of_tokens`);
    0 for all where the tokens don't show it."""
    logprobs: tuple[float, ...]
    """Of each, under the policy itself, at temperature 1."""


def token_chain(
    chain: Chain,
    num_before: int,
    prompt: tuple[int, ...],
    ids: Sequence[int],
    end: int | None,
    logprobs: Sequence[float],
    prompts: Prompts,
) -> TokenChain:
    """A chain that an engine has written, with its tokens.

    Args:
        chain: What was read from the tokens.
        num_before: Steps that it had before.
        prompt: What stood before the tokens.
        ids: The tokens drawn, without the one that ended the chain.
        end: That one, if there was one.
        logprobs: Of each of them.
        prompts: How the policy's tokens are read.
    """
    texts = (token.text for token in prompts.drawn(ids, logprobs))
    num_new = len(chain.steps) - num_before
    places = steps_of_tokens(texts, num_new, prompts.step_separator)
    drawn = (*ids, *([] if end is None else [end]))
    steps = tuple(places or [0] * len(drawn))
    return TokenChain(chain, prompt, drawn, steps, tuple(logprobs))
