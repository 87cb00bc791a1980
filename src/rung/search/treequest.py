"""rung's policies and scorers as the nodes of a TreeQuest search (github.com/SakanaAI/treequest).

TreeQuest decides which node is expanded next; what a node is and how good it is comes from here.
Written against treequest 0.3, which is not needed to import this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from rung.core.aggregate import AGGREGATIONS
from rung.core.protocols import Generator, Sampling, Scorer
from rung.core.types import Chain, Problem
from rung.search.best_of_n import value_of
from rung.search.growth import STOP, root
from rung.search.sampler import Order, sample
from rung.search.scoring import growing

Node = tuple[Chain, float]
"""A prefix and its value, in [0, 1] for aggregations within it."""


def expansion(
    problem: Problem,
    generator: Generator,
    scorer: Scorer,
    *,
    by: str = "min",
    sampling: Sampling | None = None,
) -> Callable[[Chain | None], Node]:
    """What TreeQuest's ``step`` calls an action: the state is a chain.

    ``tree = algorithm.step(tree, {"step": expansion(problem, policy, prm)})`` writes one step
    behind the node that the algorithm has picked. A chain that has ended is its own child, at no
    cost, since TreeQuest may pick it again. The score of a prefix is that of its scorer's session.

    Args:
        problem: The problem that is searched.
        generator: Writes a step, another one each time a prefix is expanded.
        scorer: Judges prefixes.
        by: The aggregation that makes one value of a prefix's scores.
        sampling: Its `until` is set to a step.
    """
    made, judge = Counter[str](), growing(scorer)
    how = replace(sampling or Sampling(), until="step")

    def expand(parent: Chain | None) -> Node:
        prefix = parent or root(problem)
        if prefix.source is None or prefix.source.finish_reason != STOP:
            order = Order(prefix, made[prefix.prefix_id], 1, how)
            made[prefix.prefix_id] += 1
            [pieces] = sample(generator, [order])
            [prefix] = order.chains(pieces, generator.name)
        [scores] = judge.score([prefix]) if prefix.steps else [None]
        return prefix, value_of(scores, AGGREGATIONS[by]) or 0.0

    return expand
