"""Curves of runs, and how many tokens they took to half of the answers right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec

from rung.label.intervals import wilson
from rung.train.folder import REPORT_FILE
from rung.train.state import METRICS_FILE

Place = tuple[int, float, str]
"""Steps of a chain, the success rate at the start, and how the right results were lost."""
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Student's t at 97.5 %, by degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Start:
    """How many chains of a start policy are right."""

    num_steps: int
    rate: float
    lost_by: str
    right: int
    chains: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Held-out accuracy over tokens sampled, of one run."""

    num_steps: int
    rate: float
    lost_by: str
    pay: str
    seed: int
    tokens: tuple[int, ...]
    accuracy: tuple[float, ...]
    seconds: float
    stopped: bool
    """Whether a guard stopped it: the alarm, or the KL budget."""

    @property
    def cell(self) -> Place:
        """Where it started."""
        return self.num_steps, self.rate, self.lost_by

    def tokens_to(self, target: float) -> float | None:
        """Tokens at which the target is first reached, between looks; None if it never is."""
        before = (self.tokens[0], self.accuracy[0])
        if before[1] >= target:
            return 0.0
        for tokens, accuracy in zip(self.tokens, self.accuracy, strict=True):
            if accuracy >= target:
                share = (target - before[1]) / (accuracy - before[1])
                return before[0] + share * (tokens - before[0])
            before = (tokens, accuracy)
        return None


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the tokens outcome reward takes, in one cell."""

    num_steps: int
    rate: float
    lost_by: str
    pay: str
    outcome_tokens: list[float | None]
    """By seed; None where the target was not reached."""
    pay_tokens: list[float | None]
    pay_stopped: list[bool]
    """By seed, whether a guard stopped a run."""
    ratio: float | None
    """Geometric mean over the seeds; None unless both ways reached the target on all of them."""
    low: float | None
    high: float | None
    outcome_end: float
    """Accuracy at the last look, mean over seeds."""
    pay_end: float
    at_least: float | None
    """The same with all that was sampled where outcome reward did not arrive, and pay by step
    always did."""
    at_most: float | None
    """The other way round, unless a run was stopped."""


def place_of(told: Mapping[str, Any]) -> Place:
    """Where something of results.json belongs."""
    return told["num_steps"], told["rate"], told["lost_by"]


def share_of(start: Start) -> dict[str, Any]:
    """A start with its share of right chains and the 95 % interval, for results.json."""
    share = start.right / start.chains
    low, high = wilson(share, start.chains)
    return {**asdict(start), "value": share, "low": low, "high": high}


def curve_in(folder: Path, place: Place, pay: str, seed: int) -> Curve:
    """The looks of a run that has ended."""
    report = msgspec.json.decode((folder / REPORT_FILE).read_bytes())
    lines = (folder / METRICS_FILE).read_bytes().splitlines()
    looks = [row for row in map(msgspec.json.decode, lines) if "held_out_accuracy" in row]
    return Curve(
        *place,
        pay,
        seed,
        tokens=tuple(row["tokens_sampled"] for row in looks),
        accuracy=tuple(row["held_out_accuracy"] for row in looks),
        seconds=looks[-1]["seconds"],
        stopped=report["ended"].startswith(("alarm", "KL")),
    )


def ratios(curves: Sequence[Curve], target: float) -> list[Ratio]:
    """Each cell, and each way of paying beside the outcome; none without the outcome's curves."""
    cells = dict.fromkeys(curve.cell for curve in curves if curve.pay == "outcome")
    pays = dict.fromkeys(curve.pay for curve in curves if curve.pay != "outcome")
    return [_ratio(curves, cell, pay, target) for cell in cells for pay in pays]


def _ratio(curves: Sequence[Curve], cell: Place, pay: str, target: float) -> Ratio:
    by_seed = {
        name: {c.seed: c for c in curves if c.cell == cell and c.pay == name}
        for name in ("outcome", pay)
    }
    seeds = sorted(by_seed["outcome"].keys() & by_seed[pay].keys())
    alone, paid = ([by_seed[name][seed] for seed in seeds] for name in ("outcome", pay))
    alone_took, paid_took = ([c.tokens_to(target) for c in ours] for ours in (alone, paid))
    logs = [
        math.log(_at_least(a, target) / _at_least(b, target))
        for a, b in zip(alone, paid, strict=True)
    ]
    times, arrived = math.exp(fmean(logs)), (None not in alone_took, None not in paid_took)
    low, high = _interval(logs) if all(arrived) else (None, None)
    return Ratio(
        *cell,
        pay,
        alone_took,
        paid_took,
        [curve.stopped for curve in paid],
        times if all(arrived) else None,
        low,
        high,
        *(fmean(curve.accuracy[-1] for curve in ours) for ours in (alone, paid)),
        times if arrived == (False, True) else None,
        times if arrived == (True, False) and not any(c.stopped for c in paid) else None,
    )


def _at_least(curve: Curve, target: float) -> float:
    """Tokens to the target, or all that were sampled without reaching it."""
    tokens = curve.tokens_to(target)
    return curve.tokens[-1] if tokens is None else max(tokens, 1.0)


def _interval(logs: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % by Student's t over the seeds' logarithms."""
    if len(logs) < 2 or len(logs) - 1 not in T_95:
        return None, None
    wide = T_95[len(logs) - 1] * stdev(logs) / math.sqrt(len(logs))
    return math.exp(fmean(logs) - wide), math.exp(fmean(logs) + wide)
