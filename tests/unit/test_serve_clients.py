"""Clients that others wrote ask a server of rung: openai's, vLLM's shapes, and schemathesis."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from starlette.testclient import TestClient

from conftest import TinyReward
from rung.score import load_scorer, remote_scorer
from rung.serve.app import create_app
from rung.serve.guard import Safety
from rung.serve.service import Capacity, Service
from rung.serve.serving import PARTS, serving_app
from rung.serve.tokens import admin_by, new_token
from serve_models import ROADS, SCORES, ServedPolicy, ServedScorer
from served import served
from tiny_lms import LLAMA3_TEMPLATE
from toy_chains import toy_records
from vllm_stand_in import RECORDED

TOKEN = new_token()
BEAM = {"search": "beam", "n": 4, "width": 2}
MESSAGES: Any = [
    {"role": "system", "content": "Think."},
    {"role": "user", "content": [{"type": "text", "text": "Which way?"}]},
]


@pytest.fixture(scope="module")
def ask() -> Iterator[openai.OpenAI]:
    service = Service([ServedScorer(SCORES)], ServedPolicy(ROADS))
    app = serving_app(service, Safety(find=admin_by(TOKEN)))
    with served(app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN) as client:
        yield client


def test_openai_lists_the_models(ask: openai.OpenAI):
    assert [model.id for model in ask.models.list()] == ["tree", "table"]
    assert ask.models.retrieve("table").owned_by == "rung"


def test_openai_gets_a_searched_answer(ask: openai.OpenAI):
    answer = ask.chat.completions.create(model="tree", messages=MESSAGES, extra_body={"rung": BEAM})
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("right\nyes", "stop")
    assert answer.usage is not None and answer.usage.prompt_tokens == 3
    assert answer.model_extra is not None and answer.model_extra["rung"]["value"] == 0.7


@pytest.mark.parametrize("rung", [BEAM, {"scorer": "table"}, {}])
def test_openai_streams_an_answer(ask: openai.OpenAI, rung: Any):
    text, usage, told = "", None, []
    stream = ask.chat.completions.create(
        model="tree",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"rung": rung},
    )
    for chunk in stream:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
        told.append((chunk.model_extra or {}).get("rung", {}))
    assert text in ("right\nyes", "right\nno", "left\nno", "left\nmaybe")
    assert usage is not None and usage.completion_tokens >= 2
    chosen = [one["score"] for one in told if one.get("event") == "chosen"]
    scores = [SCORES[step] for step in text.split("\n")] if rung else [None, None]
    assert chosen == scores


def test_openai_raises_its_own_errors(ask: openai.OpenAI):
    create = ask.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="there is no policy 'gpt'"):
        create(model="gpt", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="n: Input should be 1"):
        create(model="tree", messages=MESSAGES, n=2)
    with pytest.raises(openai.BadRequestError, match="there is no search 'no'"):
        create(model="tree", messages=MESSAGES, stream=True, extra_body={"rung": {"search": "no"}})
    with pytest.raises(openai.AuthenticationError):
        ask.with_options(api_key=new_token()).models.list()


def test_our_own_remote_scorer_reads_a_server_of_rung(tiny_reward: TinyReward):
    folder, chains = tiny_reward(), [record.chain for record in toy_records(8)]
    scorer = load_scorer(folder)
    with served(serving_app(Service([scorer]))) as url:
        far = remote_scorer(folder, url).score(chains)
    for one, alone in zip(far, scorer.score(chains), strict=True):
        assert one.scores == pytest.approx(alone.scores, abs=1e-5)


@pytest.fixture(scope="module")
def pooling(tiny_reward: TinyReward) -> Iterator[TestClient]:
    scorer = load_scorer(tiny_reward(), name="prm")
    scorer.reader.tokenizer.chat_template = LLAMA3_TEMPLATE
    with TestClient(serving_app(Service([scorer])), base_url="http://localhost") as client:
        yield client


def test_pooling_answers_in_vllms_shape(pooling: TestClient):
    body = {"model": "prm", "input": [[1, 2, 3], [4]], "task": "token_classify"}
    answer = pooling.post("/pooling", json={**body, "use_activation": False}).json()
    assert shape(answer) == shape(RECORDED["step"])
    assert [len(one["data"]) for one in answer["data"]] == [3, 1]
    assert answer["usage"]["prompt_tokens"] == 4
    alone = pooling.post("/pooling", json={"input": [1, 2, 3], "use_activation": False}).json()
    assert np.allclose(alone["data"][0]["data"], answer["data"][0]["data"], atol=1e-5)
    likely = pooling.post("/pooling", json={"input": [1, 2, 3]}).json()["data"][0]["data"]
    assert np.allclose(likely, 1 / (1 + np.exp(-np.array(alone["data"][0]["data"]))), atol=1e-6)


def shape(answer: Any) -> Any:
    """Names and types; of a list those of its first element."""
    if isinstance(answer, dict):
        return {name: shape(value) for name, value in answer.items()}
    return [shape(answer[0])] if isinstance(answer, list) else type(answer)


def test_pooling_reads_text_and_conversations(pooling: TestClient):
    texts = pooling.post("/pooling", json={"input": ["We add", "two"]}).json()["data"]
    one = pooling.post("/pooling", json={"input": "We add"}).json()["data"]
    assert np.allclose(one[0]["data"], texts[0]["data"], atol=1e-5)
    turns = [{"role": "user", "content": "We add"}, {"role": "assistant", "content": "two"}]
    told = pooling.post("/pooling", json={"messages": turns}).json()
    assert len(told["data"][0]["data"]) == told["usage"]["prompt_tokens"] > 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "expected either input or messages"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [10**9]}, "the input has the token 1000000000"),
        ({"input": [-1]}, "the input has the token -1"),
        ({"input": [1] * 1000}, "the input has 1000 tokens, expected 1 to"),
        ({"input": [1], "task": "embed"}, "task: Input should be 'token_classify'"),
        ({"input": [1], "encoding_format": "base64"}, "encoding_format: Input should be 'float'"),
        ({"input": ""}, "the input has 0 tokens"),
    ],
)
def test_pooling_refuses_in_one_sentence(pooling: TestClient, body: Any, said: str):
    answer = pooling.post("/pooling", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def toy_url() -> Iterator[str]:
    capacity = Capacity(max_sessions=10**6, max_searches=1000)
    with served(serving_app(Service([ServedScorer(SCORES)], ServedPolicy(ROADS), capacity))) as url:
        yield url


def described() -> Any:
    """The document of `rung serve` alone."""
    return schemathesis.openapi.from_dict(create_app(*PARTS).openapi())


@described().parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_server_fail(case: schemathesis.Case, toy_url: str):
    response = case.call_and_validate(base_url=toy_url, checks=[not_a_server_error])
    assert response.status_code < 500


def test_the_document_knows_every_route_and_what_it_refuses(tmp_path: Path):
    from rung.serve.openapi import document

    told = document()
    for path in ("/v1/score", "/v1/sessions/{session}/extend", "/pooling", "/v1/search"):
        [operation] = told["paths"][path].values()
        assert {"4XX", "5XX"} <= set(operation["responses"])
    schemas = told["components"]["schemas"]
    assert schemas["Options"]["properties"]["search"]["enum"][0] == "one"
    assert json.dumps(told)
