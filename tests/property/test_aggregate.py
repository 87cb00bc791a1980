"""Every aggregation against its definition, written out literally."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung import AGGREGATIONS
from rung.core.aggregate import SOFT_MIN_TEMPERATURE, running_soft_min

scores_of_a_chain = st.lists(st.floats(0, 1), min_size=1, max_size=30)
any_aggregation = pytest.mark.parametrize("name", AGGREGATIONS)


def soft_min(scores, temperature=SOFT_MIN_TEMPERATURE):
    weights = [math.exp(-score / temperature) for score in scores]
    return sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)


DEFINITIONS = {
    "min": min,
    "max": max,
    "sum": math.fsum,
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "product": math.prod,
    "last": lambda scores: scores[-1],
    "soft_min": soft_min,
}


def test_every_aggregation_has_a_definition_here():
    assert set(DEFINITIONS) == set(AGGREGATIONS)
    assert all(aggregation.name == name for name, aggregation in AGGREGATIONS.items())


@any_aggregation
@given(scores=scores_of_a_chain)
def test_the_value_is_the_definitions(name, scores):
    assert math.isclose(
        AGGREGATIONS[name](scores), DEFINITIONS[name](scores), rel_tol=1e-9, abs_tol=1e-12
    )


@any_aggregation
@given(scores=scores_of_a_chain)
def test_the_running_value_is_the_value_of_each_prefix(name, scores):
    rule = AGGREGATIONS[name]
    prefixes = [scores[: k + 1] for k in range(len(scores))]
    assert rule.running(scores) == pytest.approx([DEFINITIONS[name](prefix) for prefix in prefixes])
    assert rule.running(scores) == [rule(prefix) for prefix in prefixes]
    assert rule.running_rank(scores) == [rule.rank(prefix) for prefix in prefixes]


@any_aggregation
@given(first=scores_of_a_chain, second=scores_of_a_chain)
def test_rank_and_value_agree_on_the_order(name, first, second):
    rule = AGGREGATIONS[name]
    if rule(first) > rule(second) * (1 + 1e-9) + 1e-300:
        assert rule.rank(first) > rule.rank(second)


@any_aggregation
def test_no_scores_have_no_value(name):
    with pytest.raises(ValueError, match=f"{name} of no scores"):
        AGGREGATIONS[name]([])
    assert AGGREGATIONS[name].running([]) == []


def test_ranking_by_product_survives_chains_so_long_that_the_product_is_zero():
    product = AGGREGATIONS["product"]
    better, worse = [0.11] * 5000, [0.1] * 5000
    assert product(better) == product(worse) == 0.0
    assert product.rank(better) > product.rank(worse)


def test_a_step_that_is_surely_wrong_ranks_last_by_product():
    product = AGGREGATIONS["product"]
    assert product([0.0, 1.0]) == 0.0
    assert product.rank([0.0, 1.0]) == -math.inf < product.rank([1e-300] * 100)


@given(scores=scores_of_a_chain)
def test_soft_min_is_pures_value_on_its_own_scale(scores):
    # PURE (arXiv 2504.15275), equation 5, with its temperature 0.1 on r = p1 - p0
    rewards = [2 * p - 1 for p in scores]
    weights = [math.exp(-r / 0.1) for r in rewards]
    pure = sum(w / sum(weights) * r for w, r in zip(weights, rewards, strict=True))
    assert 2 * AGGREGATIONS["soft_min"](scores) - 1 == pytest.approx(pure, abs=1e-9)


@given(scores=scores_of_a_chain, temperature=st.floats(1e-4, 10))
def test_soft_min_lies_between_the_minimum_and_the_mean(scores, temperature):
    value = running_soft_min(scores, temperature)[-1]
    assert min(scores) - 1e-12 <= value <= sum(scores) / len(scores) + 1e-12


def test_soft_min_does_not_overflow_when_scores_fall():
    falling = [1 - k / 1000 for k in range(1001)]
    assert running_soft_min(falling, 1e-5)[-1] == pytest.approx(0.0, abs=1e-9)
