"""Ratings in and out: PRM800K's rows, TRL's, rung's own; and what the team's status says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rating import Rater, rated_chain, somebody, with_labels, with_scores
from rung import ChainRecord, RungError, StepLabels
from rung.core.codec import decode_record
from rung.data import load, prm800k
from rung.eval.raters import RatingStatus, rating_status
from rung.label.next import First
from rung.label.rating_export import export_lines
from rung.label.rating_import import Imported, import_ratings
from rung.label.rating_queue import queue_chains, queue_gold
from rung.label.rating_records import all_ratings, rated_records, to_settle
from rung.store.chains import add_chains, add_steps, all_chains
from rung.store.claims import Sharing, next_chain, take_to_settle
from rung.store.opening import Store
from rung.store.values import Person

CHAIN = rated_chain(1)
OTHER = rated_chain(1, "Add.", "3 + 4 = 7")


def team(store: Store, *names: str, chains=(CHAIN,)) -> list[Rater]:
    people = [somebody(store, name) for name in names]
    with store.writing() as connection:
        add_chains(connection, chains)
    return [Rater(store, person) for person in people]


def give(store: Store, person: Person, overlap: int = 9, gold_every: int = 0) -> None:
    with store.writing() as connection:
        sharing = Sharing(overlap=overlap, gold_every=gold_every)
        assert next_chain(connection, person, sharing) is not None


def records(store: Store, **how) -> list[ChainRecord]:
    with store.reading() as connection:
        return list(rated_records(connection, **how))


def lines(store: Store, format: str) -> list[dict]:
    with store.reading() as connection:
        return [json.loads(line) for line in export_lines(connection, format)]


def status(store: Store, overlap: int = 1) -> RatingStatus:
    with store.reading() as connection:
        return rating_status(connection, overlap=overlap)


def labels(record: ChainRecord, source: str = "human") -> tuple[float | None, ...]:
    return record.labels_from(source).labels


def test_prm800k_goes_in_and_comes_out_the_same(store: Store, shared_data: Path):
    given = list(load(shared_data / "prm800k_raw_examples.jsonl"))
    with store.writing() as connection:
        import_ratings(connection, given)
    back = [r for row in lines(store, "prm800k") for r in prm800k.read(row, "good")]

    def said(record: ChainRecord) -> tuple[object, ...]:
        names = ("is_alternative", "labeler", "finish_reason", "total_time_ms", "phase")
        ratings = record.labels_from("human").ratings
        return (record.chain.prefix_id, ratings, *(record.meta[name] for name in names))

    assert len(given) > 100
    assert set(map(said, back)) == set(map(said, given))
    own = {record.chain.prefix_id: labels(record) for record in records(store)}
    rated = [record for record in given if labels(record)[-1] is not None]
    assert own.items() >= {(r.chain.prefix_id, labels(r)) for r in rated}
    assert set(own) <= {record.chain.prefix_id for record in given}


def test_what_is_imported_again_adds_nothing(store: Store, shared_data: Path):
    given = list(load(shared_data / "prm800k_raw_examples.jsonl"))
    found: list[Imported] = []
    for _ in range(2):
        with store.writing() as connection:
            found.append(import_ratings(connection, given))
    assert (found[1].chains, found[1].ratings) == (0, 0)
    assert found[1].known_ratings == found[0].ratings + found[0].known_ratings


def test_ratings_come_out_for_each_person_and_together(store: Store):
    ann, bob, eve = team(store, "ann", "bob", "eve")
    for rater, second in ((ann, 1), (bob, -1), (eve, -1)):
        give(store, rater.person)
        rater.rate(CHAIN, 0, 0)
        rater.rate(CHAIN, 1, second)
    [record] = records(store)
    assert record.chain == CHAIN.chain
    assert labels(record) == (1.0, 0.0, None)
    assert record.labels_from("human").ratings == (0, -1, None)
    assert labels(record, "human:ann") == (1.0, 1.0, None)
    assert labels(record, "human:eve") == (1.0, 0.0, None)
    assert labels(records(store, neutral="bad")[0]) == (0.0, 0.0, None)


def test_rungs_own_export_can_be_imported_into_another_store(store: Store, tmp_path: Path):
    from rung.store.opening import open_store

    ann, bob = team(store, "ann", "bob")
    for rater, last in ((ann, 1), (bob, -1)):
        give(store, rater.person)
        rater.rate_and_submit(CHAIN, 1, 0, last)
    with open_store(tmp_path / "other.db") as other:
        with other.writing() as connection:
            import_ratings(connection, records(store))
        again = records(other)
    assert [r.labels for r in again] == [r.labels for r in records(store)]
    assert again[0].meta["finish_reasons"] == {"ann": "solution", "bob": "found_error"}


def test_trl_rows_hold_what_is_settled_and_can_be_imported(store: Store, tmp_path: Path):
    [ann] = team(store, "ann")
    give(store, ann.person)
    ann.rate_and_submit(CHAIN, 1, -1)
    [row] = lines(store, "trl")
    question, texts = CHAIN.chain.problem.question, list(CHAIN.chain.texts)
    assert row == {"prompt": question, "completions": texts, "labels": [True, False, None]}
    file = tmp_path / "trl.jsonl"
    file.write_text(json.dumps({**row, "labels": [True, False, 0.5]}))
    with store.writing() as connection:
        found = import_ratings(connection, load(file))
    assert (found.ratings, found.soft_labels, found.known_chains) == (2, 1, 1)
    assert labels(records(store)[0], "human:trl") == (1.0, 0.0, None)


def test_rated_alternatives_and_written_steps_come_out_as_chains_of_their_own(store: Store):
    [ann] = team(store, "ann")
    with store.writing() as connection:
        add_steps(connection, [OTHER])
    give(store, ann.person)
    ann.rate(CHAIN, 0, 1)
    ann.rate(CHAIN, 1, -1)
    ann.send(ann.event("rate", CHAIN, step=OTHER.chain.steps[1].id, rating=1))
    first = CHAIN.chain.steps[0].id
    ann.send(ann.event("write", CHAIN, parent=first, text="Seven."))
    ann.submit(CHAIN)
    main, *branches = records(store)
    found = {r.chain.texts[-1]: (labels(r), r.meta["human_steps"]) for r in branches}
    assert labels(main) == (1.0, 0.0, None)
    assert found == {"3 + 4 = 7": ((1.0, 1.0), []), "Seven.": ((1.0, None), [1])}
    [row] = lines(store, "prm800k")
    last = row["label"]["steps"][-1]
    assert [(c["text"], c["rating"]) for c in last["completions"]] == [
        ("3 + 4 = 8", -1),
        ("3 + 4 = 7", 1),
    ]
    assert (last["human_completion"]["text"], last["chosen_completion"]) == ("Seven.", None)


def test_a_bad_problem_is_left_out_of_training_data_and_stays_in_prm800ks_rows(store: Store):
    [ann] = team(store, "ann")
    give(store, ann.person)
    ann.rate(CHAIN, 0, 1)
    ann.submit(CHAIN, finish="bad_problem", text="It asks nothing.")
    assert records(store) == []
    [row] = lines(store, "prm800k")
    assert row["label"]["finish_reason"] == "bad_problem"


@pytest.mark.parametrize("first", ["doubt", "convincing"])
def test_what_comes_first_is_queued_first_and_alternatives_not_at_all(first: First, store: Store):
    convincing = with_scores(rated_chain(1), 0.9, 0.8, 0.9)
    doubted = with_scores(rated_chain(2), 0.9, 0.5, 0.1)
    given = [convincing, doubted, replace(OTHER, meta={"is_alternative": True})]
    with store.writing() as connection:
        assert queue_chains(connection, given, first=first) == (2, 0, 1)
        assert queue_chains(connection, given, first=first) == (0, 2, 1)
        queued = [one.record for one in all_chains(connection)]
    in_order = {"doubt": [doubted, convincing], "convincing": [convincing, doubted]}
    assert queued == in_order[first]


def test_gold_needs_labels(store: Store):
    given = [with_labels(CHAIN, 1, 0, None), OTHER]
    with pytest.raises(RungError, match="chain 2 has no labels"), store.writing() as connection:
        queue_gold(connection, given, "gold.jsonl")


def test_gold_items_tell_how_a_person_rates_and_keep_their_own_labels(store: Store):
    [ann] = team(store, "ann", chains=[])
    gold = with_labels(CHAIN, 1, 0, None)
    with store.writing() as connection:
        queue_gold(connection, [gold], "gold.jsonl")
    give(store, ann.person, gold_every=1)
    ann.rate_and_submit(CHAIN, 1, 1, -1)
    [person] = status(store).people
    assert (person.gold.num_chains, person.gold.num_steps, person.gold.same) == (1, 2, 1)
    [record] = records(store)
    assert labels(record) == (1.0, 0.0, None)
    assert labels(record, "human:ann") == (1.0, 1.0, 0.0)


def test_disagreements_are_settled_by_somebody_else(store: Store):
    ann, bob, lead = team(store, "ann", "bob", "lead")
    for rater, second in ((ann, 1), (bob, -1)):
        give(store, rater.person)
        rater.rate(CHAIN, 0, 1)
        rater.rate(CHAIN, 1, second)
    with store.writing() as connection:
        assert to_settle(connection, all_ratings(connection)) == [CHAIN.chain.prefix_id]
        assert take_to_settle(connection, lead.person, CHAIN.chain.prefix_id) is not None
        assert take_to_settle(connection, ann.person, CHAIN.chain.prefix_id) is None
    assert labels(records(store)[0]) == (1.0, None, None)
    lead.rate(CHAIN, 0, 1)
    lead.rate(CHAIN, 1, -1)
    lead.submit(CHAIN)
    assert labels(records(store)[0]) == (1.0, 0.0, None)
    found = status(store)
    assert (found.to_settle, found.settled) == (0, 1)


def test_the_status_counts_what_was_done_and_how_long_it_took(store: Store):
    chains = [rated_chain(k) for k in range(3)]
    ann, bob = team(store, "ann", "bob", chains=chains)
    give(store, ann.person, overlap=2)
    for step, took_ms in enumerate((1000, 3000, 5000)):
        ann.rate(chains[0], step, None if step == 2 else 1, took_ms=took_ms)
    ann.submit(chains[0])
    give(store, bob.person, overlap=2)
    bob.rate(chains[0], 0, 1)
    found = status(store, overlap=2)
    assert (found.chains, found.done, found.begun) == (3, 0, 1)
    assert (found.ratings, found.unsure) == (4, 1)
    assert found.finish_reasons == {"solution": 1}
    first, second = found.people
    assert (first.chains, first.steps, first.unsure, first.median_step_s) == (1, 3, 1, 3.0)
    assert (second.chains, second.steps, second.median_step_s) == (0, 1, None)
    assert status(store, overlap=1).done == 1


def test_alpha_is_told_by_week_and_without_whoever_settles(store: Store):
    """Two weeks, by the files' time stamps: one in which two agree, one in which they don't."""
    stamps = {1: "2024-01-03T10:00:00", 2: "2024-01-10T10:00:00"}
    said = {1: ((1.0, 0.0), (1.0, 0.0)), 2: ((1.0, 0.0), (0.0, 1.0))}
    for number, stamp in stamps.items():
        record = rated_chain(number, "a", "b")
        record = replace(record, meta={"timestamp": stamp})
        for name, own in zip(("ann", "bob"), said[number], strict=True):
            record = record.with_labels(StepLabels(own, f"human:{name}"))
        with store.writing() as connection:
            import_ratings(connection, [record])
    lead = Rater(store, somebody(store, "lead", "lead"))
    disputed = rated_chain(2, "a", "b")
    with store.writing() as connection:
        take_to_settle(connection, lead.person, disputed.chain.prefix_id)
    lead.rate_and_submit(disputed, 1, 1)
    found = status(store)
    weeks = {alpha.week: alpha for alpha in found.weeks}
    assert weeks["2024-W01"].alpha.value == pytest.approx(1.0)
    assert weeks["2024-W02"].alpha.value < 0
    assert found.alpha.num_steps == 4
    assert -0.2 < found.alpha.alpha.value < 0.3


def test_an_exported_row_can_be_read_as_a_rung_file(store: Store):
    [ann] = team(store, "ann")
    give(store, ann.person)
    ann.rate(CHAIN, 0, 1)
    with store.reading() as connection:
        [line] = export_lines(connection, "rung")
    assert decode_record(line).chain == CHAIN.chain
