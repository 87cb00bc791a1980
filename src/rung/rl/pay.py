"""Chains, outcomes and scores to what is earned and to advantages: the settings, applied.

B chains of one or more problems, S steps. A chain that has no steps counts as one blank step: to
write nothing is an action too, which earns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.protocols import Scorer
from rung.core.types import Chain, StepScores
from rung.rl.advantages import group_relative, leave_one_out, process_group_relative, step_gae
from rung.rl.guards import earning_steps
from rung.rl.returns import returns_to_go
from rung.rl.rewards import difference, min_form, mixed, outcome_only, process_advantage, score_sum
from rung.rl.settings import Guards, Paying
from rung.rl.steps import before, carried, is_step, real

LEAST_ODDS = 1e-6
"""A score nearer to 0 or 1 counts as this far from it: log-odds stay finite."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Chains with what is known of them, as tensors."""

    num_steps_B: Tensor
    outcomes_B: Tensor
    """1 for a right final answer; all else is 0."""
    scores_BS: Tensor
    """0 where a step has no score."""
    scored_BS: Tensor
    """Which steps have one; a step without neither earns nor loses."""
    earning_BS: Tensor
    """Which steps the guards let earn something; the others can only lose."""
    group_B: Tensor
    """Equal numbers for the chains of one problem."""


class Paid(NamedTuple):
    """What chains earn, step by step."""

    process_BS: Tensor
    """For the steps alone, unweighted: what a policy could win without being right."""
    rewards_BS: Tensor
    """With the outcome."""


def scores_of(scorer: Scorer, chains: Sequence[Chain]) -> list[StepScores | None]:
    """Scores; None for a chain without steps, which no scorer is asked about.

    Raises:
        RungError: A score is no number in [0, 1], or there are not as many as there are steps.
    """
    asked = [chain for chain in chains if chain.steps]
    try:
        found = scorer.score(asked) if asked else []
    except ValueError as error:
        raise RungError(f"scorer {scorer.name!r}: {error}") from error
    given, wanted = [len(one.scores) for one in found], [len(chain.steps) for chain in asked]
    if given != wanted:
        counts = f"{len(given)} chains with {sum(given)} scores"
        wanting = f"{len(wanted)} chains with {sum(wanted)} steps"
        raise RungError(f"scorer {scorer.name!r} gave {counts} for {wanting}")
    left = iter(found)
    return [next(left) if chain.steps else None for chain in chains]


def judged(
    chains: Sequence[Chain],
    outcomes: Sequence[bool],
    scores: Sequence[StepScores | None],
    group: Sequence[int],
    guards: Guards,
) -> Judged:
    """Tensors of chains; a score above `guards.most_score` counts as that."""
    num_steps = [max(1, len(chain.steps)) for chain in chains]
    width = max(num_steps)
    scores_BS = torch.zeros(len(chains), width)
    scored_BS = torch.zeros(len(chains), width, dtype=torch.bool)
    earning_BS = torch.zeros_like(scored_BS)
    for b, (chain, found) in enumerate(zip(chains, scores, strict=True)):
        count = len(chain.steps)
        earning_BS[b, :count] = torch.tensor(earning_steps(chain, guards), dtype=torch.bool)
        if found is not None:
            capped = [min(score or 0.0, guards.most_score) for score in found.scores]
            scores_BS[b, :count] = torch.tensor(capped)
            scored_BS[b, :count] = torch.tensor([score is not None for score in found.scores])
    return Judged(
        torch.tensor(num_steps),
        torch.tensor(outcomes, dtype=torch.float32),
        scores_BS,
        scored_BS,
        earning_BS,
        torch.tensor(group),
    )


def pay(found: Judged, paying: Paying, process_BS: Tensor | None = None) -> Paid:
    """What each step earns; one that the guards don't let earn can still lose.

    Were its loss forgiven, a policy that is paid for rises could let the score fall in blank steps
    and be paid for every rise from there.

    Args:
        found: The chains.
        paying: How they are paid.
        process_BS: What the steps earn, where it is not their scores that say so.
    """
    process_BS = _process(found, paying) if process_BS is None else process_BS
    process_BS = torch.where(found.earning_BS, process_BS, process_BS.clamp(max=0.0))
    outcome_BS = outcome_only(found.outcomes_B, found.num_steps_B, process_BS.shape[1])
    outcome_BS = paying.outcome_weight * outcome_BS
    return Paid(process_BS, mixed(outcome_BS, process_BS, weight=paying.process_weight))


def advantages(
    paid: Paid, found: Judged, paying: Paying, values_BS: Tensor | None = None
) -> Tensor:
    """The steps' advantages (B, S).

    Args:
        paid: What they earn.
        found: The chains.
        paying: What to compare with.
        values_BS: What a value head expects before each step, for gae.
    """
    rewards_BS, count_B, group_B = paid.rewards_BS, found.num_steps_B, found.group_B
    if paying.baseline == "process-group":
        return process_group_relative(rewards_BS, group_B, count_B)
    if paying.baseline == "gae":
        assert values_BS is not None, "gae needs a value head"
        return step_gae(
            rewards_BS, values_BS, count_B, discount=paying.discount, trace=paying.trace
        )
    if paying.baseline == "leave-one-out":
        returns_BS = returns_to_go(rewards_BS, discount=paying.discount)
        return leave_one_out(returns_BS, group_B, count_B)
    is_scaled = paying.baseline == "group-scaled"
    width = rewards_BS.shape[1]
    return group_relative(rewards_BS.sum(1), group_B, count_B, width, scaled=is_scaled)


def _process(found: Judged, paying: Paying) -> Tensor:
    scores_BS, scored_BS, count_B = found.scores_BS, found.scored_BS, found.num_steps_B
    if paying.form == "sum":
        return score_sum(scores_BS, count_B)
    if paying.form == "difference":
        return difference(carried(scores_BS, scored_BS, 0.0), count_B, discount=paying.discount)
    if paying.form == "progress":
        # what the question is worth is the same for all its chains, so nothing for all will do
        start_B = torch.zeros(len(count_B))
        return process_advantage(carried(scores_BS, scored_BS, 0.0), start_B, count_B)
    if paying.form == "min":
        return min_form(scores_BS, count_B, scored_BS=scored_BS)
    if paying.form == "implicit":
        return _log_odds_rise(carried(scores_BS, scored_BS, 0.5), count_B)
    return torch.zeros_like(scores_BS)


def _log_odds_rise(scores_BS: Tensor, num_steps_B: Tensor) -> Tensor:
    """By how much each step raises the score's log-odds.

    An implicit PRM's score is sigmoid(beta * log-ratio up to the step's end), so this is beta
    times the sum of the step's token log-ratios: PRIME's token rewards, step by step.
    """
    scores_BS = real(scores_BS, num_steps_B, "the score")
    odds_BS = torch.logit(scores_BS, eps=LEAST_ODDS)
    rise_BS = odds_BS - before(odds_BS, torch.zeros_like(odds_BS[:, 0]))
    return torch.where(is_step(num_steps_B, scores_BS.shape[1]), rise_BS, 0.0)
