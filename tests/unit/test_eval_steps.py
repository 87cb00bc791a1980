"""Step metrics: AUROC, calibration, first errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rung.core import Chain, ChainRecord, Problem, RungError, StepLabels, StepScores
from rung.eval import auroc, processbench, step_metrics
from rung.eval.calibration import calibration
from rung.eval.processbench import best_threshold, first_errors
from rung.eval.ranking import Ranking
from rung.eval.statistics import resample_weights

STEPS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40)


def record(problem, labels, scores, *, scorer="prm", subset=None):
    chain = Chain.of(Problem(problem, f"question {problem}"), [f"s{k}" for k in range(len(labels))])
    meta = {} if subset is None else {"subset": subset}
    return ChainRecord(
        chain,
        (StepLabels(tuple(labels), "human"),),
        (StepScores(tuple(scores), scorer),),
        meta=meta,
    )


@given(STEPS)
def test_auroc_equals_sklearn_with_ties(steps):
    scores = np.array([s / 5 for s, _ in steps])
    right = np.array([r for _, r in steps])
    if right.all() or not right.any():
        assert auroc(scores, right) is None
    else:
        assert auroc(scores, right) == pytest.approx(roc_auc_score(right, scores))


@given(STEPS, st.integers(0, 99))
def test_weighted_auroc_equals_sklearn(steps, seed):
    scores = np.array([s / 5 for s, _ in steps])
    right = np.array([r for _, r in steps])
    weights = np.random.default_rng(seed).integers(0, 4, len(steps)).astype(float)
    found = Ranking.of(scores, right).auroc(weights)
    if (weights * right).sum() == 0 or (weights * ~right).sum() == 0:
        assert np.isnan(found)
    else:
        expected = roc_auc_score(right, scores, sample_weight=weights)
        assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 2)), min_size=2))
def test_auroc_within_strata_is_the_mean_of_the_strata_weighted_by_pairs(steps):
    scores, right, strata = (np.array(column) for column in zip(*steps, strict=True))
    won = pairs = 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        rights, wrongs = scores[here & right], scores[here & ~right]
        compared = (rights[:, None] > wrongs) + 0.5 * (rights[:, None] == wrongs)
        won, pairs = won + compared.sum(), pairs + compared.size
    found = auroc(scores.astype(float), right, strata)
    assert found == (pytest.approx(won / pairs) if pairs else None)


def test_ece_and_brier_by_hand():
    scores = np.array([0.1, 0.15, 0.9, 0.95, 1.0])
    right = np.array([False, True, True, True, False])
    found = calibration(scores, right, np.array([0, 0, 1, 1, 2]), resample_weights(3, resamples=50))
    # bin 0.1-0.2: 2 steps, mean 0.125, half right; bin 0.9-1: 3 steps, mean 0.95, 2/3 right
    assert found.ece.value == pytest.approx((2 * abs(0.5 - 0.125) + 3 * abs(2 / 3 - 0.95)) / 5)
    assert found.brier.value == pytest.approx((0.01 + 0.85**2 + 0.01 + 0.05**2 + 1) / 5)
    counts = [bin.num_steps for bin in found.bins]
    assert counts == [0, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.bins[0].mean_score is None and found.bins[0].share_right is None
    assert found.bins[9].share_right.value == pytest.approx(2 / 3)


def test_resamples_without_a_step_are_left_out_of_the_intervals():
    scores, right = np.array([0.2, 0.9]), np.array([False, True])
    weights_RP = np.array([[0.0, 2.0], [2.0, 0.0], [1.0, 1.0]])  # the first: without the steps
    found = calibration(scores, right, np.array([0, 0]), weights_RP)
    for one in (found.ece, found.brier, found.log_loss):
        assert one.low == one.high == pytest.approx(one.value), "both that are left say the same"


def test_perfect_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    right = rng.random(20_000) < scores
    found = calibration(scores, right, np.arange(20_000) % 100, resample_weights(100, resamples=99))
    assert found.ece.value < 0.015
    assert found.brier.value == pytest.approx(1 / 6, abs=0.01)


def test_first_error_accuracy_and_f1_by_hand():
    records = [
        record("a", [1, 0, None], [0.9, 0.2, 0.9]),  # found
        record("b", [1, 0, None], [0.4, 0.2, 0.9]),  # too early
        record("c", [1, 1], [0.9, 0.8]),  # left alone
        record("d", [1, 1], [0.9, 0.4]),  # falsely accused
        record("e", [1, 1], [0.5, 0.5]),  # 0.5 is not below 0.5
    ]
    (found,) = processbench(records)
    assert found.subset == "all"
    assert found.erroneous.value == pytest.approx(1 / 2)
    assert found.correct.value == pytest.approx(2 / 3)
    assert found.f1.value == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert found.accuracy.value == pytest.approx(3 / 5)
    assert (found.num_erroneous, found.num_correct, found.num_problems) == (2, 3, 5)


def test_chains_whose_labels_do_not_decide_the_first_error_are_left_out_and_counted():
    records = [
        record("a", [1, None, 0], [0.9, 0.9, 0.1]),
        record("b", [1, None], [0.9, 0.9]),
        record("c", [None, None], [0.9, 0.9]),
        record("d", [1, 1], [None, None]),
        record("e", [1, 0], [0.9, 0.1]),
    ]
    (found,) = processbench(records)
    assert (found.undecided, found.unscored, found.num_erroneous) == (3, 1, 1)
    assert found.correct is None and found.f1 is None


def test_a_step_without_a_score_is_never_flagged_and_the_chain_is_counted():
    records = [
        record("a", [1, 0, None], [0.9, None, None]),
        record("b", [1, 1, 1], [0.9, 0.9, None]),
        record("c", [1, 0, None], [0.9, 0.1, None]),
    ]
    (found,) = processbench(records)
    assert found.partly_scored == 2
    assert found.erroneous.value == pytest.approx(1 / 2)
    assert found.correct.value == 1.0


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 10), min_size=3, max_size=3)),
        min_size=2,
        max_size=12,
    )
)
def test_the_tuned_threshold_is_the_best_of_all(chains):
    records = [
        record(
            str(k),
            [
                1.0 if j < error else 0.0 if j == error else (None if error < 3 else 1.0)
                for j in range(3)
            ],
            [s / 10 for s in scores],
        )
        for k, (error, scores) in enumerate(chains)
    ]
    if all(e < 3 for e, _ in chains) or all(e == 3 for e, _ in chains):
        with pytest.raises(RungError, match="chains with a wrong step and chains without"):
            best_threshold(records, "prm", "human")
        return

    def f1(threshold):
        found = first_errors(
            records, scorer="prm", label_source="human", threshold=threshold, resamples=1
        )
        return found.f1.value

    best = f1(best_threshold(records, "prm", "human"))
    assert best == pytest.approx(max(f1(k / 20) for k in range(1, 22)))


def test_the_threshold_is_tuned_on_one_subset_and_used_on_all():
    records = [
        record("a", [0], [0.6], subset="small"),
        record("b", [1], [0.8], subset="small"),
        record("c", [0], [0.65], subset="large"),
        record("d", [1], [0.7], subset="large"),
    ]
    small, large = processbench(records, tune_on="small")
    assert small.threshold == large.threshold == 0.8
    assert small.f1.value == 1.0
    assert (large.erroneous.value, large.correct.value, large.f1.value) == (1.0, 0.0, 0.0)
    with pytest.raises(RungError, match="no subset 'medium', only small, large"):
        processbench(records, tune_on="medium")


def test_step_metrics_count_what_they_leave_out():
    records = [
        record("a", [1, 0, None], [0.9, 0.2, 0.1]),
        record("b", [1, 1, 0], [0.9, None, 0.3]),
        record("c", [None, None], [0.9, 0.2]),
        record("d", [1, 0], [None, None]),
        record("e", [1, 0], [0.1, 0.2], scorer="other"),
    ]
    found = step_metrics(records, scorer="prm", resamples=50)
    assert (found.num_steps, found.num_wrong, found.num_chains, found.num_problems) == (4, 2, 2, 2)
    assert (found.unlabeled_chains, found.unscored_chains, found.unscored_steps) == (1, 2, 1)
    assert found.auroc.value == 1.0


def test_length_leaks_show_in_the_position_floor_and_not_within_positions():
    rng = np.random.default_rng(0)
    records = []
    for p in range(60):  # each chain stops at its first error; the scorer only sees the place
        length = int(rng.integers(2, 6))
        records.append(
            record(
                str(p),
                [1.0] * (length - 1) + [0.0],
                [1 - k / 10 for k in range(length)],
            )
        )
    found = step_metrics(records, resamples=50)
    assert found.auroc.value == pytest.approx(found.auroc_of_position.value)
    assert found.auroc.value > 0.8
    assert found.auroc_within_position.value == pytest.approx(0.5)
    assert [row.position for row in found.by_position] == [0, 1, 2, 3, 4]
    assert sum(row.num_wrong for row in found.by_position) == 60


def test_several_scorers_or_sources_must_be_named():
    rows = [record("a", [1, 0], [0.9, 0.1]).with_scores(StepScores((0.5, 0.5), "orm"))]
    with pytest.raises(RungError, match="name one of them with --scorer"):
        step_metrics(rows)
    with pytest.raises(RungError, match="no scores by 'x'"):
        step_metrics(rows, scorer="x")
    two = [rows[0].with_labels(StepLabels((1.0, 1.0), "judge"))]
    with pytest.raises(RungError, match="name one of them with --label-source"):
        step_metrics(two, scorer="prm")


def test_nothing_to_measure_is_one_clear_sentence():
    with pytest.raises(RungError, match="the chains have no scores"):
        step_metrics([])
    with pytest.raises(RungError, match="no step has both"):
        step_metrics([record("a", [None], [0.5])])
