"""`rung label rollout` and `rung label omega`: step labels by letting a policy finish prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from rung.cli.inputs import Chains
from rung.cli.output import JsonFlag, Output
from rung.cli.rolling import RollingOptions, finish_rolling
from rung.core import ChainRecord, RungError, StepLabels
from rung.label import (
    OmegaForest,
    OmegaRule,
    RolloutLabels,
    RolloutRule,
    anytime_interval,
    wilson_interval,
    with_outcomes,
)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Label steps by how often a policy reaches the right answer from there.

    Stopped and run again, it takes the rollouts that are there and makes the rest. One seed gives
    the same labels.
    """

    chains: Chains
    """Files or URLs of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    rolling: RollingOptions
    labels: Literal["any", "majority", "soft"] = "any"
    """any: right if one of K rollouts is. majority: right if more than half are. soft: the share
    that is, with its counts."""
    k: int = 16
    """Rollouts a prefix, at most."""
    fixed: bool = False
    """Give every prefix K rollouts of its own, instead of stopping when enough is known."""
    margin: float = 0.2
    """Soft labels: enough when the 95% anytime interval is no wider than this to either side."""
    max_rollouts: int | None = None
    """For all chains together; they go to the prefixes that are least certain."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Label."""
        self.rolling.check()
        if self.max_rollouts is not None and self.rolling.scaling.ray is not None:
            raise RungError(
                "--max-rollouts are for all chains together and can't be dealt to workers"
            )
        rule = RolloutRule(
            labels=self.labels,
            k=self.k,
            adaptive=not self.fixed,
            margin=self.margin,
            max_rollouts=self.max_rollouts,
        )
        records, chosen, skipped = self.rolling.read(self.chains, out)
        some = [records[k] for k in chosen]
        with self.rolling.open_logged() as source:
            machine = self.rolling.label(some, partial(_start_labels, rule), source, out)
        labels = machine.result()
        for k, given in zip(chosen, labels, strict=True):
            records[k] = _with_intervals(records[k].with_labels(given), given, rule, self.fixed)
        finish_rolling(out, self.rolling.out, records, labels, machine.spent, source, skipped)


@dataclass(frozen=True, slots=True)
class Omega:
    """Find each chain's first error by binary search, as OmegaPRM does.

    With --grow the policy's own wrong rollouts are searched as well and written behind the given
    chains. Stopped and run again, it takes the rollouts that are there and makes the rest.
    """

    chains: Chains
    """Files or URLs of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    rolling: RollingOptions
    k: int = 8
    """Rollouts a prefix that is tried, at most."""
    fixed: bool = False
    """Give every prefix that is tried all K rollouts, also behind the first right one."""
    grow: int = 0
    """Wrong rollouts to search a problem, beyond the given chains."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Search."""
        self.rolling.check()
        rule = OmegaRule(k=self.k, adaptive=not self.fixed, grow=self.grow)
        records, chosen, skipped = self.rolling.read(self.chains, out)
        some = [records[k] for k in chosen]
        with self.rolling.open_logged() as source:
            machine = self.rolling.label(some, partial(_start_search, rule), source, out)
            grown = [ChainRecord(s.chain, labels=(s.labels,)) for s in machine.grown()]
            records += with_outcomes(grown, source.verifier)
        labels = machine.result()
        for k, given in zip(chosen, labels, strict=True):
            records[k] = records[k].with_labels(given)
        labels += [record.labels[0] for record in grown]
        finish_rolling(out, self.rolling.out, records, labels, machine.spent, source, skipped)


def _start_labels(rule: RolloutRule, records: Sequence[ChainRecord]) -> RolloutLabels:
    return RolloutLabels.start([r.chain for r in records], [r.outcome for r in records], rule)


def _start_search(rule: OmegaRule, records: Sequence[ChainRecord]) -> OmegaForest:
    return OmegaForest.start([r.chain for r in records], [r.outcome for r in records], rule)


def _with_intervals(
    record: ChainRecord, labels: StepLabels, rule: RolloutRule, is_fixed: bool
) -> ChainRecord:
    """Put the intervals of soft labels beside them."""
    if rule.labels != "soft":
        return record
    kind = wilson_interval if is_fixed else anytime_interval
    found = [count and kind(count, rule.confidence) for count in labels.counts or ()]
    told = {
        "method": "wilson" if is_fixed else "beta-binomial confidence sequence",
        "confidence": rule.confidence,
        "low_high": [found_ and list(found_) for found_ in found],
    }
    return replace(record, meta={**record.meta, f"{labels.source}_intervals": told})
