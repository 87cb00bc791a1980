"""Requests that nobody thought of, made from the viewer's own document: none is a 5xx."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from rung.serve.app import create_app
from rung.serve.view.library import Library
from rung.serve.view.routes import view_routes
from served import served
from view_runs import write_runs


def described() -> Any:
    return schemathesis.openapi.from_dict(create_app(view_routes(None)).openapi())


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server's address, and a file of each kind that it has, with its run."""
    library = Library(write_runs(tmp_path_factory.mktemp("runs")))
    runs = library.runs().runs
    known = {file.kind: {"run": run.id, "file": file.id} for run in runs for file in run.files}
    with served(create_app(view_routes(library))) as url:
        yield url, list(known.values())


@described().parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_viewer_fail(case: schemathesis.Case, viewed: Any):
    url, known = viewed
    response = case.call_and_validate(base_url=url, checks=[not_a_server_error])
    assert response.status_code < 500
    for real in known:  # a file of another kind than the route's, a page that is not there
        for name in set(real) & set(case.path_parameters):
            case.path_parameters[name] = real[name]
        response = case.call_and_validate(base_url=url, checks=[not_a_server_error])
        assert response.status_code < 500
