"""PRMBench on its own data, held against a second, literal reading of the official rule.

By hand, the official code itself (`evaluate_function` at the commit that `rung.eval.prmbench`
cites) gave the same F1 and negative F1, to the last bit, in all nine classes for the step scores
that R-PRM published, with `--threshold 0.6`, which gives R-PRM's own verdicts. Those scores have no
licence and are not here; what they come to, counted over all steps, is.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from rung.core import StepScores
from rung.data import load
from rung.eval import prmbench
from rung.eval.prmbench import f1_scores

CLASSES = {
    "redundency": 758,
    "circular": 758,
    "counterfactual": 757,
    "step_contradiction": 758,
    "domain_inconsistency": 757,
    "confidence": 757,
    "missing_condition": 756,
    "deception": 750,
    "multi_solutions": 160,
}
"""Chains of each class that the official loader keeps: 6,216 rows, of which 5 repeat a name."""


def hash_score(step_id):
    """A score that knows nothing of the label, but is the same everywhere."""
    return int(hashlib.sha256(step_id.encode()).hexdigest()[:4], 16) / 0xFFFF


@pytest.fixture(scope="module")
def records(shared_data):
    made = []
    for record in load(shared_data / "prmbench.jsonl.gz"):
        scores = [
            min(1.0, 0.6 * hash_score(step.id) + 0.35 * label)
            for step, label in zip(record.chain.steps, record.labels[0].labels, strict=True)
        ]
        made.append(replace(record, scores=(StepScores(tuple(scores), "made"),)))
    return made


def official(records, kind):
    """The counts as `evaluate_function` makes them, from the raw 1-based error steps."""
    counts = {"TP": 0, "FP": 0, "TN": 0, "FN": 0}
    seen = set()
    for record in records:
        meta = record.meta
        name = f"{meta['classification']}_{meta['idx']}"
        if name in seen:
            continue
        seen.add(name)
        if kind not in (None, meta["classification"]):
            continue
        errors = [step - 1 for step in meta["error_steps_1based_raw"]]
        for index, score in enumerate(record.scores[0].scores):
            is_positive = score > 0.5
            if index in errors:
                counts["FP" if is_positive else "TN"] += 1
            else:
                counts["TP" if is_positive else "FN"] += 1
    return counts


def f1(hits, others, lost):
    precision, recall = hits / (hits + others), hits / (hits + lost)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.shared_data
def test_the_loader_keeps_the_chains_that_the_official_one_keeps(records):
    found = prmbench(records, resamples=5)
    assert {row.name: row.num_chains for row in found.classes} == CLASSES
    assert (found.repeated, found.num_problems) == (5, 758)
    assert found.overall.num_right + found.overall.num_wrong == 83_371


@pytest.mark.shared_data
def test_every_class_equals_the_literal_reading(records):
    found = prmbench(records, resamples=5)
    for row in (found.overall, *found.classes):
        counts = official(records, None if row.name == "overall" else row.name)
        positive = f1(counts["TP"], counts["FP"], counts["FN"])
        assert row.f1.value == pytest.approx(positive, abs=1e-12)
        if row.name == "multi_solutions":
            assert row.score.value == pytest.approx(positive, abs=1e-12)
            continue
        negative = f1(counts["TN"], counts["FN"], counts["FP"])
        assert row.negative_f1.value == pytest.approx(negative, abs=1e-12)
        assert row.score.value == pytest.approx(0.5 * positive + 0.5 * negative, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        # every row, as the survey of published results counts them: 83,456 steps
        ((55_962, 14_345, 7_925, 5_224), (85.12, 44.75, 64.93)),
        # without the 5 rows that repeat a name, as the official loader and rung count: 83,371
        ((55_877, 14_345, 7_925, 5_224), (85.10, 44.75, 64.92)),
    ],
)
def test_r_prms_published_verdicts_have_the_published_scores(counts, published):
    positive, negative = (float(one[0]) for one in f1_scores(np.array([counts], dtype=float)))
    found = (positive, negative, (positive + negative) / 2)
    assert tuple(round(100 * one, 2) for one in found) == published
