"""The loop of reinforcement learning: sample, judge, pay, learn; look at held-out problems.

A run is a function of its problems and settings: one seed gives one curve, and a run that was
killed goes on from its last saved state with the same curve, on the same machine with the same
number of threads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from rung.core.codec import write_records
from rung.core.protocols import Progress, Sampling
from rung.core.types import Problem
from rung.generate import TokenChain
from rung.rl.guards import PARTED_LOOKS, has_parted
from rung.rl.learner import Learner, Moved
from rung.rl.metrics import round_row
from rung.rl.pay import Judged, advantages
from rung.rl.returns import returns_to_go
from rung.rl.rounds import Clock, Players, Round, StepRewards, play, problems_of_round
from rung.rl.settings import Held, RlTraining
from rung.rl.update import Experience, divergence, experience, gap
from rung.score.cost import tokens_of
from rung.train.state import RunState, append_metrics, cut_metrics
from rung.train.trackers import Tracker

ALL_DONE = "all rounds are done"
HELD_OUT_FILE = "held_out.jsonl.gz"


@dataclass(slots=True)
class Position:
    """Where a run stands, apart from the tensors."""

    step: int = 0
    """Rounds taken."""
    best_step: int = 0
    updates: int = 0
    """Optimizer steps taken."""
    is_over: bool = False
    ended: str = ALL_DONE
    first: Held | None = None
    best: Held | None = None
    last: Held | None = None
    best_shares: list[float] = field(default_factory=list[float])
    """Each held-out problem's share of right chains at the best look."""
    parted_looks: int = 0
    """Looks in a row, up to the last, at which what is paid and what is right had parted."""
    tokens_sampled: int = 0
    tokens_scored: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Game:
    """What a run is about."""

    settings: RlTraining
    players: Players
    learner: Learner
    problems: Sequence[Problem]
    held_out: Sequence[Problem]


def run_rl(game: Game, out: Path, progress: Progress, tracker: Tracker) -> Position:
    """Train from where the run in `out` stands to its end; the learner then has the best weights.

    Raises:
        RungError: A scorer or a loss gave what is no number.
    """
    return _Run(game, out, progress, tracker).to_the_end()


class _Run:
    """A run in progress."""

    def __init__(self, game: Game, out: Path, progress: Progress, tracker: Tracker) -> None:
        self._game, self._settings, self._out = game, game.settings, out
        self._learner, self._world = game.learner, game.learner.world
        self._progress, self._tracker = progress, tracker
        self._state = RunState(out, self._learner.weights, self._learner.optimizer, self._world)
        self._position = self._state.restore(Position())
        self._scored_online, self._scored_before = 0, tokens_of(game.players.scorer) or 0
        self._clock_s = self._saved_s = time.monotonic()
        self._known: tuple[Sequence[TokenChain], list[Experience], list[Tensor]] | None = None

    def to_the_end(self) -> Position:
        position, rounds = self._position, self._settings.updating.iterations
        if self._world.leads:
            cut_metrics(self._out, position.step)
        self._learner.weights.eval()  # no dropout: what is learned from is what was sampled
        if position.first is None and not position.is_over:
            self._look()
            self._save()
        self._progress.start("rounds", rounds - position.step)
        while not position.is_over:
            note = self._take_round()
            if position.step % self._settings.looking.look_every == 0 or position.step == rounds:
                self._look()
            position.is_over = self._world.agree(position.is_over or position.step == rounds)
            self._progress.advance(note=note)
            is_due = time.monotonic() - self._saved_s > self._settings.save_every_s
            if position.is_over or self._world.agree(is_due):
                self._save()
        if self._game.held_out:
            self._state.load_best(position.best_step)
        return position

    def _take_round(self) -> str:
        settings, position, clock = self._settings, self._position, Clock()
        how = settings.updating
        chosen = problems_of_round(self._game.problems, how.problems, position.step, settings.seed)
        ours = chosen[self._world.rank :: self._world.size]
        sampling = self._sampling(position.step + 1)
        prm_loss: list[float] = []
        played = self._play(ours, self._game.problems, how.chains, sampling, clock, prm_loss)
        with clock.on("learning"):
            experiences, reference = self._read(played.written)
            if not (is_learner := self._game.players.writer.is_learner):
                experiences = self._learner.reread(experiences)
            width = played.found.scores_BS.shape[1]
            values_BS = self._learner.expectations(experiences, width)
            paying = settings.paying
            found_BS = advantages(played.paid, played.found, paying, values_BS)
            returns_BS = returns_to_go(played.paid.rewards_BS, discount=paying.discount)
            moved = self._learner.learn(
                experiences,
                reference,
                found_BS,
                returns_BS,
                position.updates,
                [self._game.problems[k].root_id for k in chosen],
                random.Random(f"{settings.seed}/{position.step}"),
            )
        kl = sum(divergence(e.old_K, r) for e, r in zip(experiences, reference, strict=True))
        row = round_row(played, found_BS, moved, kl, self._world.total)
        row |= {} if is_learner else {"generator_gap": gap(experiences)}
        return self._note(played, moved, row, clock, prm_loss)

    def _play(
        self,
        chosen: Sequence[int],
        problems: Sequence[Problem],
        n: int,
        sampling: Sampling,
        clock: Clock,
        prm_loss: list[float] | None = None,
    ) -> Round:
        return play(
            self._game.players,
            [problems[k] for k in chosen],
            n,
            sampling,
            self._settings.paying,
            self._settings.guards,
            clock,
            self._step_rewards(prm_loss),
        )

    def _step_rewards(self, prm_loss: list[float] | None) -> StepRewards | None:
        """What an online PRM pays, after it has learned; without `prm_loss` it only pays."""
        online = self._learner.online
        if online is None:
            return None

        def rewards(written: Sequence[TokenChain], found: Judged) -> Tensor:
            experiences, reference = self._read(written)
            if prm_loss is not None:
                prm_loss.append(self._learner.learn_outcomes(experiences, reference, found))
            self._scored_online += online.num_tokens(experiences)
            return online.step_rewards(experiences, reference, found.scores_BS.shape[1])

        return rewards

    def _read(self, written: Sequence[TokenChain]) -> tuple[list[Experience], list[Tensor]]:
        """Chains as experiences, and what the reference says of them; computed once."""
        if self._known is None or self._known[0] is not written:
            experiences = [experience(one) for one in written]
            self._known = (written, experiences, self._learner.read_reference(experiences))
        return self._known[1:]

    def _sampling(self, number: int) -> Sampling:
        seed = self._settings.seed * 1_000_003 + number
        return Sampling(max_tokens=self._settings.updating.max_tokens, seed=seed, logprobs=True)

    def _note(
        self,
        played: Round,
        moved: Moved,
        counted: Mapping[str, Any],
        clock: Clock,
        prm_loss: list[float],
    ) -> str:
        position, total = self._position, self._world.total
        position.step += 1
        position.updates += moved.updates
        position.tokens_sampled += int(total(played.num_tokens))
        position.tokens_scored += int(total(self._scored()))
        self._count_time()
        row: dict[str, Any] = {
            "step": position.step,
            **counted,
            "tokens_sampled": position.tokens_sampled,
            "tokens_scored": position.tokens_scored if self._game.players.are_counted else None,
            "seconds": position.seconds,
            "seconds_by_part": clock.spent_s,
        }
        if prm_loss:
            row["prm_loss"] = prm_loss[0]
        self._write(row)
        self._guard_kl(row["kl"])
        return f"reward {row['reward']:.3f}, right {row['outcome']:.1%}, KL {row['kl']:.2f}"

    def _guard_kl(self, kl: float) -> None:
        most = self._settings.guards.most_kl
        if most is not None and kl > most:
            self._end(f"KL: a chain is {kl:.2f} nats from the reference, beyond {most:g}")

    def _look(self) -> None:
        """Look at the held-out problems, keep the best weights, see whether reward misleads."""
        if not self._game.held_out:
            return
        position, n = self._position, self._settings.looking.look_chains
        problems = self._game.held_out
        played = self._play(range(len(problems)), problems, n, self._sampling(0), Clock())
        right = [verdict.is_correct for verdict in played.verdicts]
        shares = [fmean(right[k : k + n]) for k in range(0, len(right), n)]
        is_paid = self._settings.paying.needs_scores
        reward, error = played.mean_paid(n) if is_paid else (None, None)
        held = Held(step=position.step, accuracy=fmean(shares), reward=reward)
        position.tokens_scored += self._scored()  # every process looks at all of them
        self._count_time()
        self._write_look(held, played, error)
        position.first, position.last = position.first or held, held
        if position.best is None or held.accuracy > position.best.accuracy:
            position.best, position.best_shares = held, shares
            position.best_step, position.parted_looks = position.step, 0
            self._state.keep_best(position.step)
        else:
            self._sound(shares, held)
        wanted = self._settings.looking.until_accuracy
        if wanted is not None and held.accuracy >= wanted:
            self._end(f"accuracy: {held.accuracy:.1%} of held-out chains are right")

    def _sound(self, shares: Sequence[float], held: Held) -> None:
        """The alarm, if what is paid and what is right have parted."""
        position, alarm = self._position, self._settings.guards.alarm
        best = position.best
        if alarm == "off" or best is None or best.reward is None or held.reward is None:
            return
        parted = has_parted(position.best_shares, shares, best.reward, held.reward)
        position.parted_looks = 0 if parted is None else position.parted_looks + 1
        if parted is None or position.parted_looks < PARTED_LOOKS:
            return
        self._progress.log(f"alarm after round {held.step}: {parted}")
        if alarm == "stop":
            self._end(f"alarm: {parted}")

    def _end(self, why: str) -> None:
        self._position.is_over, self._position.ended = True, why

    def _write_look(self, held: Held, played: Round, reward_error: float | None) -> None:
        row = {
            "step": held.step,
            "held_out_accuracy": held.accuracy,
            "held_out_problems": len(self._game.held_out),
            "held_out_reward": held.reward,
            "held_out_reward_error": reward_error,
            "tokens_sampled": self._position.tokens_sampled,
            "seconds": self._position.seconds,
        }
        self._write(row)
        paid = "" if held.reward is None else f", paid {held.reward:.3f}"
        self._progress.log(f"round {held.step}: held-out accuracy {held.accuracy:.1%}{paid}")
        if self._world.leads:
            write_records(self._out / HELD_OUT_FILE, played.records)

    def _write(self, row: dict[str, Any]) -> None:
        if self._world.leads:
            append_metrics(self._out, row)
            self._tracker.log(row, row["step"])

    def _scored(self) -> int:
        """Tokens that this process has scored since it was asked last."""
        now = (tokens_of(self._game.players.scorer) or 0) + self._scored_online
        counted, self._scored_before = now - self._scored_before, now
        return counted

    def _count_time(self) -> None:
        now_s = time.monotonic()
        self._position.seconds += now_s - self._clock_s
        self._clock_s = now_s

    def _save(self) -> None:
        self._count_time()
        self._state.save(self._position)
        self._saved_s = time.monotonic()
