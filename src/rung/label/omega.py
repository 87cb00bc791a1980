"""OmegaPRM (arXiv 2406.06592): binary search for the first error, in a tree that grows.

A wrong rollout is searched for the step from which no rollout reaches the right answer any more:
about log2(S) prefixes are tried instead of S. Every prefix that was tried is a state of the
problem's tree, with its own wrong rollouts, and the next one to search is the one with the
highest value, equations 2 to 4:

    Q(s, r) + U(s) = alpha^(1 - MC(s)) * beta^(length(r) / L)
                     + c_puct * sqrt(sum of N) / (1 + N(s))

A near miss from a state that is often solved is worth most; a state that was searched often
gives way to others. Where we differ: a prefix is a step's and not a token's; rollouts from one
state count for the longer prefixes they run through; with `adaptive` a state gets rollouts until
the first right one, at most K, which finds the same first errors; a problem that K rollouts
don't solve gives no labels, for there the policy's failure says nothing of a step. A rollout
that was searched is never selected again (OpenR puts it back into the pool: its PR 98), nor is
another with the same steps, so all searched chains differ.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from rung.core import Chain, RolloutCount, RungError, Step, StepLabels, Verdict
from rung.label.rollouts import Ask, Rollout, Spent

Search = Generator[Ask, Sequence[Rollout], None]
"""A search that is in the middle of its work: it gives what it needs and is sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OmegaRule:
    """The search's numbers; the defaults are the paper's, but for `grow`.

    Raises:
        RungError: A number is out of its range.
    """

    k: int = 8
    """Rollouts a state."""
    adaptive: bool = True
    """Stop at a state's first right rollout; without it every state has all K, and MC is even."""
    grow: int = 0
    """Wrong rollouts to search a problem beyond the given chains (the paper: 100)."""
    alpha: float = 0.5
    beta: float = 0.9
    length: float = 500.0
    """L, in tokens where the generator counts them, else in words."""
    c_puct: float = 0.125

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RungError(f"k is {self.k}, expected at least 1 rollout a state")
        if self.grow < 0:
            raise RungError(f"grow is {self.grow}, expected at least 0 rollouts to search")
        if not (0 < self.alpha <= 1 and 0 < self.beta <= 1):
            raise RungError("alpha and beta are above 0 and at most 1")
        if self.length <= 0 or self.c_puct < 0:
            raise RungError("the length is above 0, c_puct at least 0")


@dataclass(frozen=True, slots=True)
class Searched:
    """A chain with the labels that its search found."""

    chain: Chain
    labels: StepLabels


@dataclass(slots=True)
class _State:
    """A prefix that was tried."""

    chain: Chain
    asked: int = 0
    rollouts: list[tuple[Chain, Rollout]] = field(default_factory=list[tuple[Chain, Rollout]])
    """Whole chains that begin with it, and what of each was sampled."""
    visits: int = 0
    """N(s): how often one of its rollouts was selected."""

    @property
    def count(self) -> RolloutCount:
        right = sum(rollout.verdict.is_correct for _, rollout in self.rollouts)
        return RolloutCount(right, len(self.rollouts))


@dataclass(slots=True)
class OmegaTree:
    """One problem's tree."""

    root: Chain
    rule: OmegaRule
    source: str
    found: dict[str, Searched] = field(default_factory=dict[str, Searched])
    """Searched chains by the id of their last step, in the order of the searches."""
    states: dict[str, _State] = field(default_factory=dict[str, _State])
    _rollouts: list[tuple[Chain, Rollout]] = field(default_factory=list[tuple[Chain, Rollout]])

    def search(self, given: Sequence[tuple[Chain, Verdict | None]]) -> Search:
        """Search the given chains, then `rule.grow` of the tree's own wrong rollouts."""
        root = yield from self._try(self.root)
        if not root.count.correct:
            return
        for chain, verdict in given:
            if chain.prefix_id not in self.found:
                known = None if chain.answer is None else verdict
                is_right = None if known is None else known.is_correct
                yield from self._find_error(root, chain, is_right)
        for _ in range(self.rule.grow):
            if (selected := self.select()) is None:
                break
            state, chain = selected
            state.visits += 1
            yield from self._find_error(state, chain, is_right=False)

    def select(self) -> tuple[_State, Chain] | None:
        """The state and its wrong rollout with the highest value; the first of equal ones."""
        visits = math.sqrt(sum(state.visits for state in self.states.values()))
        best, selected = -math.inf, None
        for state in self.states.values():
            correct, total = state.count
            if not 0 < correct < total:
                continue
            for chain, rollout in state.rollouts:
                has_steps = len(chain.steps) > len(state.chain.steps)
                if rollout.verdict.is_correct or chain.prefix_id in self.found or not has_steps:
                    continue
                value = self._value(correct / total, rollout)
                value += self.rule.c_puct * visits / (1 + state.visits)
                if value > best:
                    best, selected = value, (state, chain)
        return selected

    def _value(self, mc: float, rollout: Rollout) -> float:
        rule = self.rule
        return rule.alpha ** (1 - mc) * rule.beta ** (_length(rollout) / rule.length)

    def _find_error(self, start: _State, chain: Chain, is_right: bool | None) -> Search:
        """Halve the steps between a prefix that was solved and one that was not.

        `is_right` is None where the chain has no final answer yet, and rollouts must tell.
        """
        solved, unsolved = len(start.chain.steps), len(chain.steps)
        if is_right is None:
            state = yield from self._try(chain)
            is_right = state.count.correct > 0
        if is_right:
            solved = unsolved
        while unsolved - solved > 1:
            middle = (solved + unsolved) // 2
            state = yield from self._try(chain.prefix(middle))
            if state.count.correct:
                solved = middle
            else:
                unsolved = middle
        self.found[chain.prefix_id] = Searched(chain, self._labels(chain, solved))

    def _try(self, prefix: Chain) -> Generator[Ask, Sequence[Rollout], _State]:
        """The prefix's state, with as many rollouts as the rule wants."""
        state = self.states.setdefault(prefix.prefix_id, _State(prefix))
        if not state.asked:
            state.rollouts = [row for row in self._rollouts if _begins(row[0], prefix)]
        while (count := self._missing(state)) > 0:
            rollouts = yield Ask(prefix, state.asked, count)
            state.asked += len(rollouts)
            rows = [(_whole(prefix, rollout), rollout) for rollout in rollouts]
            self._rollouts += rows
            state.rollouts += rows
        return state

    def _missing(self, state: _State) -> int:
        correct, total = state.count
        if self.rule.adaptive:
            goal = 0 if correct else min(self.rule.k, 1 << total.bit_length())
            return goal - total
        return self.rule.k - total

    def _labels(self, chain: Chain, solved: int) -> StepLabels:
        """Right up to the last solved prefix, for whatever solves it solves those before it."""
        num_steps = len(chain.steps)
        states = [self.states.get(step.id) for step in chain.steps[: solved + 1]]
        labels = [1.0] * solved + [0.0, *[None] * num_steps]
        counts = [s.count if s and s.rollouts else None for s in states] + [None] * num_steps
        return StepLabels(tuple(labels[:num_steps]), self.source, counts=tuple(counts[:num_steps]))


@dataclass(slots=True)
class OmegaForest:
    """The trees of many problems, which search side by side: `start`, `ask`, `tell`, `result`."""

    trees: dict[str, OmegaTree]
    chains: Sequence[Chain]
    source: str
    spent: Spent = field(default_factory=Spent)
    _searches: dict[str, Search] = field(default_factory=dict[str, Search])
    _asked: dict[str, Ask] = field(default_factory=dict[str, Ask])
    """What each search that goes on is waiting for, by the problem's root id."""

    @classmethod
    def start(
        cls,
        chains: Sequence[Chain],
        verdicts: Sequence[Verdict | None],
        rule: OmegaRule,
        source: str = "omega",
    ) -> OmegaForest:
        """One tree a question. A chain with a final answer needs its verdict."""
        given: dict[str, list[tuple[Chain, Verdict | None]]] = {}
        for chain, verdict in zip(chains, verdicts, strict=True):
            given.setdefault(chain.problem.root_id, []).append((chain, verdict))
        trees = {
            root: OmegaTree(rows[0][0].prefix(0), rule, source) for root, rows in given.items()
        }
        forest = cls(trees, chains, source)
        for root, tree in trees.items():
            forest._searches[root] = tree.search(given[root])
            forest._go_on(root, None)
        return forest

    def ask(self) -> list[Ask]:
        """What all searches are waiting for; empty when all have ended."""
        return list(self._asked.values())

    def tell(self, asks: Sequence[Ask], rollouts: Sequence[Sequence[Rollout]]) -> None:
        """Send every search its rollouts."""
        for ask, told in zip(asks, rollouts, strict=True):
            self.spent.add(told)
            self._go_on(ask.prefix.problem.root_id, told)

    def result(self) -> list[StepLabels]:
        """The given chains' labels; none where the problem was not solved."""
        return [self._labels(chain) for chain in self.chains]

    def grown(self) -> list[Searched]:
        """The rollouts that were searched, as chains of their own."""
        given = {chain.prefix_id for chain in self.chains}
        found = [searched for tree in self.trees.values() for searched in tree.found.values()]
        return [searched for searched in found if searched.chain.prefix_id not in given]

    def _go_on(self, root: str, told: Sequence[Rollout] | None) -> None:
        search = self._searches[root]
        try:
            self._asked[root] = next(search) if told is None else search.send(told)
        except StopIteration:
            self._asked.pop(root, None)

    def _labels(self, chain: Chain) -> StepLabels:
        found = self.trees[chain.problem.root_id].found.get(chain.prefix_id)
        return found.labels if found else StepLabels((None,) * len(chain.steps), self.source)


def _whole(prefix: Chain, rollout: Rollout) -> Chain:
    steps: tuple[Step, ...] = (*prefix.steps, *rollout.steps)
    return Chain(prefix.problem, steps, rollout.answer)


def _begins(chain: Chain, prefix: Chain) -> bool:
    at = len(prefix.steps) - 1
    return at < len(chain.steps) and (at < 0 or chain.steps[at].id == prefix.prefix_id)


def _length(rollout: Rollout) -> int:
    if rollout.num_tokens is not None:
        return rollout.num_tokens
    return sum(len(step.text.split()) for step in rollout.steps)
