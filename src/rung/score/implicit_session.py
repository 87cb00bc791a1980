"""Growing chains under an implicit PRM: a prefix's value is a sum, and a step adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rung.core.errors import RungError
from rung.core.types import Chain
from rung.model.engine import Usage
from rung.score.logprobs import Asked, LogProbs

if TYPE_CHECKING:
    from rung.score.implicit import Boundaries


class ImplicitPrefixes:
    """`rung.score.session.Prefixes` of a model whose values stay when a step is written behind.

    A step costs its own tokens, and the one before them again, which predicts its first.
    """

    family = "implicit"
    reads_unfinished_steps = False

    def __init__(
        self,
        name: str,
        lay_out: Callable[[Sequence[Chain]], list[Boundaries]],
        coefficient: float,
        policy: LogProbs,
        reference: LogProbs,
    ) -> None:
        self.name, self._lay_out, self._coefficient = name, lay_out, coefficient
        self._models = policy, reference
        self._values: dict[str, float] = {}

    @property
    def usage(self) -> Usage:
        """Of both models together."""
        ours, theirs = (model.engine.usage for model in self._models)
        return Usage(ours.asked + theirs.asked, ours.computed + theirs.computed)

    @property
    def kept_tokens(self) -> int:
        """Of both models together."""
        return sum(model.engine.kept_tokens for model in self._models)

    def release(self, prefix_id: str) -> None:
        """Stop holding a prefix."""
        self._values.pop(prefix_id, None)
        for model in self._models:
            model.engine.release(prefix_id)

    def score(self, chains: Mapping[str, Chain], *, hold: bool) -> dict[str, float | None]:
        """The scores of the chains' last steps; None beyond the context.

        Raises:
            RungError: A model gives no number.
        """
        told_B = self._lay_out(list(chains.values()))
        asked = {
            key: Asked(told.ids, told.last_step, key if hold else None)
            for key, told in zip(chains, told_B, strict=True)
            if told.step_ends[-1] is not None
        }
        policy, reference = (model.of(list(asked.values())) for model in self._models)
        ratios = iter([ours - theirs for ours, theirs in zip(policy, reference, strict=True)])
        values = {
            key: self._value_before(chains[key])
            + self._coefficient * sum(islice(ratios, len(ask.places)))
            for key, ask in asked.items()
        }
        if hold:
            self._values |= values
        return {key: score_of(values[key], self.name) if key in values else None for key in chains}

    def _value_before(self, chain: Chain) -> float:
        """The value of the prefix before the last step; 0 where there is none."""
        return self._values[chain.steps[-2].id] if len(chain.steps) > 1 else 0.0


def score_of(value: float, name: str) -> float:
    """The score of a prefix's value under the scorer of that name.

    Raises:
        RungError: The value is no number.
    """
    if not math.isfinite(value):
        raise RungError(f"the scorer {name} gives scores that are not numbers")
    return 0.5 * (1 + math.tanh(value / 2))  # the sigmoid, without overflow on either side
