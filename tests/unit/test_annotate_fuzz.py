"""Requests that nobody thought of, made from the rating API's own document: none is a 5xx."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from rating import rated_chain
from rung.label.rating_queue import queue_chains
from rung.serve.annotate import annotate
from rung.serve.annotate_desk import RatingDesk, local_name
from rung.serve.app import create_app
from rung.store.claims import Sharing
from rung.store.opening import open_store
from rung.store.people import add_person
from served import served


def described() -> Any:
    return schemathesis.openapi.from_dict(create_app(annotate).openapi())


@pytest.fixture(scope="module")
def rating_url(new_postgres: Callable[[], str]) -> Iterator[str]:
    """A server on PostgreSQL, the stricter of the two; everybody who asks leads."""
    place = new_postgres()
    with open_store(place) as store:
        with store.writing() as connection:
            queue_chains(connection, [rated_chain(k) for k in range(3)])
            add_person(connection, local_name(), "lead", None)
        app = create_app(annotate)
        app.state.rating_desk = RatingDesk(store=store, sharing=Sharing(gold_every=0))
        with served(app) as url:
            yield url


@described().parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_rating_server_fail(case: schemathesis.Case, rating_url: str):
    response = case.call_and_validate(base_url=rating_url, checks=[not_a_server_error])
    assert response.status_code < 500
