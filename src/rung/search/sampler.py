"""Orders for continuations, and the policy's answers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rung.core.errors import RungError
from rung.core.protocols import Generator, Sampling
from rung.core.types import Chain, Provenance, Step
from rung.search.growth import LENGTH, PART, STOP
from rung.search.log import Piece


@dataclass(frozen=True, slots=True)
class Order:
    """Continuations of a prefix that are wanted now."""

    prefix: Chain
    first: int
    """How many continuations of this prefix the same search was given before."""
    n: int
    sampling: Sampling
    """Its `max_tokens`, `until`, `inside_step` and temperature are this order's."""
    pauses: bool = False
    """A step that takes all of `max_tokens` is not cut off there but paused, for a look."""

    @property
    def how(self) -> tuple[int, Sampling, bool]:
        """Orders that agree in this can be filled together."""
        return self.first, self.sampling, self.pauses

    @property
    def key(self) -> str:
        """Names the answer in a log: all that it depends on within a run."""
        how = self.sampling
        kind = "greedy" if how.temperature == 0 else "sampled"
        counts = f"{self.first}+{self.n}"
        where = "inside" if how.inside_step else how.until
        most = f"{how.max_tokens} pausing" if self.pauses else str(how.max_tokens)
        return f"{self.prefix.prefix_id} {counts} {where} {kind} {most}"

    def chains(self, pieces: Iterable[Piece], policy: str) -> list[Chain]:
        """The prefix with each piece behind it; a chain's tokens are those of all its pieces."""
        return [self._chain(piece, policy) for piece in pieces]

    def _chain(self, piece: Piece, policy: str) -> Chain:
        before = self.prefix.source or Provenance()
        whole = _whole_steps(self.prefix, self.sampling)
        logprobs = before.logprobs_for(len(whole))
        source = Provenance(
            policy=policy,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=self.sampling.seed,
            finish_reason=piece.finish_reason,
            num_tokens=(before.num_tokens or 0) + piece.num_tokens,
            step_logprobs=None if piece.logprobs is None else (*logprobs, *piece.logprobs),
        )
        return Chain(self.prefix.problem, (*whole, *piece.steps), piece.answer, source=source)


def sample(
    generator: Generator, orders: Sequence[Order], *, must_count: bool = False
) -> list[tuple[Piece, ...]]:
    """Let the policy fill orders that agree in `how`, in one call.

    Every continuation draws from random numbers named by the seed, its prefix and how many that
    prefix had before, so an answer doesn't depend on what else is ordered.

    Args:
        generator: The policy.
        orders: At least one.
        must_count: A limit hangs on the tokens, so a policy that does not count them won't do.

    Raises:
        RungError: The policy gives another number of chains, or chains that don't go on from
            their prefixes, or does not count where it must.
    """
    prefixes = [order.prefix for order in orders for _ in range(order.n)]
    [(first, sampling, pauses)] = {order.how for order in orders}
    seeded = replace(sampling, seed=_seed(sampling.seed, first))
    groups = generator.sample(prefixes, 1, seeded)
    if [len(group) for group in groups] != [1] * len(prefixes):
        raise RungError(
            f"the policy {generator.name} was asked for a chain for each of {len(prefixes)}"
            f" prefixes, and gave {[len(group) for group in groups]}"
        )
    chains = [chain for [chain] in groups]
    if (must_count or pauses) and any(_tokens(chain) is None for chain in chains):
        raise RungError(
            f"the policy {generator.name} does not count its tokens, so no budget of tokens or"
            " money and no looks inside steps can be kept"
        )
    written = zip(prefixes, chains, strict=True)
    pieces = (_piece(prefix, chain, sampling, pauses) for prefix, chain in written)
    return [tuple(islice(pieces, order.n)) for order in orders]


def _piece(prefix: Chain, chain: Chain, sampling: Sampling, pauses: bool) -> Piece:
    if not _goes_on(prefix, chain, sampling):
        raise RungError("the policy gave a chain that does not go on from its prefix")
    source = chain.source or Provenance()
    # a policy that was asked for whole chains and doesn't say how they ended has ended them
    reason = source.finish_reason or (STOP if sampling.until == "end" else None)
    num_tokens = _tokens(chain) or 0
    if pauses and reason == LENGTH and num_tokens >= sampling.max_tokens:
        reason = PART
    num_before = len(_whole_steps(prefix, sampling))
    logprobs = source.step_logprobs and source.step_logprobs[num_before:]
    return Piece(chain.steps[num_before:], chain.answer, reason, num_tokens, logprobs)


def _tokens(chain: Chain) -> int | None:
    return None if chain.source is None else chain.source.num_tokens


def _whole_steps(prefix: Chain, sampling: Sampling) -> tuple[Step, ...]:
    return prefix.steps[:-1] if sampling.inside_step else prefix.steps


def _goes_on(prefix: Chain, chain: Chain, sampling: Sampling) -> bool:
    num_before = len(_whole_steps(prefix, sampling))
    if chain.prefix(num_before).prefix_id != prefix.prefix(num_before).prefix_id:
        return False
    begun = "".join(prefix.texts[num_before:])
    return "".join(chain.texts[num_before : num_before + 1]).startswith(begun)


def _seed(seed: int, first: int) -> int:
    """A seed of its own for continuations that come behind others of their prefix."""
    digest = hashlib.blake2b(f"search {seed} {first}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)
