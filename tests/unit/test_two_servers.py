"""Several servers on one PostgreSQL: nothing lost, nothing doubled, k people a chain."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from rating import rated_chain
from rung.label.rating_queue import queue_chains
from rung.serve.annotate import annotate
from rung.serve.annotate_desk import RatingDesk
from rung.serve.app import create_app
from rung.serve.guard import Safety
from rung.serve.tokens import hash_of
from rung.store.claims import Sharing, all_claims
from rung.store.events import all_events
from rung.store.opening import Store, open_store
from rung.store.people import add_person, remove_person

PEOPLE = ("ann", "bob", "chris", "dora")
CHAINS, OVERLAP = 6, 2


@pytest.fixture
def stores(new_postgres: Callable[[], str]) -> Iterator[tuple[Store, Store]]:
    """Two servers' stores: each with connections and a memory of its own."""
    place = new_postgres()
    with ExitStack() as stack:
        first, second = (stack.enter_context(open_store(place)) for _ in range(2))
        with first.writing() as connection:
            queue_chains(connection, map(rated_chain, range(CHAINS)))
            for name in PEOPLE:
                add_person(connection, name, "rater", hash_of(f"token of {name}"))
        yield first, second


class Person:
    """Asks the servers in turn, and sends every event to both at once."""

    def __init__(self, name: str, servers: list[TestClient]) -> None:
        self.name, self.servers, self.asked = name, servers, len(name)
        self.headers = {"Authorization": f"Bearer token of {name}"}
        self.sent: dict[str, str] = {}

    def work(self) -> None:
        with ThreadPoolExecutor(len(self.servers)) as both:
            while (task := self.next()) is not None:
                step = task["steps"][0]["id"]
                self.send(both, task["chain"], {"kind": "rate", "step": step, "rating": -1})
                self.send(both, task["chain"], {"kind": "submit"})

    def next(self) -> dict | None:
        self.asked += 1
        server = self.servers[self.asked % len(self.servers)]
        return server.post("/v1/annotate/next", json={}, headers=self.headers).json()["task"]

    def send(self, both: ThreadPoolExecutor, chain: str, event: dict) -> None:
        key = f"{self.name} {len(self.sent)}"
        body = {"events": [{"key": key, "chain": chain, **event}]}

        def post(server: TestClient) -> str:
            said = server.post("/v1/annotate/events", json=body, headers=self.headers).json()
            return said["answers"][0]["status"]

        assert sorted(both.map(post, self.servers)) == ["known", "saved"]
        self.sent[key] = chain


def client(store: Store) -> TestClient:
    desk = RatingDesk(store=store, sharing=Sharing(overlap=OVERLAP, gold_every=0))
    app = create_app(annotate, safety=Safety(find=desk.find))
    app.state.rating_desk = desk
    return TestClient(app, "http://localhost")


def test_people_who_go_from_one_server_to_the_other_lose_and_double_nothing(
    stores: tuple[Store, Store],
):
    people = [Person(name, [client(store) for store in stores]) for name in PEOPLE]
    with ThreadPoolExecutor(len(people)) as pool:
        for done in [pool.submit(person.work) for person in people]:
            done.result()
    with stores[0].reading() as connection:
        kept = list(all_events(connection))
        claims = all_claims(connection)
    sent = {key: chain for person in people for key, chain in person.sent.items()}
    assert len(sent) == 2 * CHAINS * OVERLAP
    assert Counter((one.event.key, one.event.chain) for one in kept) == Counter(sent.items())
    rated = Counter((one.person, one.event.step) for one in kept if one.event.kind == "rate")
    assert set(rated.values()) == {1}
    assert Counter(claim.chain for claim in claims) == {
        rated_chain(k).chain.prefix_id: OVERLAP for k in range(CHAINS)
    }
    assert all(claim.slot in range(OVERLAP) for claim in claims)


def test_what_one_server_learns_the_other_knows_at_once(stores: tuple[Store, Store]):
    first, second = (Person("ann", [client(store)]) for store in stores)
    task = first.next()
    assert task is not None
    assert second.next() == task
    with stores[0].writing() as connection:
        remove_person(connection, "ann")
    answer = second.servers[0].get("/v1/annotate/me", headers=second.headers)
    assert answer.status_code == 401
