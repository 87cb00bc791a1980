"""What people's events come to, and which are refused."""

import pytest

from rating import Rater, rated_chain, somebody
from rung import Step
from rung.core.types import step_id
from rung.label.human import StepRating, finish_of, settled
from rung.label.rating_desk import standing
from rung.store.chains import add_chains, add_steps, all_chains, alternatives, chain_by_id
from rung.store.claims import Sharing, next_chain
from rung.store.events import all_events
from rung.store.opening import Store

CHAIN = rated_chain(1)
OTHER = rated_chain(1, "Add.", "3 + 4 = 7", "So 7.")
"""Shares the first step."""


def said(rating: int | None) -> StepRating:
    return StepRating(rating, rating is None, False, None, 0)


@pytest.fixture
def ann(store: Store) -> Rater:
    return rater(store, "ann")


def rater(store: Store, name: str, *chains, rate_all: bool = False) -> Rater:
    person = somebody(store, name)
    with store.writing() as connection:
        add_chains(connection, chains or [CHAIN])
        assert next_chain(connection, person, Sharing(overlap=9, gold_every=0)) is not None
    return Rater(store, person, rate_all=rate_all)


def stands(rater: Rater, chain=CHAIN):
    with rater.store.reading() as connection:
        stored = chain_by_id(connection, chain.chain.prefix_id)
        return standing(connection, rater.person, stored.path, rate_all=rater.rate_all)


def ratings(rater: Rater, chain=CHAIN) -> list[int | None]:
    rated = stands(rater, chain).rated
    return [rated[step.id].rating if step.id in rated else None for step in chain.chain.steps]


def test_the_last_rating_of_a_step_counts_and_all_are_kept(ann: Rater):
    for rating in (1, 0, -1):
        assert ann.rate(CHAIN, 0, rating).status == "saved"
    assert ratings(ann) == [-1, None, None]
    with ann.store.reading() as connection:
        assert [one.event.rating for one in all_events(connection)] == [1, 0, -1]


def test_undo_brings_back_what_was_before_and_nothing_is_deleted(ann: Rater):
    ann.rate(CHAIN, 0, 1)
    second = ann.rate(CHAIN, 0, -1)
    assert ann.send(ann.event("undo", CHAIN, undoes=second.key))[0].status == "saved"
    assert ratings(ann) == [1, None, None]
    with ann.store.reading() as connection:
        assert len(list(all_events(connection))) == 3


def test_an_event_that_is_sent_again_is_answered_again_and_kept_once(ann: Rater):
    event = ann.event("rate", CHAIN, step=CHAIN.chain.steps[0].id, rating=1)
    answers = ann.send(event, event) + ann.send(event)
    assert [answer.status for answer in answers] == ["saved", "known", "known"]
    with ann.store.reading() as connection:
        assert len(list(all_events(connection))) == 1


def test_the_key_of_another_event_is_refused(ann: Rater):
    ann.rate(CHAIN, 0, 1, key="k")
    assert ann.submit(CHAIN, key="k").status == "refused"


def test_unsure_is_an_answer_and_no_rating(ann: Rater):
    ann.rate_and_submit(CHAIN, 1, None, 1)
    assert stands(ann).work.finish == "solution"
    assert ratings(ann) == [1, None, 1]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"kind": "rate", "rating": 1}, "names its step"),
        ({"kind": "rate", "step": "nowhere", "rating": 1}, "has no step"),
        ({"kind": "rate", "step": "FIRST"}, "-1, 0 or 1"),
        ({"kind": "rate", "step": "FIRST", "rating": 1, "is_unsure": True}, "-1, 0 or 1"),
        ({"kind": "write", "parent": "FIRST", "text": " \n"}, "empty"),
        ({"kind": "write", "text": "Add."}, "names the step"),
        ({"kind": "write", "parent": "nowhere", "text": "Add."}, "could follow"),
        ({"kind": "undo"}, "names the event"),
        ({"kind": "undo", "undoes": "nothing"}, "no event of yours"),
        ({"kind": "submit"}, "more to rate"),
        ({"kind": "submit", "finish": "give_up"}, "need a reason"),
        ({"kind": "submit", "finish": "bad_problem", "text": " "}, "need a reason"),
        ({"kind": "reopen"}, "not submitted"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason_and_not_kept(
    ann: Rater, event: dict, reason: str
):
    first = CHAIN.chain.steps[0].id
    event = {name: first if value == "FIRST" else value for name, value in event.items()}
    [answer] = ann.send(ann.event(event.pop("kind"), CHAIN, **event))
    assert answer.status == "refused"
    assert reason in answer.reason
    with ann.store.reading() as connection:
        assert list(all_events(connection)) == []


def test_one_refused_event_does_not_keep_the_others_out(ann: Rater):
    bad = ann.event("rate", CHAIN, step="nowhere", rating=1)
    good = ann.event("rate", CHAIN, step=CHAIN.chain.steps[0].id, rating=1)
    assert [answer.status for answer in ann.send(bad, good)] == ["refused", "saved"]
    assert ratings(ann) == [1, None, None]


def test_nobody_rates_a_chain_that_was_not_given_to_them(ann: Rater):
    bob = Rater(ann.store, somebody(ann.store, "bob"))
    answer = bob.rate(CHAIN, 0, 1)
    assert (answer.status, answer.reason) == ("refused", "this chain was not given to you")


def test_a_chain_ends_at_its_first_error_or_when_all_is_rated(ann: Rater):
    ann.rate(CHAIN, 0, 1)
    assert stands(ann).finish is None
    ann.rate(CHAIN, 1, -1)
    assert stands(ann).finish == "found_error"
    assert ann.submit(CHAIN).status == "saved"
    assert stands(ann).work.finish == "found_error"
    assert ann.submit(CHAIN).status == "refused"


def test_rating_all_does_not_end_at_the_first_error(store: Store):
    ann = rater(store, "ann", rate_all=True)
    ann.rate(CHAIN, 0, -1)
    assert ann.submit(CHAIN).status == "refused"
    ann.rate(CHAIN, 1, 1)
    ann.rate(CHAIN, 2, 0)
    assert ann.submit(CHAIN).status == "saved"
    assert stands(ann).work.finish == "found_error"


def test_a_step_behind_an_unrated_one_ends_nothing():
    assert finish_of(["a", "b"], {"b": said(-1)}, rate_all=False) is None


@pytest.mark.parametrize("finish", ["give_up", "bad_problem"])
def test_giving_up_and_a_bad_problem_need_no_ratings_but_a_reason(ann: Rater, finish: str):
    assert ann.submit(CHAIN, finish=finish, text="It has no answer.").status == "saved"
    assert (stands(ann).work.finish, stands(ann).work.reason) == (finish, "It has no answer.")


def test_a_submitted_chain_can_be_opened_again_corrected_and_submitted(ann: Rater):
    ann.rate_and_submit(CHAIN, 1, 1, 1)
    assert ann.send(ann.event("reopen", CHAIN))[0].status == "saved"
    assert stands(ann).work.finish is None
    ann.rate(CHAIN, 2, -1)
    assert ann.submit(CHAIN).status == "saved"
    assert stands(ann).work.finish == "found_error"


def test_a_written_step_gets_the_id_of_its_prefix_and_can_be_rated_by_its_key(ann: Rater):
    parent = CHAIN.chain.steps[0].id
    write = ann.event("write", CHAIN, key="w", parent=parent, text=" 3 + 4 = 7 ")
    rate = ann.event("rate", CHAIN, step="write:w", rating=1)
    answers = ann.send(write, rate)
    expected = step_id(parent, Step("3 + 4 = 7"))
    assert [(a.status, a.step) for a in answers] == [("saved", expected), ("saved", expected)]
    with ann.store.reading() as connection:
        [other] = [o for o in alternatives(connection, [parent]) if o.writer is not None]
    assert (other.step.text, other.writer) == ("3 + 4 = 7", ann.person.id)


def test_an_alternative_that_came_with_the_data_can_be_rated(ann: Rater):
    with ann.store.writing() as connection:
        add_steps(connection, [OTHER])
    step = OTHER.chain.steps[1].id
    [answer] = ann.send(ann.event("rate", CHAIN, step=step, rating=1))
    assert answer.status == "saved"
    further = ann.event("rate", CHAIN, step=OTHER.chain.steps[2].id, rating=1)
    assert ann.send(further)[0].status == "refused"


def test_a_step_that_chains_share_is_rated_once(store: Store):
    ann = rater(store, "ann", CHAIN, OTHER)
    ann.rate_and_submit(CHAIN, 1, -1)
    with store.writing() as connection:
        next_chain(connection, ann.person, Sharing(gold_every=0))
    assert ratings(ann, OTHER) == [1, None, None]
    ann.rate(OTHER, 1, 1)
    ann.rate(OTHER, 2, 1)
    assert ann.submit(OTHER).status == "saved"


def test_what_most_say_is_settled_a_tie_is_not_and_an_adjudicator_decides():
    assert settled({1: said(1), 2: said(1), 3: said(-1)}) == 1
    assert settled({1: said(1), 2: said(-1)}) is None
    assert settled({1: said(1), 2: said(-1), 9: said(-1)}, judges=[9]) == -1
    assert settled({1: said(None)}) is None
    assert settled({}) is None


def test_script_and_sql_in_a_written_step_are_just_text(ann: Rater):
    text = "<script>alert(1)</script>'; DROP TABLE events; --"
    parent = CHAIN.chain.problem.root_id
    [answer] = ann.send(ann.event("write", CHAIN, parent=parent, text=text))
    assert answer.status == "saved"
    with ann.store.reading() as connection:
        assert text in {o.step.text for o in alternatives(connection, [parent])}
        assert len(list(all_chains(connection))) == 1
