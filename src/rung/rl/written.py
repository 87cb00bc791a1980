"""What another engine's policy wrote, as token ids, paid by a scorer of ours.

Steps are found on the tokens themselves: tokenized again, a text may have others. B chains, S
steps, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.protocols import Scorer
from rung.core.types import Chain, Problem, Provenance
from rung.generate.prompting import LENGTH, STOP, Prompts, steps_of_tokens
from rung.rl.pay import Judged, Paid, judged, pay, scores_of
from rung.rl.settings import Guards, Paying


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPay:
    """Who pays for steps, and how.

    Raises:
        RungError: The baseline needs a value head.
    """

    scorer: Scorer
    paying: Paying = field(default_factory=Paying)
    """`outcome_weight` is that of the engine's own rewards or advantages."""
    guards: Guards = field(default_factory=Guards)
    """Those of single chains: which steps earn nothing, and the largest score."""
    step_separator: str = "\n"
    """What the policy writes between steps."""

    def __post_init__(self) -> None:
        if self.paying.baseline == "gae":
            raise RungError("gae needs a value head, which other engines' trainers don't give us")


class Completion(NamedTuple):
    """What a policy wrote for a problem."""

    problem: Problem
    ids: Sequence[int]
    """The token that ended it, too."""
    has_ended: bool
    """By itself; not cut off."""


class Earned(NamedTuple):
    """What chains of completions earn for their steps, unweighted."""

    chains: list[Chain]
    places: list[list[int]]
    """For each completion the step that each of its tokens belongs to."""
    found: Judged
    """Without outcomes; every chain is its own group."""
    paid: Paid
    num_unscored: int
    """Steps that the scorer could not score; they neither earn nor lose."""

    def step_of(self, width: int) -> Tensor:
        """Which step each token belongs to, (B, `width`); -1 in the padding."""
        step_of_BT = torch.full((len(self.places), width), -1)
        for b, places in enumerate(self.places):
            step_of_BT[b, : len(places)] = torch.tensor(places, dtype=torch.long)
        return step_of_BT

    def at_step_ends(self, width: int) -> Tensor:
        """What steps earn, at the last token of each, (B, `width`)."""
        rewards_BT = torch.zeros(len(self.places), width)
        for b, places in enumerate(self.places):
            ends = {step: place for place, step in enumerate(places)}
            for step, place in ends.items():
                rewards_BT[b, place] = self.paid.rewards_BS[b, step]
        return rewards_BT


def earned(completions: Sequence[Completion], step_pay: StepPay, tokenizer: Any) -> Earned:
    """Cut completions into steps, score them, and say what each step earns.

    Args:
        completions: At least one.
        step_pay: Who pays, and how.
        tokenizer: The policy's.

    Raises:
        RungError: The scorer gives something that is no number in [0, 1].
    """
    prompts = Prompts(tokenizer, None, "", step_pay.step_separator)
    chains: list[Chain] = []
    places: list[list[int]] = []
    for one in completions:
        chain, place_of = _chain(one, prompts)
        chains.append(chain)
        places.append(place_of)
    scores = scores_of(step_pay.scorer, chains)
    nobody = [False] * len(chains)
    found = judged(chains, nobody, scores, range(len(chains)), step_pay.guards)
    process_only = replace(step_pay.paying, outcome_weight=0.0, process_weight=1.0)
    unscored = sum(score is None for one in scores if one for score in one.scores)
    return Earned(chains, places, found, pay(found, process_only), unscored)


def _chain(one: Completion, prompts: Prompts) -> tuple[Chain, list[int]]:
    texts = [drawn.text for drawn in prompts.drawn(one.ids, ())]
    pieces = [p for p in "".join(texts).split(prompts.step_separator) if p.strip()]
    places = steps_of_tokens(texts, len(pieces), prompts.step_separator)
    assert places is not None, "steps are read from the very texts of the tokens"
    source = Provenance(finish_reason=STOP if one.has_ended else LENGTH)
    return Chain.of(one.problem, pieces, source=source), places
