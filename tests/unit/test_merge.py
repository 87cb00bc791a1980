"""Chains that several files tell of are one chain."""

from rung.core import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict
from rung.data import merge_records


def record(text, *scorers, id=None, **more):
    chain = Chain.of(Problem("p", "q"), [text], id=id)
    return ChainRecord(chain, scores=tuple(StepScores((0.5,), name) for name in scorers), **more)


def scorers(records):
    return [[scores.scorer for scores in one.scores] for one in records]


def test_a_chain_that_two_scorers_have_read_in_two_files_has_both_scores():
    a, b = [record("x", "a"), record("y", "a")], [record("y", "b"), record("x", "b")]
    assert scorers(merge_records([a, b])) == [["a", "b"], ["a", "b"]]


def test_what_only_one_file_knows_is_kept_and_the_earlier_file_counts_where_they_differ():
    human, judge = StepLabels((1.0,), "human"), StepLabels((0.0,), "judge")
    a = record("x", "a", labels=(human,), meta={"subset": "one"})
    other = StepLabels((0.0,), "human")
    b = record("x", "b", labels=(other, judge), outcome=Verdict.CORRECT, meta={"subset": "two"})
    [merged] = merge_records([[a], [b]])
    assert merged.labels == (human, judge)
    assert merged.outcome is Verdict.CORRECT and merged.meta == {"subset": "one"}


def test_equal_samples_stay_as_many_as_they_are():
    # one file: a policy wrote the same chain twice; two files: two shards of one scorer's work
    assert len(merge_records([[record("x", "a"), record("x", "a")]])) == 2
    assert len(merge_records([[record("x", "a")], [record("x", "a")]])) == 2
    twice = [record("x", "a"), record("x", "a")], [record("x", "b"), record("x", "b")]
    assert scorers(merge_records(twice)) == [["a", "b"], ["a", "b"]]


def test_chains_with_other_ids_or_other_steps_are_other_chains():
    assert len(merge_records([[record("x", "a", id="1")], [record("x", "b", id="2")]])) == 2
    assert len(merge_records([[record("x", "a")], [record("x y", "b")]])) == 2


def test_a_file_that_adds_a_scorer_to_anothers_chains_adds_no_chains():
    # as `rung score --calibrated` leaves it: the raw scores, and others beside them
    a, b = [record("x", "prm")], [record("x", "prm", "prm+isotonic")]
    assert scorers(merge_records([a, b])) == [["prm", "prm+isotonic"]]
    other = ChainRecord(b[0].chain, scores=(StepScores((0.9,), "prm"), *b[0].scores[1:]))
    assert len(merge_records([a, [other]])) == 2  # another model that is called alike
    assert len(merge_records([[record("x")], [record("x")]])) == 2
    assert scorers(merge_records([[record("x")], [record("x", "a")]])) == [["a"]]
