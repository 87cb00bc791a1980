"""Named queues, writes that go together, and the fold that is brought forward."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, insert, text

import rung.store.opening as opening
from rating import Rater, rated_chain, somebody, with_labels
from rung import RungError
from rung.eval.raters import rating_status
from rung.label.rating_fold import RatingFold
from rung.label.rating_queue import queue_chains, queue_gold
from rung.label.rating_records import all_ratings
from rung.serve.annotate_desk import RatingDesk
from rung.serve.tokens import Caller
from rung.store import queues
from rung.store.chains import add_chains
from rung.store.claims import Sharing, all_claims, next_chain
from rung.store.ended import count_finished, first_unfinished, latest_finished
from rung.store.events import append_event
from rung.store.grouping import Grouped
from rung.store.opening import Store, open_store
from rung.store.people import add_person, all_people, person_named
from rung.store.queues import known_queue
from rung.store.tables import events
from rung.store.values import Event

ONCE = Sharing(overlap=1, gold_every=0)


def filled(store: Store) -> None:
    """ "easy" has chains 0 to 2, "hard" 2 to 4: one is in both."""
    with store.writing() as connection:
        add_chains(connection, [rated_chain(k) for k in (0, 1, 2)], queue="easy")
        assert add_chains(connection, [rated_chain(k) for k in (2, 3, 4)], queue="hard") == (3, 0)


def given(store: Store, rater: Rater, queue: str | None = None) -> list[str]:
    """The chains that a person gets until there is none, each submitted."""
    found: list[str] = []
    while True:
        with store.writing() as connection:
            claim = next_chain(connection, rater.person, ONCE, queue=queue)
            if claim is None:
                return found
            event = Event(key=f"end {claim.chain}", chain=claim.chain, kind="submit")
            append_event(connection, rater.person.id, event)
        found.append(claim.chain)


def ids(*numbers: int) -> list[str]:
    return [rated_chain(k).chain.prefix_id for k in numbers]


def test_whoever_is_assigned_to_a_queue_gets_its_chains_and_others_all(store: Store):
    filled(store)
    ann, bob = (Rater(store, somebody(store, name)) for name in ("ann", "bob"))
    with store.writing() as connection:
        queues.assign(connection, "hard", ["ann", "ann"])
    assert given(store, ann) == ids(2, 3, 4)
    assert given(store, bob) == ids(0, 1)  # what is in both queues is rated once
    with store.writing() as connection:
        queues.unassign(connection, "hard", ["ann"])
        assert [one.name for one in queues.queues_of(connection, ann.person.id)] == ["easy", "hard"]


def test_a_person_may_ask_for_one_of_their_queues_and_no_other(store: Store):
    filled(store)
    ann = Rater(store, somebody(store, "ann"))
    assert given(store, ann, "hard") == ids(2, 3, 4)
    with store.writing() as connection:
        queues.assign(connection, "easy", ["ann"])
        with pytest.raises(RungError, match="you do not work on a queue called 'hard'"):
            next_chain(connection, ann.person, ONCE, queue="hard")
    assert given(store, ann) == ids(0, 1)


def test_a_wrong_name_is_a_sentence(store: Store):
    filled(store)
    with store.writing() as connection:
        with pytest.raises(RungError, match="no queue called 'x'; known are 'easy', 'hard'"):
            queues.assign(connection, "x", [])
        with pytest.raises(RungError, match="there is nobody called 'eve'"):
            queues.assign(connection, "hard", ["eve"])
        with pytest.raises(RungError, match="1 to 80 printable characters"):
            queues.made_queue(connection, " \n")


def test_a_queue_shows_how_far_it_is(store: Store):
    filled(store)
    ann = Rater(store, somebody(store, "ann"))
    with store.writing() as connection:
        queues.assign(connection, "hard", ["ann"])
        add_chains(connection, [with_labels(rated_chain(9, "Yes."), 1)], queue="hard", is_gold=True)
        next_chain(connection, ann.person, ONCE)
    ann.rate_and_submit(rated_chain(2), 1, 1, 1)
    with store.writing() as connection:
        next_chain(connection, ann.person, ONCE)
    ann.rate(rated_chain(3), 0, 1)
    with store.reading() as connection:
        easy, hard = rating_status(connection, overlap=1).queues
    assert (easy.chains, easy.gold_chains, easy.done, easy.begun, easy.people) == (3, 0, 1, 0, ())
    assert (hard.chains, hard.gold_chains, hard.done, hard.begun, hard.people) == (
        *(3, 1, 1, 1),
        ["ann"],
    )


def test_no_place_before_the_first_open_one_is_looked_at(store: Store):
    filled(store)
    ann = Rater(store, somebody(store, "ann"))
    with store.writing() as connection:
        easy = queues.known_queue(connection, "easy").id
        assert queues.first_open(connection, easy, 1, 0) == 0
        next_chain(connection, ann.person, ONCE)
        assert queues.first_open(connection, easy, 1, 0) == 1
        assert queues.first_open(connection, easy, 2, 0) == 0
        assert queues.first_open(connection, easy, 1, 3) == 3  # there is none
    bob = somebody(store, "bob")
    with store.writing() as connection:
        claim = next_chain(connection, bob, ONCE, queue="easy", open_from={easy: 2})
    assert claim is not None and [claim.chain] == ids(2)


def test_a_gold_chain_moves_the_count_like_any_other(store: Store):
    with store.writing() as connection:
        queue_chains(connection, [rated_chain(k) for k in range(6)])
        queue_gold(
            connection, [with_labels(rated_chain(k, "Yes."), 1) for k in (10, 11)], "gold.jsonl"
        )
        add_person(connection, "ann", "rater", "hash")
    desk = RatingDesk(store=store, sharing=Sharing(overlap=1, gold_every=3))
    ann, seen = Caller("ann"), [(8, 8)]
    for number in range(8):
        task = desk.next(ann)
        assert task is not None
        me = desk.me(ann)
        seen.append((me.turns, me.left))
        event = Event(key=str(number), chain=task.chain, kind="submit", finish="give_up", text="x")
        assert [one.status for one in asyncio.run(desk.take(ann, [event]))] == ["saved"]
    assert seen == [(8, left) for left in range(8, -1, -1)]
    assert desk.next(ann) is None


def test_a_store_of_before_queues_has_its_chains_in_one(tmp_path: Path):
    place = tmp_path / "old.db"
    config = Config()
    config.set_main_option("script_location", str(opening._MIGRATIONS))
    engine = create_engine(f"sqlite:///{place}")
    chain = rated_chain(1).chain
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO problems VALUES ('p', '{}')"))
        row = f"INSERT INTO chains VALUES ('{chain.prefix_id}', 'p', '[]', '{{}}', 7, false)"
        connection.execute(text(row))
    engine.dispose()
    with open_store(place) as store, store.writing() as connection:
        assert [one.name for one in queues.all_queues(connection)] == ["main"]
        claim = next_chain(connection, add_person(connection, "ann", "rater", None), ONCE)
    assert claim is not None and claim.chain == chain.prefix_id


class Transactions:
    """Counts them; the first waits until it is let go."""

    def __init__(self, store: Store) -> None:
        self.store, self.count = store, 0
        self.go = threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[Connection]:
        self.count += 1
        if self.count == 1:
            self.go.wait(30)
        with self.store.writing() as connection:
            yield connection


def adding(name: str, *, fails: bool = False):
    def job(connection: Connection) -> str:
        add_person(connection, name, "rater", None)
        if fails:
            raise RungError(f"not {name}")
        return name

    return job


def test_what_comes_meanwhile_goes_into_one_transaction(store: Store):
    transactions = Transactions(store)
    grouped = Grouped(transactions)
    first = grouped.ask(adding("first"))
    others = [grouped.ask(adding(f"p{k}")) for k in range(20)]
    transactions.go.set()
    assert [one.result(30) for one in (first, *others)] == ["first", *(f"p{k}" for k in range(20))]
    assert transactions.count <= 2  # the first may have gone with some of the others
    grouped.close()


def test_a_job_that_fails_fails_alone_and_leaves_nothing(store: Store):
    transactions = Transactions(store)
    grouped = Grouped(transactions)
    jobs = [grouped.ask(adding("first"))]
    jobs += [grouped.ask(adding(name, fails=name == "bad")) for name in ("a", "bad", "b")]
    transactions.go.set()
    with pytest.raises(RungError, match="not bad"):
        jobs[2].result(30)
    assert [jobs[k].result(30) for k in (0, 1, 3)] == ["first", "a", "b"]
    with store.reading() as connection:
        assert [one.name for one in all_people(connection)] == ["first", "a", "b"]
    grouped.close()


def test_a_job_that_nobody_waits_for_any_more_is_not_done(store: Store):
    transactions = Transactions(store)
    grouped = Grouped(transactions)
    first, second = grouped.ask(adding("first")), grouped.ask(adding("second"))
    assert second.cancel()
    transactions.go.set()
    assert first.result(30) == "first"
    grouped.close()
    with store.reading() as connection:
        assert person_named(connection, "second") is None


def test_a_fold_that_is_brought_forward_is_the_fold_of_all(store: Store):
    with store.writing() as connection:
        add_chains(connection, [rated_chain(k) for k in range(2)])
    ann, bob = (Rater(store, somebody(store, name)) for name in ("ann", "bob"))
    fold = RatingFold()
    for rater, rating in ((ann, 1), (bob, -1), (ann, -1)):
        with store.writing() as connection:
            next_chain(connection, rater.person, Sharing(overlap=2, gold_every=0))
        rater.rate(rated_chain(0), 0, rating)
        with store.reading() as connection:
            assert fold.ratings(connection) == all_ratings(connection)


def test_an_event_that_is_seen_late_is_not_missed(store: Store):
    """On PostgreSQL a lower number may be committed after a higher one."""
    with store.writing() as connection:
        add_chains(connection, [rated_chain(0)])
    ann, fold, chain = somebody(store, "ann"), RatingFold(), rated_chain(0).chain
    for seen, (seq, step) in enumerate(((5, chain.steps[0]), (3, chain.steps[1])), start=1):
        row = {"seq": seq, "person": ann.id, "key": step.id, "chain": chain.prefix_id}
        row |= {"kind": "rate", "step": step.id, "rating": 1, "saved_ms": seq}
        with store.writing() as connection:
            connection.execute(insert(events), {**row, "is_unsure": False, "scores_shown": False})
        with store.reading() as connection:
            assert len(fold.ratings(connection).by_step) == seen


def test_a_chain_is_finished_until_it_is_opened_again(store: Store):
    filled(store)
    ann = Rater(store, somebody(store, "ann"))
    bob = Rater(store, somebody(store, "bob"))
    with store.writing() as connection:
        easy, hard = ([known_queue(connection, name).id] for name in ("easy", "hard"))
        for _ in range(2):
            assert next_chain(connection, ann.person, ONCE, queue="easy")
            [chain] = [c.chain for c in all_claims(connection)][-1:]
            end = Event(key=chain, chain=chain, kind="submit", finish="give_up", text="x")
            append_event(connection, ann.person.id, end)
        assert next_chain(connection, ann.person, ONCE, queue="hard")
    zero, one, two = ids(0, 1, 2)
    with store.reading() as connection:
        assert count_finished(connection, ann.person.id) == 2
        assert latest_finished(connection, ann.person.id, but=two) == one
        assert latest_finished(connection, ann.person.id, but=one) == zero
        assert first_unfinished(connection, ann.person.id) == two
        assert first_unfinished(connection, ann.person.id, easy) == two  # it is in both
        assert count_finished(connection, bob.person.id) == 0
        assert latest_finished(connection, bob.person.id, but=two) is None
        assert first_unfinished(connection, bob.person.id) is None
    assert ann.send(ann.event("reopen", rated_chain(0)))[0].status == "saved"
    with store.reading() as connection:
        assert count_finished(connection, ann.person.id) == 1
        assert latest_finished(connection, ann.person.id, but=two) == one
        assert first_unfinished(connection, ann.person.id) == zero  # before the one begun later
        assert first_unfinished(connection, ann.person.id, hard) == two
    ann.submit(rated_chain(0), finish="give_up", text="x")
    with store.reading() as connection:
        assert count_finished(connection, ann.person.id) == 2
        assert latest_finished(connection, ann.person.id, but=two) == zero  # ended last
        assert first_unfinished(connection, ann.person.id) == two


def test_a_rating_does_not_wait_for_those_who_open_chains(store: Store):
    filled(store)
    somebody(store, "ann")
    desk, ann, go = RatingDesk(store=store, sharing=ONCE), Caller("ann"), threading.Event()

    async def rate() -> list[str]:
        task = desk.next(ann)
        assert task is not None
        opened = [asyncio.ensure_future(desk.in_turn(lambda: go.wait(30))) for _ in range(3)]
        await asyncio.sleep(0)
        event = Event(key="one", chain=task.chain, kind="rate", step=task.steps[0].id, rating=1)
        answers = await desk.take(ann, [event])
        assert not any(one.done() for one in opened)
        go.set()
        await asyncio.gather(*opened)
        return [one.status for one in answers]

    assert asyncio.run(rate()) == ["saved"]


def test_chains_are_opened_one_at_a_time(store: Store):
    desk, open_now, most = RatingDesk(store=store), 0, 0

    def opening() -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        store.reads.ask(lambda connection: connection.execute(text("SELECT 1")).scalar()).result()
        open_now -= 1

    async def many() -> None:
        await asyncio.gather(*(desk.in_turn(opening) for _ in range(8)))

    asyncio.run(many())
    assert (most, open_now) == (1, 0)
