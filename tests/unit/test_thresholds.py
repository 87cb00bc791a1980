"""Where early abort and early stopping draw the line: the stated errors hold on new problems."""

import math
import random

import pytest

from rung.core import Chain, ChainRecord, Problem, RungError, StepScores, Verdict
from rung.core.aggregate import AGGREGATIONS
from rung.search import NEVER, abort_below, abort_inside_below, best_of_n, stop_above

MIN = AGGREGATIONS["min"]


def record(
    problem: Problem, scores: list[float], is_right: bool, chain: Chain | None = None
) -> ChainRecord:
    chain = chain or Chain.of(problem, [str(k) for k in range(len(scores))])
    outcome = Verdict.CORRECT if is_right else Verdict.INCORRECT
    return ChainRecord(chain, scores=(StepScores(tuple(scores), "s"),), outcome=outcome)


def pool(draws: random.Random, name: int, n: int = 12) -> list[ChainRecord]:
    """A problem of random difficulty and a scorer that is often wrong about it."""
    problem, ease = Problem(str(name), f"Problem {name}?"), draws.random()
    chain = Chain.of(problem, ["0", "1", "2"])  # to hash them is most of the work
    made: list[ChainRecord] = []
    for _ in range(n):
        is_right = draws.random() < ease
        center = 0.75 if is_right else 0.5
        scores = [min(1.0, max(0.0, draws.gauss(center, 0.2))) for _ in range(3)]
        made.append(record(problem, scores, is_right, chain))
    return made


def test_a_winner_is_given_up_no_more_often_than_said() -> None:
    draws, given_up = random.Random(0), 0
    pools = [pool(draws, k) for k in range(200)]
    for _ in range(200):
        new, *known = draws.sample(pools, 20)  # any 20 are drawn alike
        below = abort_below(known, MIN, "s", 0.1)
        winner = new[best_of_n([r.scores[0] for r in new], MIN).index]
        given_up += min(winner.scores[0].known) < below
    # the expected share is exactly 2 of 20; 0.16 is about 2.8 standard deviations above
    assert 0.05 < given_up / 200 < 0.17


def test_a_line_inside_steps_is_the_quantile_of_the_winners_lowest_looks() -> None:
    problems = [Problem(str(k), f"Problem {k}?") for k in range(19)]
    pools = [[record(p, [0.9], True), record(p, [0.1], False)] for p in problems]
    for k, [winner, loser] in enumerate(pools):
        object.__setattr__(winner.chain, "id", str(k))
        object.__setattr__(loser.chain, "id", "no winner")
    looks = lambda chain: [0.5, int(chain.id) / 20]  # noqa: E731
    assert abort_inside_below(pools, MIN, "s", 0.1, looks) == 1 / 20
    assert abort_inside_below(pools, MIN, "s", 0.01, looks) == -math.inf
    assert abort_inside_below(pools, MIN, "s", 0.1, lambda chain: []) == math.inf


def test_too_few_problems_give_nobody_up() -> None:
    draws = random.Random(1)
    pools = [pool(draws, k) for k in range(8)]
    assert abort_below(pools, MIN, "s", 0.1) == -math.inf
    assert abort_below([*pools, pool(draws, 8)], MIN, "s", 0.1) > 0


def test_stopping_loses_no_more_right_answers_than_said() -> None:
    draws, lost = random.Random(2), 0
    pools = [pool(draws, k) for k in range(200)]
    for _ in range(200):
        new, *known = draws.sample(pools, 41)
        enough = stop_above(known, MIN, "s", 0.1, batch=3)
        scores = [r.scores[0] for r in new]
        full = new[best_of_n(scores, MIN).index]
        upto = next((k for k in (3, 6, 9) if max(min(s.known) for s in scores[:k]) >= enough), 12)
        stopped = new[best_of_n(scores[:upto], MIN).index]
        lost += full.outcome is Verdict.CORRECT and stopped.outcome is Verdict.INCORRECT
    assert lost / 200 < 0.17


def test_the_line_for_stopping_by_hand() -> None:
    """One problem whose first good-looking chain is wrong, and nine where any chain will do."""
    problem = Problem("trap", "Trap?")
    trap = [record(problem, [0.8], False), record(problem, [0.9], True)]
    easy = [[record(Problem(str(k), f"{k}?"), [0.7], True)] * 2 for k in range(9)]
    # losing one of ten costs (1 + 1) / 11
    assert stop_above([trap, *easy], MIN, "s", 0.19, batch=1) == 0.7
    assert stop_above([trap, *easy], MIN, "s", 0.18, batch=1) == 0.9
    assert stop_above([trap, *easy], MIN, "s", 0.05, batch=1) == NEVER


def test_what_they_cannot_do_without_is_said() -> None:
    bare = ChainRecord(Chain.of(Problem("x", "X?"), ["a"]))
    with pytest.raises(RungError, match="problem 'x' has no scored chain"):
        abort_below([[bare]], MIN, "s", 0.1)
    with pytest.raises(RungError, match="between 0 and 1"):
        abort_below([], MIN, "s", 0)
    unchecked = ChainRecord(bare.chain, scores=(StepScores((0.5,), "s"),))
    with pytest.raises(RungError, match="has no outcome"):
        stop_above([[unchecked]], MIN, "s", 0.1, batch=1)
