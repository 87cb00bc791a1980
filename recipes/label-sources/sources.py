"""The sources of labels that are compared, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from judges import MadeJudge, judged
from measure import by_rollouts

from rung.core import ChainRecord, StepLabels
from rung.label import (
    Noise,
    RolloutRule,
    RolloutSource,
    SourceNoise,
    agreed_labels,
    dawid_skene,
    measure_noise,
    noise_aware,
)
from rung.label.step_table import FloatArray, step_table

TRUTH, HARD, SOFT = "lab", "rollouts, hard", "rollouts, soft"
HARD_RULE, SOFT_RULE = RolloutRule(k=16), RolloutRule(labels="soft", k=8)


@dataclass(frozen=True, slots=True)
class Source:
    """What a PRM learns from."""

    name: str
    judge: str
    """The plain judge that it is compared with."""
    labels: str
    """The source's name in the records."""
    noise: Noise | None = None
    rollouts: tuple[str, ...] = ()
    judgings: int = 0
    """Judges that read each chain."""
    needs_trusted: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Three judges that err alike."""

    judges: tuple[MadeJudge, ...]

    @classmethod
    def named(cls, name: str, *, has_blind_spots: bool) -> Family:
        """Judges called NAME, NAME-b and NAME-c."""
        names = (name, f"{name}-b", f"{name}-c")
        return cls(tuple(MadeJudge(one, has_blind_spots) for one in names))

    @property
    def name(self) -> str:
        """Of the first one, which also judges alone."""
        return self.judges[0].source

    def label(self, records: Sequence[ChainRecord], trusted: Sequence[ChainRecord]) -> Labels:
        """What the judges say of the records, and what is made of it."""
        every = [*judged(records, self.judges), *judged(trusted, self.judges)]
        table = step_table(every, [judge.source for judge in self.judges])
        beliefs = dawid_skene(table.said_SL)
        noise, aware = self._by_trusted(every, len(records))
        names = list(table.rows)
        made = [
            (f"{self.name}: Dawid-Skene", dict(zip(names, beliefs.right_S.tolist(), strict=True))),
            (f"{self.name}: Bayes", aware),
        ]
        found = [_with(record, made) for record in every[: len(records)]]
        agreed = [_agreed(record, f"{self.name}: filter", self.name) for record in found]
        blind = measure_noise(table, self.name, beliefs.right_S)
        return Labels(agreed, noise, blind)

    def sources(self, noise: Noise) -> list[Source]:
        """What a PRM learns from, the plain judge first."""
        name = self.name
        return [
            Source(name, name, name, judgings=1),
            Source(f"{name}: Dawid-Skene of 3", name, f"{name}: Dawid-Skene", judgings=3),
            Source(f"{name}: filter with rollouts", name, f"{name}: filter", None, (HARD,), 1),
            Source(f"{name}: noise-aware loss", name, name, noise, (), 1, needs_trusted=True),
            Source(f"{name}: noise-aware labels", name, f"{name}: Bayes", None, (), 1, True),
        ]

    def _by_trusted(
        self, every: Sequence[ChainRecord], num_records: int
    ) -> tuple[SourceNoise, dict[str, float]]:
        """The first judge's errors on the trusted chains, and P(right) by Bayes with these."""
        table = step_table(every, [self.name, TRUTH])
        trusted = {step.id for record in every[num_records:] for step in record.chain.steps}
        is_known_S = np.array([row in trusted for row in table.rows])
        trusted_S: FloatArray = np.where(is_known_S, table.said_SL[:, 1], np.nan)
        noise = measure_noise(table, self.name, trusted_S)
        right_S = noise_aware(table.said_SL[:, :1], trusted_S).right_S
        return noise, dict(zip(table.rows, right_S.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Labels:
    """The training chains with a family's labels, and how its first judge errs."""

    records: list[ChainRecord]
    by_trusted: SourceNoise
    by_dawid_skene: SourceNoise


def rolled_out(
    records: Sequence[ChainRecord], source: RolloutSource
) -> tuple[list[ChainRecord], dict[str, int]]:
    """The records with labels by rollouts, hard and soft, and the tokens that each took."""
    found, tokens = list(records), dict[str, int]()
    for name, rule in ((HARD, HARD_RULE), (SOFT, SOFT_RULE)):
        made = by_rollouts(records, rule, source)
        tokens[name] = made.spent.tokens
        pairs = zip(found, made.labels, strict=True)
        found = [r.with_labels(StepLabels(y.labels, name)) for r, y in pairs]
    return found, tokens


def plain_sources(judge: str) -> list[Source]:
    """The sources without a judge."""
    return [
        Source("verifier", judge, TRUTH),
        Source(HARD, judge, HARD, rollouts=(HARD,)),
        Source(SOFT, judge, SOFT, rollouts=(SOFT,)),
    ]


def _with(record: ChainRecord, made: Sequence[tuple[str, dict[str, float]]]) -> ChainRecord:
    for name, right in made:
        values = [right[step.id] for step in record.chain.steps]
        labels = tuple(None if np.isnan(value) else value for value in values)
        record = record.with_labels(StepLabels(labels, name))
    return record


def _agreed(record: ChainRecord, name: str, judge: str) -> ChainRecord:
    none = StepLabels((None,) * len(record.chain.steps), name)
    return record.with_labels(agreed_labels(record, (HARD, judge), name) or none)
