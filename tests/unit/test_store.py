"""The store: chains by their steps, people, the queue, events that are only ever added."""

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from rating import rated_chain, somebody
from rung import InputError, RungError
from rung.store import claims, events, people
from rung.store.chains import add_chains, add_steps, all_chains, alternatives, chain_by_id
from rung.store.claims import Sharing
from rung.store.opening import Store, StoreError, open_store
from rung.store.tables import metadata
from rung.store.values import Event, Person

SCHEMA = Path(__file__).with_name("store_schema.sql")
ONCE = Sharing(overlap=1, gold_every=0)


def test_the_migrations_make_exactly_this_schema(tmp_path: Path):
    """A changed table needs a migration; both are seen here, letter by letter."""
    open_store(tmp_path / "new.db").close()
    with sqlite3.connect(tmp_path / "new.db") as connection:
        made = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"
        ).fetchall()
    connection.close()
    said = "\n".join(" ".join(sql.split()) for (sql,) in made) + "\n"
    assert said == SCHEMA.read_text()


def test_the_tables_that_the_program_uses_are_those_of_the_migrations(store: Store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        names = set(inspect(connection).get_table_names())
    assert names == {*metadata.tables, "alembic_version"}


def test_a_store_is_opened_again_with_all_that_it_holds(store_place: str):
    with open_store(store_place) as store, store.writing() as connection:
        add_chains(connection, [rated_chain(1)])
    with open_store(store_place) as store, store.reading() as connection:
        assert [one.record for one in all_chains(connection)] == [rated_chain(1)]


def test_sqlite_keeps_a_log_beside_the_file_and_writes_through_to_the_disk(tmp_path: Path):
    with open_store(tmp_path / "ratings.db") as store, store.reading() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == ["wal", 2, 1]


def test_a_file_that_is_something_else_is_refused_in_one_sentence(tmp_path: Path):
    text_file = tmp_path / "notes.txt"
    text_file.write_text("These are no ratings at all, but a text of some length.\n" * 20)
    with pytest.raises(InputError, match="not a file of ratings"):
        open_store(text_file)
    with pytest.raises(InputError, match="not a file of ratings"):
        open_store(tmp_path / "no" / "such" / "folder.db")
    assert text_file.read_text().startswith("These are no ratings")


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="somebody else"):
        open_store(tmp_path / "other.db")


def test_a_store_of_a_newer_rung_is_refused(store_place: str):
    with open_store(store_place) as store, store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="newer rung"):
        open_store(store_place)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("mysql://somebody@nowhere/ratings", "SQLite or PostgreSQL"),
        ("postgresql://somebody:secret@/ratings?host=/no/such/folder", "the database says"),
    ],
)
def test_a_database_that_cannot_be_had_is_a_sentence_without_the_password(place: str, reason: str):
    with pytest.raises(RungError, match=reason) as caught:
        open_store(place)
    assert "secret" not in str(caught.value)


def test_texts_that_would_break_a_careless_query_are_kept_as_they_are(store: Store):
    nasty = "'); DROP TABLE events; -- \x00 %s :name \N{PILE OF POO} \\u0000"
    record = rated_chain(1, nasty, nasty)
    with store.writing() as connection:
        add_chains(connection, [record])
        person = people.add_person(connection, "Robert'); DROP TABLE people; --", "rater", "h")
    with store.reading() as connection:
        assert next(all_chains(connection)).record == record
        assert people.all_people(connection) == [person]


def test_a_chain_is_added_once_and_shared_steps_are_kept_once(store: Store):
    first = rated_chain(1, "Add.", "3 + 4 = 7")
    second = rated_chain(1, "Add.", "3 + 4 = 8")
    with store.writing() as connection:
        assert add_chains(connection, [first, first, second]) == (2, 1)
        assert add_chains(connection, [second]) == (0, 1)
        assert connection.execute(text("SELECT count(*) FROM steps")).scalar() == 3
        beside = alternatives(connection, [first.chain.steps[0].id])
    assert {other.step.text for other in beside} == {"3 + 4 = 7", "3 + 4 = 8"}


def test_chains_that_only_hold_alternatives_are_not_queued(store: Store):
    with store.writing() as connection:
        add_steps(connection, [rated_chain(1, "Add.", "3 + 4 = 9")])
        assert list(all_chains(connection)) == []
        assert chain_by_id(connection, rated_chain(1).chain.prefix_id) is None


def test_an_event_is_kept_once_however_often_it_comes(store: Store):
    ann, record = somebody(store, "ann"), rated_chain(1)
    event = Event(key="k", chain=record.chain.prefix_id, kind="reopen")
    with store.writing() as connection:
        add_chains(connection, [record])
        assert events.append_event(connection, ann.id, event)
        assert not events.append_event(connection, ann.id, event)
        assert [one.event for one in events.all_events(connection)] == [event]


def test_what_fails_half_way_is_not_kept(store: Store):
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        add_chains(connection, [rated_chain(1)])
        raise ZeroDivisionError
    with store.reading() as connection:
        assert list(all_chains(connection)) == []


def test_the_database_itself_refuses_a_rating_that_is_none(store: Store):
    ann, record = somebody(store, "ann"), rated_chain(1)
    with store.writing() as connection:
        add_chains(connection, [record])
    event = Event(key="k", chain=record.chain.prefix_id, kind="rate", rating=2)
    with pytest.raises(StoreError), store.writing() as connection:
        events.append_event(connection, ann.id, event)


def test_people_are_known_by_the_hash_of_their_token(store: Store):
    somebody(store, "ann")
    with store.writing() as connection:
        assert people.person_with_token(connection, "hash of ann").name == "ann"
        assert people.person_with_token(connection, "hash of bob") is None
        people.renew_token(connection, "ann", "another")
        assert people.person_with_token(connection, "hash of ann") is None
        people.remove_person(connection, "ann")
        assert people.person_with_token(connection, "another") is None
        assert not people.known_person(connection, "ann").is_active


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "two\nlines"])
def test_a_name_that_nobody_could_read_is_refused(store: Store, name: str):
    with pytest.raises(RungError, match="a name is"), store.writing() as connection:
        people.add_person(connection, name, "rater", None)


def test_two_people_of_one_name_and_nobody_at_all_are_sentences(store: Store):
    somebody(store, "ann")
    with store.writing() as connection:
        with pytest.raises(RungError, match="already"):
            people.add_person(connection, "ann", "lead", None)
        with pytest.raises(RungError, match="nobody called 'bob'; known are 'ann'"):
            people.renew_token(connection, "bob", "hash")
        people.imported_person(connection, "from a file")
        with pytest.raises(RungError, match="from a file only"):
            people.renew_token(connection, "from a file", "hash")


def _queue(store: Store, count: int, gold: int = 0) -> None:
    with store.writing() as connection:
        add_chains(connection, [rated_chain(k) for k in range(count)])
        add_chains(connection, [rated_chain(k) for k in range(100, 100 + gold)], is_gold=True)


def _next(store: Store, person: Person, sharing: Sharing = ONCE):
    with store.writing() as connection:
        return claims.next_chain(connection, person, sharing)


def _submit(store: Store, person: Person, chain: str, kind: str = "submit") -> None:
    with store.writing() as connection:
        key = f"{chain} {kind}"
        events.append_event(connection, person.id, Event(key=key, chain=chain, kind=kind))


def test_a_person_gets_the_begun_chain_until_it_is_submitted(store: Store):
    _queue(store, 2)
    ann = somebody(store, "ann")
    first = _next(store, ann)
    assert _next(store, ann) == first
    _submit(store, ann, first.chain)
    second = _next(store, ann)
    assert second.chain != first.chain
    _submit(store, ann, first.chain, "reopen")
    assert _next(store, ann) == first


def test_each_chain_is_given_to_k_people_and_to_nobody_twice(store: Store):
    _queue(store, 3)
    people = [somebody(store, name) for name in ("ann", "bob", "eve")]
    sharing = Sharing(overlap=2, gold_every=0)
    given: Counter[str] = Counter()
    for _ in range(4):
        for person in people:
            claim = _next(store, person, sharing)
            if claim is not None:
                given[claim.chain] += 1
                _submit(store, person, claim.chain)
    assert sorted(given.values()) == [2, 2, 2]


def test_people_who_ask_at_once_get_different_chains(store: Store):
    _queue(store, 8)
    people = [somebody(store, f"p{k}") for k in range(8)]
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda who=who: got.append(_next(store, who).chain))
        for who in people
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 8


def test_gold_chains_come_every_nth_time_and_take_nobodys_turn(store: Store):
    _queue(store, 6, gold=2)
    ann, bob = somebody(store, "ann"), somebody(store, "bob")
    sharing = Sharing(overlap=1, gold_every=2)
    seen: list[str] = []
    for _ in range(6):
        claim = _next(store, ann, sharing)
        seen.append(claim.purpose)
        _submit(store, ann, claim.chain)
    assert seen == ["rate", "gold", "rate", "gold", "rate", "rate"]
    _submit(store, bob, _next(store, bob, sharing).chain)
    assert _next(store, bob, sharing).purpose == "gold"


def test_a_chain_that_was_left_is_given_to_another_and_its_first_person_keeps_it(store: Store):
    _queue(store, 1)
    ann, bob = somebody(store, "ann"), somebody(store, "bob")
    mine = _next(store, ann)
    assert _next(store, bob) is None
    left = Sharing(overlap=1, gold_every=0, stale_ms=-1000)
    taken = _next(store, bob, left)
    assert (taken.chain, taken.slot) == (mine.chain, 0)
    assert _next(store, ann).chain == mine.chain
    assert _next(store, somebody(store, "eve")) is None


def test_whoever_is_removed_holds_no_chain_back(store: Store):
    _queue(store, 1)
    ann, bob = somebody(store, "ann"), somebody(store, "bob")
    mine = _next(store, ann)
    with store.writing() as connection:
        people.remove_person(connection, "ann")
    assert _next(store, bob).chain == mine.chain


def test_a_submitted_chain_is_never_taken_over(store: Store):
    _queue(store, 1)
    ann, bob = somebody(store, "ann"), somebody(store, "bob")
    _submit(store, ann, _next(store, ann).chain)
    assert _next(store, bob, Sharing(overlap=1, gold_every=0, stale_ms=-1000)) is None


def test_a_read_sees_one_moment_while_others_write(store: Store):
    _queue(store, 1)
    with store.reading() as connection:
        before = [one.id for one in all_chains(connection)]
        _queue(store, 3)
        assert [one.id for one in all_chains(connection)] == before
    with store.reading() as connection:
        assert len(list(all_chains(connection))) == 3


def test_a_new_file_that_another_writes_to_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where another holds a new file's write lock, SQLite refuses the log at once, not waiting."""
    place = tmp_path / "ratings.db"
    with sqlite3.connect(place) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("rung.store.opening.time.sleep", lambda _: other.rollback())
        with open_store(place) as store, store.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    other.close()


def test_two_servers_that_start_at_once_make_one_schema(store_place: str):
    failures: list[BaseException] = []

    def start() -> None:
        try:
            open_store(store_place).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
