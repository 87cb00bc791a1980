"""`rung serve` over HTTP, on scorers and policies that are written by hand or tiny."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from conftest import TinyReward
from rung import Chain, Problem
from rung.score import load_scorer
from rung.serve.service import Capacity, Service
from rung.serve.serving import serving_app
from toy_chains import toy_records
from tree_policy import PROBLEM, Reader, TreePolicy

ROADS = {"": ["left", "right"], "left": ["no", "maybe"], "right": ["yes", "no"]}
SCORES = {"left": 0.8, "right": 0.7, "no": 0.1, "maybe": 0.3, "yes": 0.9}
CHAIN = {"problem": {"id": "p", "question": "Which way?"}, "steps": [{"text": "left"}]}


def table() -> Any:
    scorer: Any = Reader(SCORES)
    scorer.family, scorer.aggregation, scorer.fingerprint = "table", "min", []
    return scorer


def asks(service: Service) -> TestClient:
    return TestClient(
        serving_app(service), base_url="http://localhost:8000", raise_server_exceptions=False
    )


@pytest.fixture
def toy() -> Iterator[TestClient]:
    with asks(Service([table()], TreePolicy(ROADS))) as client:
        yield client


def test_score(toy):
    answer = toy.post("/v1/score", json={"chains": [CHAIN], "aggregate": "min"})
    print(answer.text)
    for path in ("/v1/models", "/v1/models/tree", "/health", "/metrics"):
        print(toy.get(path).text)
    body = {"model": "tree", "messages": [{"role": "user", "content": "Which way?"}]}
    print(toy.post("/v1/chat/completions", json=body).text)
    body["rung"] = {"search": "beam", "n": 4, "width": 2}
    print(toy.post("/v1/chat/completions", json=body).text)
    body["stream"] = True
    print(toy.post("/v1/chat/completions", json=body).text)
    body["rung"] = {"scorer": "table"}
    print(toy.post("/v1/chat/completions", json=body).text)
    print(
        toy.post(
            "/v1/search",
            json={
                "problem": {"id": "a", "question": "q"},
                "rung": {"search": "beam", "n": 4, "width": 2},
            },
        ).text
    )
    print(
        toy.post(
            "/v1/search",
            json={
                "problem": {"id": "a", "question": "q"},
                "rung": {"search": "bam", "n": 4, "width": 2},
            },
        ).text
    )
    print(toy.post("/v1/sessions", json={"problem": {"id": "a", "question": "q"}}).text)
