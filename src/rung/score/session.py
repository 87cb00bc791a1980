"""Scores of growing chains: a new step costs its own tokens, whatever stands before it.

A session keeps the keys and values of every live prefix, shared where prefixes share tokens. Each
score equals that of a full pass over its prefix, up to rounding (1e-5 in fp32, 0.02 in bf16),
also where memory ran out and a prefix had to be computed again. A step's text decides its tokens
alone: a family whose tokenizer would merge a step with the next one computes what changes again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, Step
from rung.model.engine import PrefixEngine, Request, Usage
from rung.model.reader import Reader
from rung.model.rendering import Rendered


class ScoredStep(NamedTuple):
    """A step that a session has scored."""

    id: str
    """Names the prefix that ends with the step, for further steps."""
    score: float | None
    """P(right); None beyond the model's context."""


class Prefixes(Protocol):
    """A model that scores prefixes and keeps what longer ones need."""

    @property
    def name(self) -> str:
        """The scorer's name, for errors."""
        ...

    @property
    def family(self) -> str:
        """How the model is read."""
        ...

    @property
    def reads_unfinished_steps(self) -> bool:
        """Whether the score of a step that is still being written means anything."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens that full passes would have taken, and tokens that were run."""
        ...

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are in memory."""
        ...

    def score(self, chains: Mapping[str, Chain], *, hold: bool) -> dict[str, float | None]:
        """The score of each chain's last step, by its prefix id; held ones can be gone on from.

        The prefix before the last step is held, or it is a problem's empty one.
        """
        ...

    def release(self, prefix_id: str) -> None:
        """Stop holding a prefix; nothing, if it isn't held."""
        ...


class ScoringSession:
    """Live prefixes of one or more problems, and their scores.

    `RewardScorer.open` and `ImplicitScorer.open` make one. An ORM scores each prefix as if the
    chain ended there.
    """

    def __init__(self, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._live: dict[str, Chain] = {}
        self._scores: dict[str, float | None] = {}

    @property
    def live(self) -> frozenset[str]:
        """Ids of the prefixes that can be extended."""
        return frozenset(self._live)

    @property
    def usage(self) -> Usage:
        """Tokens that full passes over every prefix would have taken, and tokens that were run."""
        return self._prefixes.usage

    @property
    def kept_tokens(self) -> int:
        """Tokens whose keys and values are in memory."""
        return self._prefixes.kept_tokens

    def add(self, problem: Problem) -> str:
        """Take up a problem; return the id of its empty prefix."""
        self._live[problem.root_id] = Chain(problem, ())
        return problem.root_id

    def extend(self, prefix_ids: Sequence[str], steps: Sequence[str | Step]) -> list[ScoredStep]:
        """Write a step behind each prefix and score it; the longer prefixes are live from now on.

        Args:
            prefix_ids: B live prefixes; one may be given several times, with several steps.
            steps: B steps, as texts or with role and observation.

        Raises:
            RungError: A prefix is not live, or the model gives something that is not a number.
        """
        grown = self._grown(prefix_ids, steps)
        fresh = {c.prefix_id: c for c in grown if c.prefix_id not in self._live}
        self._scores |= self._prefixes.score(fresh, hold=True)
        self._live |= fresh
        return [ScoredStep(c.prefix_id, self._scores[c.prefix_id]) for c in grown]

    def peek(
        self, prefix_ids: Sequence[str], texts: Sequence[str], *, hold: bool = False
    ) -> list[ScoredStep]:
        """Scores of steps that are still being written.

        Args:
            prefix_ids: B live prefixes.
            texts: What there is of a step behind each.
            hold: Keep the texts' keys and values, so that more of a step costs only what is new,
                until the ids that are returned are dropped. They can't be extended.

        Raises:
            RungError: A prefix is not live, or the score of an unfinished step means nothing for
                this family of models.
        """
        if not self._prefixes.reads_unfinished_steps:
            raise RungError(
                f"{self._prefixes.name} can't score a step before it ends: models of the family"
                f" {self._prefixes.family} are read only behind whole steps"
            )
        grown = self._grown(prefix_ids, texts)
        known = {c.prefix_id: self._scores[c.prefix_id] for c in grown if c.prefix_id in self._live}
        rest = {c.prefix_id: c for c in grown if c.prefix_id not in known}
        known |= self._prefixes.score(rest, hold=hold)
        return [ScoredStep(c.prefix_id, known[c.prefix_id]) for c in grown]

    def drop(self, prefix_ids: Iterable[str]) -> None:
        """Let prefixes go; memory that no live prefix shares is free at once.

        Longer prefixes stay live. An id that is not live is passed over.
        """
        for prefix_id in prefix_ids:
            self._live.pop(prefix_id, None)
            self._scores.pop(prefix_id, None)
            self._prefixes.release(prefix_id)

    def chain(self, prefix_id: str) -> Chain:
        """The chain up to a live prefix.

        Raises:
            RungError: It is not live.
        """
        if prefix_id not in self._live:
            raise RungError(f"no live prefix has the id {prefix_id!r}")
        return self._live[prefix_id]

    def _grown(self, prefix_ids: Sequence[str], steps: Sequence[str | Step]) -> list[Chain]:
        pairs = zip(map(self.chain, prefix_ids), steps, strict=True)
        return [
            Chain(chain.problem, (*chain.steps, Step(step) if isinstance(step, str) else step))
            for chain, step in pairs
        ]


@dataclass(frozen=True, slots=True)
class ReadPrefixes:
    """`Prefixes` of a model that is read at one place a step."""

    name: str
    reader: Reader
    engine: PrefixEngine

    @property
    def family(self) -> str:
        """The reader's."""
        return self.reader.family

    @property
    def reads_unfinished_steps(self) -> bool:
        """The reader's."""
        return self.reader.reads_unfinished_steps

    @property
    def usage(self) -> Usage:
        """The engine's."""
        return self.engine.usage

    @property
    def kept_tokens(self) -> int:
        """The engine's."""
        return self.engine.kept_tokens

    def release(self, prefix_id: str) -> None:
        """Stop holding a prefix."""
        self.engine.release(prefix_id)

    def score(self, chains: Mapping[str, Chain], *, hold: bool) -> dict[str, float | None]:
        """The scores of the chains' last steps; None beyond the context."""
        asked: list[str] = []
        requests: list[Request] = []
        rendered_B = self.reader.render(list(chains.values()))
        for (prefix_id, chain), rendered in zip(chains.items(), rendered_B, strict=True):
            read = rendered.read_of(len(chain.steps) - 1)
            if read is not None:
                asked.append(prefix_id)
                requests += _requests(rendered, read, prefix_id if hold else None)
        scores_K = self.reader.scores(self.engine.features(requests), self.name)
        found = dict(zip(asked, scores_K, strict=True))
        return {prefix_id: found.get(prefix_id) for prefix_id in chains}


def _requests(
    rendered: Rendered, read: tuple[tuple[int, ...], int], hold: str | None
) -> list[Request]:
    """What the engine is asked for a chain's last step; a branch is read and not held."""
    ids, place = read
    if ids is rendered.ids:
        return [Request(ids[: place + 1], (place,), hold)]
    end = rendered.step_ends[-1]
    assert end is not None
    held = [] if hold is None else [Request(rendered.ids[: end + 1], (), hold)]
    return [Request(ids, (place,)), *held]
