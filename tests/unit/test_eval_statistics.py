"""Intervals and paired tests over problems."""

from itertools import product

import numpy as np
import pytest

from rung.eval.statistics import (
    bootstrap,
    bootstrap_means,
    paired_differences,
    resample_weights,
    sign_flip_p_values,
    two_level_weights,
)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth, covered = 0.3, 0
    for trial in range(200):
        values_P1 = (rng.random((60, 1)) < truth).astype(float)
        weights = resample_weights(60, resamples=300, seed=trial)
        _, low, high = bootstrap_means(values_P1, weights)
        covered += bool(low[0] <= truth <= high[0])
    assert 0.88 <= covered / 200 <= 0.99


def test_resamples_draw_as_many_problems_as_there_are_and_repeat_with_the_seed():
    weights = resample_weights(17, resamples=50, seed=4)
    assert (weights.sum(axis=1) == 17).all()
    assert (weights == resample_weights(17, resamples=50, seed=4)).all()
    assert (weights != resample_weights(17, resamples=50, seed=5)).any()


def test_a_bootstrap_of_no_problems_is_refused():
    with pytest.raises(ValueError, match="at least one problem"):
        resample_weights(0)


def test_bootstrap_of_any_statistic_agrees_with_bootstrap_of_means():
    values = np.random.default_rng(1).random(40)
    weights = resample_weights(40, resamples=400, seed=2)
    mean, low, high = bootstrap_means(values[:, None], weights)
    found = bootstrap(lambda w: float(w @ values / w.sum()), weights)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((mean[0], low[0], high[0]))


def test_a_statistic_that_the_data_lack_is_none():
    assert bootstrap(lambda _: float("nan"), resample_weights(3, resamples=5)) is None


def test_resamples_without_the_statistic_are_left_out_of_the_interval():
    values = np.array([1.0, 2.0])
    has_first = bootstrap(
        lambda w: float(w @ values) if w[0] else float("nan"), resample_weights(2, resamples=99)
    )
    assert has_first is not None
    assert has_first.low is not None and has_first.low >= 2.0


def test_sign_flip_p_value_is_near_the_exact_one():
    differences = np.array([1.0, 2.0, -0.5, 3.0, 1.5, 0.0])
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=6)]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    found = sign_flip_p_values(differences[:, None], flips=20_000, seed=0)
    assert found[0] == pytest.approx(exact, abs=0.01)


def test_paired_difference_counts_wins_and_losses_and_ignores_rounding():
    columns = np.array([[0.5, 1e-15], [0.5, -1e-15], [-1.0, 0.0], [0.0, 0.0]])
    first, second = paired_differences(columns, resample_weights(4, resamples=200))
    assert (first.wins, first.losses) == (2, 1)
    assert (second.wins, second.losses, second.p_value) == (0, 0, 1.0)


def test_rounding_alone_is_no_evidence():
    columns = np.random.default_rng(0).choice([1e-16, -1e-17], (50, 1))
    (found,) = paired_differences(columns, resample_weights(50, resamples=100))
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_clear_difference_has_an_interval_above_zero_and_a_small_p():
    columns = np.random.default_rng(0).normal(0.3, 0.2, (80, 1))
    (found,) = paired_differences(columns, resample_weights(80))
    assert found.low > 0 and found.p_value < 0.01
    assert found.low < found.difference < found.high


def covered(weights_of, *, groups, size, between, trials=300):
    """How often an interval covers 0, the truth; `between`: a group's sd, in problems' ones."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(trials):
        shift = np.repeat(rng.normal(0, between, groups), size)
        values = (shift + rng.normal(0, 1, groups * size))[:, None]
        _, low, high = bootstrap_means(values, weights_of(trial))
        hits += bool(low[0] <= 0 <= high[0])
    return hits / trials


@pytest.mark.parametrize("groups", [2, 3, 5, 8])
def test_an_interval_over_groups_covers_what_another_group_would_give(groups):
    sizes = [20] * groups
    found = covered(
        lambda trial: two_level_weights(sizes, resamples=400, seed=trial),
        groups=groups,
        size=20,
        between=1.0,
    )
    of_problems = covered(
        lambda trial: resample_weights(sum(sizes), resamples=400, seed=trial),
        groups=groups,
        size=20,
        between=1.0,
    )
    assert 0.91 < found < 0.99
    assert of_problems < 0.65


def test_groups_that_say_the_same_leave_the_interval_of_their_problems():
    values = np.tile([0.0, 1.0], 60)[:, None]
    one, two = resample_weights(120), two_level_weights([40, 60, 20])
    (_, low, high), (_, low_2, high_2) = (bootstrap_means(values, w) for w in (one, two))
    assert high_2 - low_2 == pytest.approx(high - low, rel=0.1)


def test_the_weights_of_groups_always_add_up_and_bounds_stay_where_values_are():
    weights = two_level_weights([5, 3], resamples=200, seed=1)
    assert weights.shape == (200, 8)
    assert weights.sum(axis=1) == pytest.approx(8)
    assert (weights < 0).any()
    right = np.array([1.0] * 5 + [0.0] * 3)[:, None]
    mean, low, high = bootstrap_means(right, weights)
    assert (low[0], mean[0], high[0]) == (0.0, 0.625, 1.0)


def test_one_group_is_drawn_as_problems_alone_and_an_empty_one_is_refused():
    assert (two_level_weights([7], resamples=9) == resample_weights(7, resamples=9)).all()
    for sizes in ([], [3, 0]):
        with pytest.raises(ValueError, match="every group needs problems"):
            two_level_weights(sizes)
