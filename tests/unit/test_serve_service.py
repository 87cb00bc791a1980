"""`rung serve` over HTTP: scores, sessions, searches and answers, and what it refuses."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from starlette.testclient import TestClient

from conftest import TinyReward
from rung import RungError
from rung.score import RewardScorer, load_scorer
from rung.search import SearchLog
from rung.serve.guard import Safety
from rung.serve.service import Capacity, Service
from rung.serve.serving import serving_app
from rung.serve.tokens import Caller
from serve_models import ROADS, SCORES, Gate, ServedPolicy, ServedScorer
from served import served
from toy_chains import toy_records

QUESTION = {"id": "p", "question": "Which way?"}
BEAM = {"search": "beam", "n": 4, "width": 2}


def chain(*texts: str) -> dict[str, Any]:
    return {"problem": QUESTION, "steps": [{"text": text} for text in texts]}


def client(service: Service, safety: Safety | None = None) -> TestClient:
    app = serving_app(service, safety)
    return TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False)


@contextmanager
def serving(scorer: Any = None, policy: Any = None, **capacity: Any) -> Iterator[TestClient]:
    scorers = [ServedScorer(SCORES) if scorer is None else scorer]
    with client(Service(scorers, policy, Capacity(**capacity))) as asks:
        yield asks


@pytest.fixture(scope="module")
def toy() -> Iterator[TestClient]:
    with serving(policy=ServedPolicy(ROADS)) as asks:
        yield asks


@pytest.fixture(scope="module")
def prm(tiny_reward: TinyReward) -> RewardScorer:
    return load_scorer(tiny_reward())


def message(answer: Any) -> str:
    return answer.json()["error"]["message"]


def test_scores_are_those_of_the_scorer(prm: RewardScorer):
    records = toy_records(5)
    chains = [msgspec.to_builtins(record.chain) for record in records]
    with serving(prm) as asks:
        answer = asks.post("/v1/score", json={"chains": chains, "aggregate": "min"}).json()
    alone = prm.score([record.chain for record in records])
    assert answer["model"] == prm.name and answer["weights_hash"] == prm.weights_hash
    for told, scores in zip(answer["results"], alone, strict=True):
        assert told["scores"] == pytest.approx(list(scores.scores), abs=1e-5)
        assert told["value"] == min(told["scores"])


def test_a_value_is_made_only_where_it_is_asked_for_and_can_be(toy: TestClient):
    plain = toy.post("/v1/score", json={"chains": [chain("left")]}).json()
    assert plain["results"] == [{"scores": [0.8], "value": None}]
    orm = ServedScorer({"left": 0.8}, name="orm", kind="orm", has_sessions=False)
    with serving(orm) as asks:
        refused = asks.post("/v1/sessions", json={"problem": QUESTION})
        assert "has no sessions" in message(refused) and refused.status_code == 400


def test_a_session_scores_steps_as_they_come(prm: RewardScorer):
    [record] = toy_records(1)
    with serving(prm) as asks:
        problem = msgspec.to_builtins(record.chain.problem)
        opened = asks.post("/v1/sessions", json={"problem": problem})
        assert opened.status_code == 201
        at, prefix, scores = f"/v1/sessions/{opened.json()['session']}", opened.json()["prefix"], []
        for step in record.chain.steps:
            body = {"steps": [{"prefix": prefix, "step": {"text": step.text}}]}
            [grown] = asks.post(f"{at}/extend", json=body).json()["steps"]
            prefix, scores = grown["id"], [*scores, grown["score"]]
            assert prefix == step.id
        [alone] = prm.score([record.chain])
        assert scores == pytest.approx(list(alone.scores), abs=1e-5)
        assert asks.post(f"{at}/drop", json={"prefixes": [prefix, "?"]}).json() == {"live": 4}
        gone = asks.post(f"{at}/extend", json={"steps": [{"prefix": prefix, "step": {"text": ""}}]})
        assert gone.status_code == 400 and "no live prefix" in message(gone)
        assert metric(asks, "rung_held_prefixes") == 4
        assert asks.delete(at).status_code == 204
        assert asks.delete(at).status_code == 404
        asks.post("/v1/score", json={"chains": [chain("left")]})  # behind the drop in the queue
        assert metric(asks, "rung_held_prefixes") == metric(asks, "rung_kept_tokens") == 0


def metric(asks: TestClient, name: str) -> float:
    lines = asks.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def test_idle_sessions_end_and_their_number_is_bounded():
    now_s = [0.0]
    service = Service([ServedScorer(SCORES)], None, Capacity(max_sessions=2, session_idle_s=10))
    service.sessions.clock = lambda: now_s[0]
    with client(service) as asks:
        first, second = (
            asks.post("/v1/sessions", json={"problem": QUESTION}).json()["session"] for _ in "ab"
        )
        full = asks.post("/v1/sessions", json={"problem": QUESTION})
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert message(full).startswith("2 sessions are open")
        now_s[0] = 9.0
        asks.post(f"/v1/sessions/{second}/drop", json={"prefixes": []})
        now_s[0] = 11.0
        assert asks.post("/v1/sessions", json={"problem": QUESTION}).status_code == 201
        assert asks.delete(f"/v1/sessions/{first}").status_code == 404
        assert asks.delete(f"/v1/sessions/{second}").status_code == 204


def test_a_session_is_its_owners_alone():
    owners = {"a": Caller("eva"), "b": Caller("bob")}

    async def find(hashed: str) -> Caller | None:
        return owners.get(hashed[0])

    safety = Safety(find=find)
    with client(Service([ServedScorer(SCORES)]), safety) as asks:
        eva, bob = (bearer(initial) for initial in "ab")
        opened = asks.post("/v1/sessions", json={"problem": QUESTION}, headers=eva).json()
        at = f"/v1/sessions/{opened['session']}"
        assert asks.delete(at, headers=bob).status_code == 404
        assert asks.delete(at, headers=eva).status_code == 204


def bearer(initial: str) -> dict[str, str]:
    from rung.serve.tokens import hash_of

    token = next(t for t in map(str, range(1000)) if hash_of(t).startswith(initial))
    return {"Authorization": f"Bearer {token}"}


def ask(asks: TestClient, **more: Any) -> Any:
    messages = [{"role": "user", "content": "Which way?"}]
    return asks.post("/v1/chat/completions", json={"model": "tree", "messages": messages, **more})


def chunks(answer: Any) -> list[Any]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def content(told: list[Any]) -> str:
    deltas = (one["choices"][0]["delta"] for one in told if one["choices"])
    return "".join(delta.get("content", "") for delta in deltas)


def test_without_a_search_one_chain_is_written(toy: TestClient):
    answer = ask(toy, seed=0).json()
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "left\nno"}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    found = answer["rung"]
    assert (found["search"], found["scorer"], found["value"]) == ("one", None, None)
    assert (found["tokens_sampled"], found["tokens_scored"]) == (2, 0)


def test_a_search_finds_the_best_chain_and_counts_all_it_took(toy: TestClient):
    answer = ask(toy, rung=BEAM).json()
    assert answer["choices"][0]["message"]["content"] == "right\nyes"
    found = answer["rung"]
    assert found["steps"] == [{"text": "right", "score": 0.7}, {"text": "yes", "score": 0.9}]
    assert (found["value"], found["answer"], found["scorer"]) == (0.7, "yes", "table")
    assert found["tokens_sampled"] == answer["usage"]["completion_tokens"] == found["calls"] > 4
    assert 0 < found["tokens_scored"] <= found["tokens_sampled"]
    # they are released behind the answer, on the scorer's thread
    until(lambda: metric(toy, "rung_held_prefixes") == 0)


def test_one_chain_is_streamed_step_by_step_with_its_scores(toy: TestClient):
    for scorer, scores in (("table", [0.7, 0.9]), (None, [None, None])):
        with serving(policy=ServedPolicy({"": ["right"], "right": ["yes"]})) as asks:
            told = chunks(ask(asks, stream=True, rung={"scorer": scorer}))
        steps = [one["rung"] for one in told[1:-1]]
        assert steps == [
            {"event": "chosen", "step": k, "score": score} for k, score in enumerate(scores)
        ]
        assert content(told) == "right\nyes"
        assert told[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_search_is_streamed_with_its_events_and_then_the_chosen_chain(toy: TestClient):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    told = chunks(ask(toy, rung=BEAM, **options))
    events = [one["rung"]["event"] for one in told[1:-2]]
    assert events[:2] == ["sampled", "scored"]
    assert events[-3:] == ["ended", "chosen", "chosen"]
    assert content(told) == "right\nyes"
    assert told[-2]["rung"]["value"] == 0.7
    assert told[-1]["choices"] == [] and told[-1]["usage"]["prompt_tokens"] == 2


def test_max_tokens_cut_one_chain_off(toy: TestClient):
    for rung in ({}, {"scorer": "table"}):
        answer = ask(toy, rung=rung, max_tokens=1).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 1


def test_budgets_end_a_search_and_the_server_has_one_too():
    with serving(policy=ServedPolicy(ROADS), max_search_tokens=3) as asks:
        assert ask(asks, rung=BEAM, max_tokens=1).json()["rung"]["reason"] == "tokens"
        told = ask(asks, rung={**BEAM, "budget": {"calls": 2}}, max_tokens=1).json()["rung"]
        assert told["calls"] <= 2


def test_asking_again_draws_anew_and_a_seed_draws_the_same():
    policy = ServedPolicy(ROADS)
    service = Service([ServedScorer(SCORES)], policy)
    with client(service) as asks:
        ask(asks), ask(asks)
        assert ask(asks, seed=7).status_code == 200
    from rung import Problem

    assert service.next_seed(Problem("x", "Which way?")) == 2


def test_a_live_search_tells_a_log_that_can_be_gone_on_with(toy: TestClient, tmp_path: Path):
    answer = toy.post("/v1/search", json={"problem": QUESTION, "rung": BEAM})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [piece.split("\n") for piece in answer.text.strip().split("\n\n")]
    names = [name.removeprefix("event: ") for name, _ in told]
    assert names[0] == "begun" and names[-2:] == ["ended", "result"]
    data = [line.removeprefix("data: ") for _, line in told]
    result = json.loads(data[-1])
    assert result["chosen"]["chain"]["answer"] == "yes" and result["is_finished"]
    log = tmp_path / "log.events"
    log.write_text("".join(f"{line}\n" for line in data[:-1]))
    with SearchLog.open(log, json.loads(data[0])["search_of"]) as read:
        assert len(read.sampled) == names.count("sampled")
        assert len(read.scored) == names.count("scored")


def test_models_and_metrics_say_what_there_is(toy: TestClient):
    models = toy.get("/v1/models").json()
    assert [(m["id"], m["kind"]) for m in models["data"]] == [("tree", "policy"), ("table", "prm")]
    assert toy.get("/v1/models/table").json()["has_sessions"] is True
    assert toy.get("/v1/models/none").status_code == 404
    text = toy.get("/metrics").text
    assert 'rung_requests_total{route="/v1/models",status="200"}' in text
    assert 'rung_requests_total{route="/v1/models/{name:path}",status="404"} 1.0' in text


def refusals() -> list[tuple[str, Any, int, str]]:
    score, search, chat = "/v1/score", "/v1/search", "/v1/chat/completions"
    hello = [{"role": "user", "content": "hello"}]
    long = [chain("x" * 70_000)]
    wrong_id = {"problem": QUESTION, "steps": [{"text": "a", "id": "b"}]}
    said = {"role": "assistant", "content": "hi"}
    return [
        (score, {"chains": []}, 400, "chains: Tuple should have at least 1 item"),
        (score, {"chains": [chain()]}, 400, "chains.0: the chain has no steps"),
        (score, {"chains": long}, 400, "step 0 has 70000 characters"),
        (score, {"chains": [wrong_id]}, 400, "its prefix hashes to"),
        (score, {"chains": [chain("a")], "model": "none"}, 404, "there is no scorer 'none'"),
        (score, {"chains": [chain("a")], "aggregate": "best"}, 400, "aggregate: Input should be"),
        (score, {"chains": [chain("fails")]}, 400, "this step fails"),
        (score, {"chains": [chain("breaks")]}, 500, "the server failed"),
        (search, {"problem": QUESTION, "rung": {"search": "no"}}, 400, "there is no search 'no'"),
        (search, {"problem": QUESTION, "rung": {"n": 0}}, 400, "rung.n: Input should be"),
        (search, {"problem": QUESTION, "temperature": -1}, 400, "temperature: "),
        (chat, {"model": "gpt", "messages": hello}, 404, "there is no policy 'gpt'; there is tree"),
        (chat, {"model": "tree", "messages": [said]}, 400, "an assistant's turn"),
        (
            chat,
            {"model": "tree", "messages": [{**said, "role": "user", "content": " "}]},
            400,
            "text",
        ),
        (chat, {"model": "tree", "messages": hello, "n": 2}, 400, "n: Input should be 1"),
        (
            chat,
            {"model": "tree", "messages": hello, "stop": "x"},
            400,
            "stop: Input should be None",
        ),
        ("/pooling", {"input": [1]}, 400, "table has no logits here"),
    ]


@pytest.mark.parametrize(("path", "body", "status", "said"), refusals())
def test_what_cannot_be_done_is_one_sentence(
    toy: TestClient, path: str, body: Any, status: int, said: str
):
    answer = toy.post(path, json=body)
    assert answer.status_code == status and said in message(answer)
    assert "\n" not in message(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"chains":' * 2000,
        b'{"chains": ' + b"9" * 5000 + b"}",
        b'{"chains": [{"problem": {"id": "\\ud800", "question": "q"}, "steps": []}]}',
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_no_json_is_refused(toy: TestClient, body: bytes):
    answer = toy.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and message(answer)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(toy: TestClient, number: str):
    rung = f'{{"search": "abort", "below": {number}}}'
    text = f'{{"problem": {json.dumps(QUESTION)}, "temperature": 1, "rung": {rung}}}'
    answer = toy.post("/v1/search", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "below" in message(answer)


def test_what_a_model_wrote_comes_back_as_data():
    script = "<script>alert(1)</script>"
    with serving(policy=ServedPolicy({"": [script]})) as asks:
        answer = ask(asks)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["choices"][0]["message"]["content"] == script
        refused = asks.post("/v1/score", json={"chains": [chain("a")], "model": script})
        assert refused.headers["content-type"] == "application/json"


def test_services_need_models_with_names_that_differ():
    scorer = ServedScorer(SCORES)
    for scorers in ([], [scorer, scorer]):
        with pytest.raises(RungError, match="names that differ"):
            Service(scorers)
    with pytest.raises(RungError, match="--max-sessions must be above 0"):
        Capacity(max_sessions=0)


def test_a_service_without_a_policy_says_so():
    with serving() as asks:
        assert "without --policy" in message(asks.post("/v1/search", json={"problem": QUESTION}))
        assert "there is none" in message(ask(asks))


def test_a_search_that_breaks_is_an_error_and_one_in_a_stream_an_event():
    scorer = ServedScorer(SCORES)
    with serving(scorer, ServedPolicy({"": ["fails"]})) as asks:
        assert message(ask(asks, rung=BEAM)) == "this step fails"
        answer = ask(asks, rung=BEAM, stream=True)
        assert 'event: error\ndata: {"error":{"message":"this step fails"' in answer.text
        assert "[DONE]" not in answer.text


class Call:
    """A request on a connection of its own, whose answer is not waited for."""

    def __init__(self, url: str, path: str, body: Any) -> None:
        self.line = HTTPConnection(urlsplit(url).netloc, timeout=60)
        headers = {"Content-Type": "application/json"}
        self.line.request("POST", path, json.dumps(body), headers)

    def answer(self) -> Any:
        try:
            return json.loads(self.line.getresponse().read())
        finally:
            self.line.close()


def until(true: Any) -> None:
    end_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def test_a_full_queue_refuses_and_a_client_that_goes_away_frees_its_place():
    scorer = ServedScorer(SCORES, gate=Gate())
    service = Service([scorer], None, Capacity(max_waiting=1))
    worker = service.scorers["table"].worker
    with served(serving_app(service)) as url:
        first = Call(url, "/v1/score", {"chains": [chain("left")]})
        assert scorer.gate is not None and scorer.gate.reached.wait(timeout=60)
        second = Call(url, "/v1/score", {"chains": [chain("no")]})
        until(lambda: worker.waiting == 1)
        full = Call(url, "/v1/score", {"chains": [chain("yes")]}).answer()
        assert full["error"]["code"] == 503
        second.line.close()
        until(lambda: worker.waiting == 0)
        third = Call(url, "/v1/score", {"chains": [chain("yes")]})
        until(lambda: worker.waiting == 1)
        scorer.gate.opened.set()
        assert first.answer()["results"][0]["scores"] == [0.8]
        assert third.answer()["results"][0]["scores"] == [0.9]
    assert scorer.calls == [["left"], ["yes"]]  # the second was never scored


def test_a_search_whose_client_goes_away_ends_and_frees_its_place():
    policy = ServedPolicy(ROADS, gate=Gate())
    scorer = ServedScorer(SCORES)
    service = Service([scorer], policy, Capacity(max_searches=1))
    body = {"problem": QUESTION, "rung": BEAM}
    with served(serving_app(service)) as url:
        call = Call(url, "/v1/search", body)
        assert policy.gate is not None and policy.gate.reached.wait(timeout=60)
        full = Call(url, "/v1/search", body).answer()
        assert full["error"]["message"] == "1 searches run already"
        call.line.close()
        gone = b'rung_requests_total{route="/v1/search",status="499"} 1.0'
        until(lambda: gone in service.metrics.text())
        policy.gate.opened.set()
        until(lambda: service._num_searches == 0)  # pyright: ignore
        until(lambda: not service.scorers["table"].worker.waiting)
    assert not scorer.calls and service.scorers["table"].held_prefixes == 0


def test_a_silent_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rung.serve.answers.PING_S", 0.01)
    gate, scorer = Gate(), ServedScorer(SCORES)
    scorer.gate = gate
    service = Service([scorer], ServedPolicy(ROADS))
    with served(serving_app(service)) as url:
        call = Call(url, "/v1/search", {"problem": QUESTION, "rung": BEAM})
        answer = call.line.getresponse()
        lines = iter(answer.readline, b"")
        assert b": still here\n" in lines  # while the scorer is busy
        gate.opened.set()
        assert b"event: result\n" in lines
        call.line.close()


def listens(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_graceful_stop_finishes_what_has_begun():
    scorer = ServedScorer(SCORES, gate=Gate())
    gate = scorer.gate
    assert gate is not None

    def open_gate(url: str) -> None:
        until(lambda: not listens(url))
        gate.opened.set()

    with ThreadPoolExecutor(1) as pool, served(serving_app(Service([scorer]))) as url:
        call = Call(url, "/v1/score", {"chains": [chain("left")]})
        assert gate.reached.wait(timeout=60)
        opening = pool.submit(open_gate, url)
    opening.result(timeout=60)
    assert call.answer()["results"][0]["scores"] == [0.8]
