"""PRM800K's raw rows: a tree of rated candidates, both phases, every way labeling can end."""

import msgspec
import pytest

from rung import RungError
from rung.data import count, load


def candidate(text, rating, flagged=False):
    return {"text": text, "rating": rating, "flagged": flagged}


def step(*candidates, chosen=0, human=None):
    written = None if human is None else {**candidate(human, None), "source": "human"}
    return {
        "completions": list(candidates),
        "human_completion": written,
        "chosen_completion": chosen,
    }


def row(*steps, finish="solution", written=None, **fields):
    question = {"problem": "Q?", "ground_truth_answer": "5"}
    if written is not None:
        question |= {"pre_generated_steps": written, "pre_generated_verifier_score": 0.25}
    return {
        "labeler": "me",
        "timestamp": "t",
        "generation": None if written is None else 3,
        "is_quality_control_question": False,
        "is_initial_screening_question": True,
        "question": question,
        "label": {"steps": list(steps), "total_time": 7, "finish_reason": finish},
        **fields,
    }


def read(tmp_path, *rows, **options):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in rows))
    return list(load(path, **options))


def texts(records):
    return ["".join(record.chain.texts) for record in records]


def test_each_alternative_is_a_chain_that_shares_its_prefix_by_step_id(tmp_path):
    records = read(
        tmp_path,
        row(
            step(candidate("a", 1)),
            step(candidate("x", -1), candidate("b", 1), candidate("y", 0), chosen=1),
            step(candidate("c\n\n# Answer\n\n5", 1)),
        ),
    )
    assert texts(records) == ["abc\n\n# Answer\n\n5", "ax", "ay"]
    assert len({record.chain.steps[0].id for record in records}) == 1
    assert len({s.id for record in records for s in record.chain.steps}) == 5
    assert records[0].chain.answer == "5"
    assert [record.meta["is_alternative"] for record in records] == [False, True, True]
    assert records[1].labels[0].ratings == (1, -1)


@pytest.mark.parametrize(("neutral", "label"), [("good", 1.0), ("bad", 0.0), ("unlabeled", None)])
def test_what_neutral_means_is_a_choice_and_the_rating_is_kept(tmp_path, neutral, label):
    (record,) = read(
        tmp_path,
        row(step(candidate("a", 1)), step(candidate("b", 0)), step(candidate("c", -1))),
        neutral=neutral,
    )
    assert record.labels[0].labels == (1.0, label, 0.0)
    assert record.labels[0].ratings == (1, 0, -1)
    counts = count([record]).labels["human"]
    assert (counts.good, counts.neutral, counts.bad, counts.unlabeled) == (1, 1, 1, 0)


def test_phase_two_stops_at_the_error_but_the_written_solution_goes_on(tmp_path):
    records = read(
        tmp_path,
        row(
            step(candidate("a", 1)),
            step(candidate("z", 1), candidate("b", -1), chosen=None),
            finish="found_error",
            written=["a", "b", "c", "# Answer\n\n9"],
        ),
    )
    assert texts(records) == ["abc# Answer\n\n9", "az"]
    solution = records[0]
    assert solution.labels[0].labels == (1.0, 0.0, None, None)
    assert solution.chain.answer == "9"
    assert solution.meta["phase"] == 2
    assert solution.meta["finish_reason"] == "found_error"
    assert solution.meta["pre_generated_verifier_score"] == 0.25


def test_a_step_that_a_person_wrote_carries_no_label_and_is_listed(tmp_path):
    solution, other = read(
        tmp_path,
        row(step(candidate("bad", -1), chosen=None, human="good"), step(candidate("b", 1))),
    )
    assert solution.chain.texts == ("good", "b")
    assert solution.labels[0].labels == (None, 1.0)
    assert solution.meta["human_steps"] == [0]
    assert other.chain.texts == ("bad",)
    assert solution.meta["is_initial_screening_question"] is True


def test_a_persons_step_that_was_not_taken_is_an_alternative(tmp_path):
    records = read(tmp_path, row(step(candidate("a", 1), human="h")))
    assert texts(records) == ["a", "h"]


@pytest.mark.parametrize("finish", ["solution", "give_up", "bad_problem", "found_error"])
def test_every_finish_reason_is_kept_and_unrated_candidates_are_not_judged(tmp_path, finish):
    records = read(
        tmp_path,
        row(
            step(candidate("a", 1, flagged=True)),
            step(candidate("b", None), candidate("c", None), chosen=None),
            finish=finish,
        ),
    )
    assert texts(records) == ["ab", "ac"]
    assert all(record.meta["finish_reason"] == finish for record in records)
    assert all(record.labels[0].labels == (1.0, None) for record in records)
    assert records[0].meta["flagged_steps"] == [0]


def test_labeling_that_ended_without_candidates_keeps_the_solution_so_far(tmp_path):
    no_candidates = {"completions": None, "human_completion": None, "chosen_completion": None}
    (record,) = read(tmp_path, row(step(candidate("a", 1)), no_candidates, finish="give_up"))
    assert record.chain.texts == ("a",)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(), "the chain has no steps"),
        (row(step(candidate("a", 1), chosen=4)), "chosen_completion is 4 of 1 completions"),
        (row(step(candidate("a", 3))), "a rating is -1, 0 or 1, not 3"),
        ({"question": {}, "label": {"steps": []}}, r"missing required field.*`\$\.question`"),
    ],
)
def test_broken_rows_are_refused_with_what_is_wrong(tmp_path, bad, reason):
    with pytest.raises(RungError, match=rf"rows\.jsonl, line 1: .*{reason}"):
        read(tmp_path, bad)


def test_the_real_rows_of_both_phases_are_read_whole(shared_data):
    records = list(load(shared_data / "prm800k_raw_examples.jsonl"))
    solutions = [record for record in records if not record.meta["is_alternative"]]
    assert len(solutions) == 6
    assert [record.meta["phase"] for record in solutions] == [1, 1, 1, 1, 2, 2]
    reasons = {record.meta["finish_reason"] for record in solutions}
    assert reasons == {"solution", "give_up", "found_error"}
    phase_two = solutions[-1]
    assert len(phase_two.chain.steps) == 13
    assert phase_two.labels[0].ratings == (1, 0, 1, 1, 1, 1, -1, *(None,) * 6)
    assert phase_two.chain.answer == "7200"
    assert solutions[0].chain.answer == "29"
    lines = (shared_data / "prm800k_raw_examples.jsonl").read_bytes().splitlines()
    raw = [msgspec.json.decode(line)["raw"] for line in lines]
    num_ratings = sum(
        completion["rating"] is not None
        for label in raw
        for labeled in label["label"]["steps"]
        for completion in labeled["completions"] or ()
    )
    # every rated candidate is the end of a chain or a step of the solution: none is lost
    read_ratings = sum(
        sum(r is not None for r in record.labels[0].ratings)
        if not record.meta["is_alternative"]
        else record.labels[0].ratings[-1] is not None
        for record in records
    )
    assert read_ratings == num_ratings
