"""Chains with the tokens that were drawn for them: what a policy gradient is taken of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rung.core.types import Chain
from rung.generate.prompting import Drawn, Written, steps_of_tokens


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
    written: Written,
    separator: str,
) -> TokenChain:
    """A chain that an engine has written, with its tokens.

    Args:
        chain: What was read from the tokens.
        num_before: Steps that it had before.
        prompt: What stood before the tokens.
        ids: The tokens drawn, without the one that ended the chain.
        end: That one, if there was one.
        written: The same with their texts and log-probabilities, which have been asked for.
        separator: Between steps.
    """
    assert written.drawn is not None, "log-probabilities were asked for"
    texts = (token.text for token in written.drawn)
    places = steps_of_tokens(texts, len(chain.steps) - num_before, separator)
    tokens = (*ids, *([] if end is None else [end]))
    steps = tuple(places or [0] * len(tokens))
    return TokenChain(chain, prompt, tokens, steps, tuple(map(_logprob, written.drawn)))


def _logprob(token: Drawn) -> float:
    assert token.logprob is not None, "the engine has drawn it itself"
    return token.logprob
