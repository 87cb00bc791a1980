"""Which prefix gets the next rollouts, and what the labels are: Monte-Carlo labels without I/O.

A rollout is one way in which a policy finishes a prefix (Math-Shepherd, arXiv 2312.08935). Here
a prefix that many chains share is one prefix, and a rollout that writes the steps of a longer
prefix counts for that one too: given those steps, what follows is a fair draw from it. (The
policy reads its own steps as it wrote them; only a policy that splits the same text into other
tokens when it is given back sees a difference.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rung.core import Chain, RolloutCount, RungError, Step, StepLabels, Verdict
from rung.label.intervals import CONFIDENCE, Interval, anytime_interval

LabelRule = Literal["any", "majority", "soft"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a policy wrote behind a prefix."""

    steps: tuple[Step, ...]
    """Without the prefix's own; their ids tell which longer prefixes it runs through."""
    verdict: Verdict
    """On its final answer."""
    answer: str | None = None
    num_tokens: int | None = None
    """Tokens sampled; None when the generator does not say."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Rollouts that are wanted."""

    prefix: Chain
    first: int
    """How many rollouts that started at this prefix were told before."""
    count: int


@dataclass(slots=True)
class Spent:
    """The rollouts that were told, whether new or from an earlier run's log."""

    rollouts: int = 0
    tokens: int = 0
    uncounted: int = 0
    """Rollouts whose tokens nobody counted."""

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Count these too."""
        self.rollouts += len(rollouts)
        self.tokens += sum(rollout.num_tokens or 0 for rollout in rollouts)
        self.uncounted += sum(rollout.num_tokens is None for rollout in rollouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRule:
    """How rollouts become labels, and when there are enough of them.

    Raises:
        RungError: A number is out of its range.
    """

    labels: LabelRule = "any"
    """any: 1 if a rollout reaches the right answer. majority: 1 if more than half of K do. soft:
    the share that does."""
    k: int = 16
    """Rollouts a prefix; with `adaptive`, at most so many are asked for."""
    adaptive: bool = True
    """Go through a chain from the front and stop behind its first error; let rollouts count for
    all prefixes they run through; hard labels stop when K rollouts could not change them, soft
    ones by `margin`. Without it every prefix gets K rollouts of its own."""
    margin: float = 0.2
    """Soft labels: enough when the anytime interval is no wider than this to either side."""
    confidence: float = CONFIDENCE
    """Of the anytime intervals."""
    max_rollouts: int | None = None
    """For all chains together; they go to the prefixes that are least certain."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RungError(f"k is {self.k}, expected at least 1 rollout a prefix")
        if not 0 < self.margin <= 0.5:
            raise RungError(f"the margin is {self.margin}, expected above 0 and at most 0.5")
        if not 0 < self.confidence < 1:
            raise RungError(f"the confidence is {self.confidence}, expected between 0 and 1")
        if self.max_rollouts is not None and self.max_rollouts < 0:
            raise RungError(f"max_rollouts is {self.max_rollouts}, expected at least 0")

    def interval(self, count: RolloutCount) -> Interval:
        """Where the prefix's value lies."""
        return anytime_interval(count, self.confidence)

    def label(self, count: RolloutCount) -> float | None:
        """The label that so many rollouts give; None when they don't settle it."""
        if self.labels == "soft":
            return count.correct / count.total if count.total else None
        if count.correct >= self._needed:
            return 1.0
        return 0.0 if count.total - count.correct > self.k - self._needed else None

    @property
    def _needed(self) -> int:
        """Right rollouts of K that make a hard label 1."""
        return 1 if self.labels == "any" else self.k // 2 + 1

    def is_settled(self, count: RolloutCount) -> bool:
        """Whether no more rollouts are needed."""
        if not self.adaptive or self.labels == "soft":
            is_narrow = self.adaptive and self.interval(count).half_width <= self.margin
            return count.total >= self.k or is_narrow
        return self.label(count) is not None

    def fewest(self, count: RolloutCount) -> int:
        """How many rollouts settle it, all in all, if the rest come out as most did so far.

        Soft labels may take all K: what is more than the margin asks for makes them better.
        """
        if self.labels == "soft":
            return self.k
        correct, wrong = count.correct, count.total - count.correct
        if correct >= wrong:
            return self._needed + wrong
        return self.k - self._needed + 1 + correct


@dataclass(slots=True)
class _Prefix:
    """What is known of a prefix."""

    chain: int
    """A chain that begins with it, and how many of its steps it has."""
    num_steps: int
    asked: int = 0
    """Rollouts that started here."""
    correct: int = 0
    total: int = 0
    """Rollouts that started here or ran through."""

    @property
    def count(self) -> RolloutCount:
        return RolloutCount(self.correct, self.total)


@dataclass(slots=True)
class RolloutLabels:
    """Labels of chains in the making: `start`, then `ask` and `tell` in turn, then `result`.

    `ask` gives every prefix once, and the same state asks for the same, so a run is repeated by
    telling it the same rollouts. It is empty when all is settled or `max_rollouts` are spent.
    """

    chains: Sequence[Chain]
    verdicts: Sequence[Verdict | None]
    rule: RolloutRule
    source: str
    spent: Spent = field(default_factory=Spent)
    _paths: list[list[str]] = field(default_factory=list[list[str]])
    """For each chain the ids of the prefixes that rollouts can start from."""
    _prefixes: dict[str, _Prefix] = field(default_factory=dict[str, _Prefix])

    @classmethod
    def start(
        cls,
        chains: Sequence[Chain],
        verdicts: Sequence[Verdict | None],
        rule: RolloutRule,
        source: str = "rollout",
    ) -> RolloutLabels:
        """Begin with nothing known but the verdicts on the chains that have a final answer.

        Their last steps are labeled by it and need no rollouts: nothing is left to write there.
        """
        labels = cls(chains, verdicts, rule, source)
        for index, chain in enumerate(chains):
            is_finished = chain.answer is not None and verdicts[index] is not None
            ids = [step.id for step in chain.steps][: -1 if is_finished else None]
            labels._paths.append(ids)
            for num_steps, id in enumerate(ids, start=1):
                labels._prefixes.setdefault(id, _Prefix(index, num_steps))
        return labels

    def ask(self) -> list[Ask]:
        """The next rollouts to make, for the least certain prefixes first."""
        ids = list(dict.fromkeys(id for path in self._paths for id in self._wanted(path)))
        if self.rule.max_rollouts is not None:
            ids.sort(key=lambda id: -self._half_width(id))
        left = self.rule.max_rollouts
        asks: list[Ask] = []
        for id in ids:
            prefix = self._prefixes[id]
            count = self._missing(prefix)
            if left is not None:
                count = min(count, left - self.spent.rollouts - sum(ask.count for ask in asks))
            if count <= 0:
                break
            chain = self.chains[prefix.chain].prefix(prefix.num_steps)
            asks.append(Ask(chain, prefix.asked, count))
        return asks

    def tell(self, asks: Sequence[Ask], rollouts: Sequence[Sequence[Rollout]]) -> None:
        """Count what the rollouts of each ask came to."""
        for ask, told in zip(asks, rollouts, strict=True):
            self.spent.add(told)
            start = self._prefixes[ask.prefix.prefix_id]
            start.asked += len(told)
            for rollout in told:
                through = rollout.steps if self.rule.adaptive else ()
                passed = (self._prefixes.get(step.id) for step in through)
                for prefix in (start, *filter(None, passed)):
                    prefix.total += 1
                    prefix.correct += rollout.verdict.is_correct

    def result(self) -> list[StepLabels]:
        """The labels as far as they are known, with the counts behind them."""
        return [self._labels(index) for index in range(len(self.chains))]

    def _wanted(self, ids: Sequence[str]) -> list[str]:
        """The prefixes of one chain that should have more rollouts now."""
        rule = self.rule
        if not rule.adaptive:
            return [id for id in ids if not rule.is_settled(self._prefixes[id].count)]
        wanted: list[str] = []
        for id in ids:
            count = self._prefixes[id].count
            if not rule.is_settled(count):
                wanted.append(id)
            if self._ends(count):
                break
        # the first of the least certain: what it writes may run through those behind it
        return sorted(wanted, key=lambda id: -self._half_width(id))[:1]

    def _ends(self, count: RolloutCount) -> bool:
        """Whether what stands behind this prefix is not worth rollouts (yet)."""
        return count.correct == 0 if self.rule.labels == "soft" else self.rule.label(count) != 1.0

    def _half_width(self, id: str) -> float:
        return self.rule.interval(self._prefixes[id].count).half_width

    def _missing(self, prefix: _Prefix) -> int:
        """Rollouts up to the next power of two, for few rounds; but no more than may be enough."""
        if not self.rule.adaptive:
            return self.rule.k - prefix.total
        goal = min(1 << prefix.total.bit_length(), self.rule.fewest(prefix.count))
        return goal - prefix.total

    def _labels(self, index: int) -> StepLabels:
        num_steps = len(self.chains[index].steps)
        labels, counts = list[float | None](), list[RolloutCount | None]()
        for id in self._paths[index]:
            count = self._prefixes[id].count
            labels.append(self.rule.label(count))
            counts.append(count if count.total else None)
            if self.rule.adaptive and self._ends(count):
                break
        else:
            if (verdict := self.verdicts[index]) is not None and len(labels) < num_steps:
                labels.append(float(verdict.is_correct))
        labels += [None] * (num_steps - len(labels))
        counts += [None] * (num_steps - len(counts))
        return StepLabels(tuple(labels), self.source, counts=tuple(counts))
