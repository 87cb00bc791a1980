"""Which chains to run through the model, and in which batches. Pure functions.

B is the number of chains, T their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from rung.core.types import Chain


def covering(chains_B: Sequence[Chain]) -> list[int]:
    """Indices of chains that together hold every step of all.

    A step is its whole prefix, so a chain that equals another, or is the beginning of one, needs
    no pass of its own. Chains without steps need none either.
    """
    continued = {step.id for chain in chains_B for step in chain.steps[:-1]}
    ends: dict[str, int] = {}
    for index, chain in enumerate(chains_B):
        if chain.steps and chain.prefix_id not in continued:
            ends.setdefault(chain.prefix_id, index)
    return list(ends.values())


def token_batches(lengths_B: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, the longest first.

    A batch of n inputs of at most T tokens counts n * T, what it takes with padding. An input
    longer than the budget stands alone.

    Raises:
        ValueError: The budget is not positive.
    """
    if max_batch_tokens < 1:
        raise ValueError(f"max_batch_tokens is {max_batch_tokens}, expected at least 1")
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths_B)), key=lambda k: -lengths_B[k]):
        if not batches or (len(batches[-1]) + 1) * lengths_B[batches[-1][0]] > max_batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
