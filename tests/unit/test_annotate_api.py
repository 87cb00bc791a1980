"""The rating API over HTTP: who may do what, and what hostile requests come to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rating import rated_chain, with_labels, with_scores
from rung.label.rating_queue import queue_chains, queue_gold
from rung.serve.annotate import annotate
from rung.serve.annotate_desk import RatingDesk
from rung.serve.app import create_app
from rung.serve.guard import Safety
from rung.serve.tokens import hash_of
from rung.store.claims import Sharing
from rung.store.events import all_events
from rung.store.opening import Store, open_store
from rung.store.people import add_person, remove_person

CHAIN = with_scores(rated_chain(1), 0.9, 0.8, 0.7)
ID = CHAIN.chain.prefix_id
STEPS = [step.id for step in CHAIN.chain.steps]


@pytest.fixture
def ratings(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "ratings.db") as store:
        with store.writing() as connection:
            queue_chains(connection, [CHAIN, rated_chain(2)])
            for name, role in (("ann", "rater"), ("bob", "rater"), ("chris", "lead")):
                add_person(connection, name, role, hash_of(f"token of {name}"))
        yield store


def client(store: Store, name: str | None, **settings) -> TestClient:
    desk = RatingDesk(store=store, **{"sharing": Sharing(gold_every=0), **settings})
    app = create_app(annotate, safety=Safety(find=desk.find))
    app.state.rating_desk = desk
    headers = {} if name is None else {"Authorization": f"Bearer token of {name}"}
    return TestClient(app, "http://localhost", headers=headers, raise_server_exceptions=False)


def begin(asks: TestClient) -> dict:
    return asks.post("/v1/annotate/next", json={}).json()["task"]


def send(asks: TestClient, *events: dict):
    full = [{"key": f"k{n}", "chain": ID, "kind": "rate", **e} for n, e in enumerate(events)]
    return asks.post("/v1/annotate/events", json={"events": full})


def count(store: Store) -> int:
    with store.reading() as connection:
        return len(list(all_events(connection)))


def test_a_task_says_what_is_to_be_rated_and_no_score_and_no_label(ratings: Store):
    task = begin(client(ratings, "ann"))
    assert (task["chain"], task["answer"]) == (ID, "7")
    assert [step["text"] for step in task["steps"]] == list(CHAIN.chain.texts)
    assert (task["has_scores"], task["scores"]) == (True, [])
    assert not {"labels", "outcome", "purpose_gold"} & set(task)


def test_the_reference_answer_and_scores_can_be_kept_from_people(ratings: Store):
    asks = client(ratings, "ann", shows_answer=False, offers_scores=False)
    task = begin(asks)
    assert (task["answer"], task["has_scores"]) == (None, False)
    refused = asks.post(f"/v1/annotate/chains/{ID}/scores", json={"key": "k"})
    assert refused.status_code == 400
    assert count(ratings) == 0


def test_scores_are_shown_on_request_and_that_is_kept(ratings: Store):
    asks = client(ratings, "ann")
    begin(asks)
    task = asks.post(f"/v1/annotate/chains/{ID}/scores", json={"key": "k"}).json()
    assert task["scores"] == [{"scorer": "prm", "scores": [0.9, 0.8, 0.7]}]
    with ratings.reading() as connection:
        assert [saved.event.kind for saved in all_events(connection)] == ["show_scores"]


def test_a_replayed_request_is_answered_alike_and_kept_once(ratings: Store):
    asks = client(ratings, "ann")
    begin(asks)
    event = {"step": STEPS[0], "rating": 1}
    first, again = (send(asks, event).json()["answers"] for _ in range(2))
    assert [first[0]["status"], again[0]["status"]] == ["saved", "known"]
    assert count(ratings) == 1


def test_nobody_touches_the_chain_of_another(ratings: Store):
    begin(client(ratings, "ann"))
    bob = client(ratings, "bob")
    assert send(bob, {"step": STEPS[0], "rating": 1}).json()["answers"][0]["status"] == "refused"
    assert bob.get(f"/v1/annotate/chains/{ID}").status_code == 404
    assert bob.post(f"/v1/annotate/chains/{ID}/scores", json={"key": "k"}).status_code == 404
    assert count(ratings) == 0


@pytest.mark.parametrize(("name", "status"), [(None, 401), ("eve", 401), ("ann", 403)])
def test_only_leads_see_the_team_settle_and_export(ratings: Store, name: str | None, status: int):
    asks = client(ratings, name)
    assert asks.get("/v1/annotate/status").status_code == status
    assert asks.get("/v1/annotate/export").status_code == status
    asked = asks.post("/v1/annotate/next", json={"purpose": "adjudicate"})
    assert asked.status_code == status


def test_a_removed_person_is_let_in_no_more(ratings: Store):
    asks = client(ratings, "ann")
    assert asks.get("/v1/annotate/me").status_code == 200
    with ratings.writing() as connection:
        remove_person(connection, "ann")
    assert asks.get("/v1/annotate/me").status_code == 401


def test_leads_export_while_people_work(ratings: Store):
    ann, chris = client(ratings, "ann"), client(ratings, "chris")
    begin(ann)
    send(ann, {"step": STEPS[0], "rating": 1})
    [line] = chris.get("/v1/annotate/export").text.splitlines()
    assert json.loads(line)["record"]["labels"][0]["ratings"] == [1, None, None]
    assert chris.get("/v1/annotate/export?format=prm800k").text == ""
    assert chris.get("/v1/annotate/export?format=csv").status_code == 400


def test_me_counts_what_is_done_and_tells_of_gold_only_five_at_a_time(tmp_path: Path):
    with open_store(tmp_path / "gold.db") as store:
        gold = [with_labels(rated_chain(k, "Yes."), 1) for k in range(6)]
        with store.writing() as connection:
            queue_gold(connection, gold, "gold.jsonl")
            add_person(connection, "ann", "rater", hash_of("token of ann"))
        asks = client(store, "ann", sharing=Sharing(gold_every=1))
        told: list[object] = []
        for number in range(6):
            task = begin(asks)
            assert task["purpose"] == "rate"
            step = task["steps"][0]["id"]
            rate = {"key": f"r{number}", "chain": task["chain"], "step": step, "took_ms": 2000}
            rate["rating"] = -1 if number == 0 else 1
            submit = {"key": f"s{number}", "chain": task["chain"], "kind": "submit"}
            send(asks, rate, submit)
            told.append(asks.get("/v1/annotate/me").json()["gold"])
    five = {"num_chains": 5, "num_steps": 5, "same": 4}
    assert told == [None, None, None, None, five, five]


@pytest.mark.parametrize(
    "event",
    [
        {"key": ""},
        {"key": "x" * 1000},
        {"key": "a\x00b"},
        {"chain": "\x00"},
        {"kind": "delete"},
        {"rating": 2},
        {"rating": 0.5},
        {"took_ms": -1},
        {"took_ms": 10**30},
        {"at_ms": 1e400},
        {"kind": "write", "text": "x" * 10**5},
        {"kind": "submit", "finish": "solution"},
    ],
)
def test_an_event_that_is_none_is_refused_and_nothing_is_kept(ratings: Store, event: dict):
    asks = client(ratings, "ann")
    begin(asks)
    body = {"key": "k", "chain": ID, "kind": "rate", "step": STEPS[0], "rating": 1, **event}
    content = json.dumps({"events": [body]})
    headers = {"content-type": "application/json"}
    answer = asks.post("/v1/annotate/events", content=content, headers=headers)
    assert answer.status_code == 400
    assert count(ratings) == 0


def test_too_many_events_at_once_are_refused(ratings: Store):
    asks = client(ratings, "ann")
    begin(asks)
    assert send(asks, *({"step": STEPS[0], "rating": 1} for _ in range(201))).status_code == 400


@pytest.mark.parametrize("chain", ["' OR 1=1 --", "..%2f..%2fetc%2fpasswd", "%00", "x" * 5000])
def test_an_address_with_an_attack_in_it_is_just_unknown(ratings: Store, chain: str):
    answer = client(ratings, "ann").get(f"/v1/annotate/chains/{chain}")
    assert answer.status_code in (400, 404)


def test_another_site_cannot_rate_in_somebodys_name(ratings: Store):
    asks = client(ratings, "ann")
    begin(asks)
    asks.headers["Origin"] = "https://evil.example"
    assert send(asks, {"step": STEPS[0], "rating": 1}).status_code == 403
    assert count(ratings) == 0


def test_when_all_is_done_there_is_no_task(ratings: Store):
    asks = client(ratings, "ann")
    for number in range(2):
        task = begin(asks)
        give_up = {"key": f"g{number}", "chain": task["chain"], "kind": "submit"}
        send(asks, {**give_up, "finish": "give_up", "text": "I can't."})
    assert begin(asks) is None
    assert asks.get("/v1/annotate/me").json()["left"] == 0
