"""Rules on what a verifier left, against the same done by hand on every subset of the chains."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from eval_records import made_records
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Chain, ChainRecord, Problem, RungError, StepLabels, StepScores, Verdict
from rung.eval import best_of_n
from rung.eval.pools import answer_key
from rung.search import among_standing, rule

PRIMES = (2, 3, 5, 7, 11, 13)
CHAINS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([None, 0.0, 0.4, 0.5, 1.0])),
    min_size=1,
    max_size=6,
)
"""Answers, of which 0 is right, and what the verifier says of the first step."""


def records_of(chains):
    """No two scores are equal, and no two sums of them, so that nothing depends on the order."""
    return [record(k, answer, label) for k, (answer, label) in enumerate(chains)]


def record(k, answer, label):
    chain = Chain.of(Problem("p", "p", "0"), [f"a{k}", f"b{k}"], answer=str(answer))
    score = math.sqrt(PRIMES[k]) % 1
    return ChainRecord(
        chain,
        labels=(StepLabels((label, None), "tool"), StepLabels((0.0, 0.0), "another")),
        scores=(StepScores((score, 0.99), "prm"), StepScores((None, 1 - score), "orm")),
        outcome=Verdict.INCORRECT if answer else Verdict.CORRECT,
    )


def by_hand(records, pick, n):
    """Mean correctness of what `pick` takes, over every subset of n chains."""
    picked = [pick(chosen) for chosen in combinations(records, n)]
    return np.mean(picked)


def right(record):
    return record.outcome.is_correct


def standing(records):
    left = [r for r in records if r.labels[0].labels[0] not in (0.0, 0.4)]
    return left or list(records)


@settings(deadline=None, max_examples=60)
@given(CHAINS)
def test_each_rule_among_the_standing_is_the_mean_over_all_subsets(chains):
    records = records_of(chains)
    ns = list(range(1, len(records) + 1))
    found = best_of_n(records, prm="prm", orm="orm", verifier="tool", ns=ns, resamples=2)
    rules = {"prm_min": ("min", "prm"), "orm": ("last", "orm"), "weighted_orm": ("weighted", "orm")}
    for n in ns:
        for name, (by, scorer) in rules.items():
            pick = rule(by, scorer=scorer, answer_key=answer_key, weigh_by="last")
            choose = among_standing(pick, "tool")
            expected = by_hand(records, lambda chosen, c=choose: right(chosen[c(chosen).index]), n)
            assert found.at(f"verified_{name}", n).accuracy == pytest.approx(expected), name
        mean = by_hand(records, lambda chosen: np.mean([right(r) for r in standing(chosen)]), n)
        best = by_hand(records, lambda chosen: max(right(r) for r in standing(chosen)), n)
        assert found.at("verified_random", n).accuracy == pytest.approx(mean)
        assert found.at("verified_oracle", n).accuracy == pytest.approx(best)


def test_a_verifier_that_refutes_nothing_or_all_changes_no_curve():
    records = made_records()
    for labels in ((1.0, None, 1.0), (0.0, None, None)):
        told = [replace(r, labels=(*r.labels, StepLabels(labels, "tool"))) for r in records]
        found = best_of_n(told, prm="prm", orm="orm", verifier="tool", resamples=20)
        plain = best_of_n(records, prm="prm", orm="orm", resamples=20)
        for name, curve in plain.curves.items():
            assert [p.accuracy for p in found.curves[name]] == [p.accuracy for p in curve]
            twin = [p.accuracy for p in found.curves[f"verified_{name}"]]
            assert twin == pytest.approx([p.accuracy for p in curve])
            assert all(p.difference == pytest.approx(0) for p in found.gaps[_gain(name)])


def test_the_truth_for_a_verifier_leaves_nothing_to_pick_wrong():
    found = best_of_n(made_records(), prm="prm", orm="orm", verifier="lab", resamples=200)
    for name in ("prm_min", "orm", "majority", "random", "weighted_prm_min"):
        gain = found.gap_at(_gain(name), 8)
        assert found.at(f"verified_{name}", 8).accuracy == found.at("oracle", 8).accuracy
        assert gain.difference == pytest.approx(
            found.at("oracle", 8).accuracy - found.at(name, 8).accuracy
        )
        assert gain.low <= gain.difference <= gain.high
    assert found.gap_at("verified_prm_min_minus_verified_orm", 8).difference == pytest.approx(0)
    wrong = sum(not right(r) for r in made_records())
    assert (found.verifier, found.chains.refuted, found.chains.right_but_refuted) == (
        "lab",
        wrong,
        0,
    )


def test_right_chains_that_are_refuted_are_counted():
    records = [replace(r, labels=(StepLabels((0.0, None, None), "tool"),)) for r in made_records()]
    found = best_of_n(records, prm=None, orm=None, verifier="tool", resamples=2)
    assert found.chains.refuted == len(records)
    assert found.chains.right_but_refuted == sum(map(right, records))


def test_a_verifier_without_labels_is_refused():
    with pytest.raises(
        RungError, match="no chain has labels from 'x'; there are labels from 'lab'"
    ):
        best_of_n(made_records(), prm=None, orm=None, verifier="x")


def test_what_picks_among_the_standing_counts_the_refuted():
    chains = records_of([(1, 0.0), (0, None), (1, 0.4), (1, 0.5)])
    pick = among_standing(rule("majority", scorer=None, answer_key=answer_key), "tool")
    choice = pick(chains)
    assert (choice.index, choice.num_refuted) == (1, 2)
    everyone = pick(chains[::2])
    assert (everyone.index, everyone.num_refuted) == (0, 2)


def _gain(name):
    return f"verified_{name}_minus_{name}"
