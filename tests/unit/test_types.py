"""The vocabulary: what always holds of steps, chains, labels and scores."""

import hashlib
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from rung import (
    Chain,
    ChainRecord,
    Problem,
    Provenance,
    RolloutCount,
    Step,
    StepLabels,
    StepScores,
    Verdict,
)
from rung.core.types import MAX_STEP_CHARS

PROBLEM = Problem("p1", "How many legs have 3 cats?", "12")
CHAIN = Chain.of(PROBLEM, ["A cat has 4 legs.", "3 * 4 = 12."], answer="12")


def ids(*texts: str, problem: Problem = PROBLEM) -> list[str]:
    return [step.id for step in Chain.of(problem, texts).steps]


def test_chains_with_a_common_prefix_share_its_ids_and_no_others():
    first, second = ids("a", "b", "c"), ids("a", "b", "d")
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_the_same_text_after_another_prefix_is_another_step():
    assert ids("a", "same")[1] != ids("b", "same")[1]


def test_steps_that_join_to_the_same_text_are_not_the_same_steps():
    assert ids("ab", "c")[1] != ids("a", "bc")[1]


def test_the_question_decides_the_ids_and_the_problem_id_does_not():
    assert ids("a", problem=Problem("other", PROBLEM.question)) == ids("a")
    assert ids("a", problem=Problem("p1", "Another question?")) != ids("a")


def test_role_and_observation_are_part_of_a_steps_identity():
    variants = [
        Step("run"),
        Step("run", role="tool"),
        Step("run", observation="ok"),
        Step("run", role="ok"),
        Step("run", observation=""),
    ]
    assert len({Chain(PROBLEM, (step,)).steps[0].id for step in variants}) == len(variants)


def test_an_id_is_the_hash_of_the_parents_id_and_the_steps_content():
    # Files on disk carry these: a change here needs a new schema version.
    def digest(content: str) -> str:
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    root = digest('["problem","How many legs have 3 cats?"]')
    first = digest(f'["{root}","a",null,null]')
    assert ids("a", "b") == [first, digest(f'["{first}","b",null,null]')]
    assert first == "86d90ce6730ca3c597ed4f6b"


def test_an_id_that_is_not_the_hash_of_its_prefix_is_refused():
    steps = Chain.of(PROBLEM, ["a", "b"]).steps
    tampered = Step("B", id=steps[1].id)
    with pytest.raises(ValueError, match="step 1 has id"):
        Chain(PROBLEM, (steps[0], tampered))


def test_given_ids_are_kept_and_missing_ones_are_derived():
    steps = Chain.of(PROBLEM, ["a", "b"]).steps
    assert Chain(PROBLEM, (steps[0], Step("b"))).steps == steps


def test_extending_a_chain_keeps_its_prefix_and_drops_its_answer():
    longer = CHAIN.extend("So 12.", "Done.")
    assert longer.steps[:2] == CHAIN.steps
    assert longer.texts[2:] == ("So 12.", "Done.")
    assert longer.answer is None


def test_the_prefix_id_of_a_chain_is_its_last_steps_or_the_root():
    assert CHAIN.prefix_id == CHAIN.steps[-1].id
    assert Chain(PROBLEM, ()).prefix_id == PROBLEM.root_id


def test_values_are_frozen_and_have_no_room_for_other_attributes():
    with pytest.raises(FrozenInstanceError):
        CHAIN.answer = "13"  # type: ignore[misc]
    assert not hasattr(CHAIN, "__dict__")


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_labels_and_scores_outside_the_unit_interval_are_refused(bad: float):
    with pytest.raises(ValueError, match=r"label 1 is .*expected a number in \[0, 1\] or null"):
        StepLabels((1.0, bad), "human")
    with pytest.raises(ValueError, match=r"score 0 is"):
        StepScores((bad,), "prm")


def test_scores_of_any_number_type_become_plain_floats():
    scores = StepScores([np.float32(0.25), np.float64(0.5), 1, None], "duck")  # type: ignore[arg-type]
    assert scores.scores == (0.25, 0.5, 1.0, None)
    assert [type(score) for score in scores.known] == [float, float, float]


def test_known_scores_leave_out_what_is_missing_and_keep_zero():
    assert StepScores((None, 0.0, 0.5), "prm").known == (0.0, 0.5)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((1.0, 0.4, 0.0), 1), ((1.0, 0.5), None), ((None, None), None), ((None, 0.0), 1)],
)
def test_the_first_error_is_the_first_label_below_one_half(labels, expected):
    assert StepLabels(labels, "human").first_error == expected


def test_ratings_and_counts_must_match_the_labels():
    with pytest.raises(ValueError, match="1 ratings for 2 labels"):
        StepLabels((1.0, None), "human", ratings=(1,))
    with pytest.raises(ValueError, match="3 counts for 2 labels"):
        StepLabels((1.0, None), "rollout", counts=(None, None, None))
    with pytest.raises(ValueError, match="ratings are -1, 0 or 1"):
        StepLabels((1.0,), "human", ratings=(2,))


@pytest.mark.parametrize("count", [(5, 4), (-1, 4)])
def test_impossible_rollout_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"a count is {count[0]} correct of 4 rollouts"):
        StepLabels((1.0,), "rollout", counts=(RolloutCount(*count),))


def test_a_record_needs_steps_and_as_many_labels_and_scores():
    with pytest.raises(ValueError, match="the chain has no steps"):
        ChainRecord(Chain(PROBLEM, ()))
    with pytest.raises(ValueError, match="labels of 'human': 1 for 2 steps"):
        ChainRecord(CHAIN, labels=(StepLabels((1.0,), "human"),))
    with pytest.raises(ValueError, match="scores of 'prm': 3 for 2 steps"):
        ChainRecord(CHAIN, scores=(StepScores((0.1, 0.2, 0.3), "prm"),))


def test_a_record_refuses_a_text_that_nobody_split():
    longest = ChainRecord(Chain.of(PROBLEM, ["a", "b" * MAX_STEP_CHARS]))
    assert len(longest.chain.texts[1]) == MAX_STEP_CHARS
    with pytest.raises(ValueError, match="step 1 has 100000 characters, expected at most 65536"):
        ChainRecord(Chain.of(PROBLEM, ["a", "b" * 100_000]))


def test_new_labels_replace_those_of_the_same_source_only():
    human, machine = StepLabels((1.0, 0.0), "human"), StepLabels((1.0, 1.0), "arithmetic")
    better = StepLabels((1.0, 1.0), "human")
    record = ChainRecord(CHAIN).with_labels(human).with_labels(machine).with_labels(better)
    assert record.labels == (machine, better)
    assert record.labels_from("human") == better
    assert record.labels_from("nobody") is None


def test_labels_and_scores_without_a_name_are_given_only_when_there_is_one_kind():
    record = ChainRecord(CHAIN).with_labels(StepLabels((1.0, 0.0), "human"))
    assert record.labels_from() == record.labels[0]
    assert record.with_labels(StepLabels((1.0, 1.0), "other")).labels_from() is None
    scored = record.with_scores(StepScores((0.5, 0.5), "prm"))
    assert scored.scores_by() == scored.scores_by("prm") == scored.scores[0]
    assert scored.with_scores(StepScores((0.5, 0.5), "orm")).scores_by() is None
    assert scored.with_scores(StepScores((0.1, 0.1), "prm")).scores_by() == StepScores(
        (0.1, 0.1), "prm"
    )


def test_only_a_confirmed_answer_counts_as_correct():
    assert [verdict for verdict in Verdict if verdict.is_correct] == [Verdict.CORRECT]


def test_log_probabilities_stay_with_their_steps() -> None:
    source = Provenance(policy="m", step_logprobs=(-1.0, -2.0))
    chain = Chain.of(PROBLEM, ["a", "b"], source=source)
    for other, logprobs in [
        (chain.prefix(1), (-1.0,)),
        (chain.prefix(2), (-1.0, -2.0)),
        (chain.extend("c"), (-1.0, -2.0, None)),
    ]:
        assert other.source == replace(source, step_logprobs=logprobs)
    with pytest.raises(ValueError, match="log-probabilities: 2 for 1 steps"):
        ChainRecord(Chain.of(PROBLEM, ["a"], source=source))
