"""A round: the policy writes, verifier and scorer judge, chains are paid. Nothing is learned here.

B chains, S steps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from rung.core.protocols import Sampling, Scorer, Verifier
from rung.core.types import Chain, ChainRecord, Problem, StepScores, Verdict
from rung.generate import TokenChain
from rung.rl.guards import is_cut_off
from rung.rl.pay import Judged, Paid, judged, pay, scores_of
from rung.rl.settings import Guards, Paying
from rung.rl.writers import RoundWriter
from rung.score.cost import tokens_of

StepRewards = Callable[[Sequence[TokenChain], Judged], Tensor]
"""What steps earn (B, S), where no scorer says so: an online PRM's."""


@dataclass(slots=True)
class Clock:
    """Seconds by what they were spent on."""

    spent_s: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def on(self, what: str) -> Generator[None]:
        """Count the block's time."""
        began_s = time.monotonic()
        yield
        self.spent_s[what] = self.spent_s.get(what, 0.0) + time.monotonic() - began_s


@dataclass(frozen=True, slots=True)
class Players:
    """Who takes part."""

    writer: RoundWriter
    """The policy."""
    verifier: Verifier | None
    scorer: Scorer | None

    @property
    def are_counted(self) -> bool:
        """Whether it is known how many tokens are scored."""
        return self.scorer is None or tokens_of(self.scorer) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Chains that were written, with what they were paid."""

    written: list[TokenChain]
    found: Judged
    paid: Paid
    verdicts: list[Verdict]
    scores: Sequence[StepScores | None]

    @property
    def num_tokens(self) -> int:
        """Tokens that the policy drew."""
        return sum(len(one.ids) for one in self.written)

    @property
    def unscored(self) -> int:
        """Steps that their scorer could not score; they neither earn nor lose."""
        return sum(score is None for found in self.scores if found for score in found.scores)

    def mean_paid(self, n: int) -> tuple[float, float]:
        """What a chain is paid on average, with n a problem; its standard error over problems."""
        paid_B = self.paid.process_BS.sum(1)
        paid_P = paid_B.view(-1, n).mean(1)
        spread = float(paid_P.std(correction=0))
        return float(paid_B.mean()), spread / max(1, len(paid_P) - 1) ** 0.5

    @property
    def cut_off(self) -> int:
        """Chains that ran into their limit of tokens."""
        return sum(is_cut_off(one.chain) for one in self.written)

    @property
    def records(self) -> list[ChainRecord]:
        """The chains that have steps, with their scores and outcomes."""
        verdicts = self.verdicts or [None] * len(self.written)
        return [
            ChainRecord(one.chain, scores=() if found is None else (found,), outcome=verdict)
            for one, verdict, found in zip(self.written, verdicts, self.scores, strict=True)
            if one.chain.steps
        ]


def problems_of_round(problems: Sequence[Problem], count: int, step: int, seed: int) -> list[int]:
    """Which problems round `step` takes: all in turn, in another order each time, none twice.

    What is left at the end, fewer than `count`, waits for another time.
    """
    epoch, place = divmod(step, len(problems) // count)
    order = list(range(len(problems)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order[place * count : (place + 1) * count]


def play(
    players: Players,
    problems: Sequence[Problem],
    n: int,
    sampling: Sampling,
    paying: Paying,
    guards: Guards,
    clock: Clock,
    step_rewards: StepRewards | None = None,
) -> Round:
    """Write `n` chains for each problem and pay for them.

    Raises:
        RungError: The scorer failed, or gave something that is not a number.
    """
    with clock.on("sampling"):
        players.writer.renew()
        roots = [Chain(problem, ()) for problem in problems]
        groups = players.writer.sample_tokens(roots, n, sampling)
    written = [one for group in groups for one in group]
    chains = [one.chain for one in written]
    with clock.on("verifying"):
        verdicts = [] if players.verifier is None else players.verifier.verify(chains)
    with clock.on("scoring"):
        is_scored = paying.needs_scores and step_rewards is None
        scores = scores_of(_scorer(players), chains) if is_scored else [None] * len(chains)
    right = [verdict.is_correct for verdict in verdicts] or [False] * len(chains)
    numbers = [k for k in range(len(problems)) for _ in range(n)]
    found = judged(chains, right, scores, numbers, guards)
    with clock.on("scoring"):
        process_BS = step_rewards(written, found) if step_rewards is not None else None
    return Round(
        written=written,
        found=found,
        paid=pay(found, paying, process_BS),
        verdicts=verdicts,
        scores=scores,
    )


def _scorer(players: Players) -> Scorer:
    assert players.scorer is not None, "paying for steps needs a scorer"
    return players.scorer
