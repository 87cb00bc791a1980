"""`rung serve` as a person starts and stops it: in this process, which has torch already."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rung.cli.main import main
from rung.serve.running import Listening, bound

TOKEN = "a-token-that-is-long-enough"


def free_port() -> int:
    with bound(Listening(port=0)) as listener:
        return listener.getsockname()[1]


def serve(do: Callable[[int], None], *arguments: str, stop: int = signal.SIGTERM) -> int:
    """The verb's exit code; once it listens, `do` is called with its port, and then it is told to
    stop."""
    port, is_over, failures = free_port(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            wait_for(port, is_over)
            do(port)
        except BaseException as error:
            failures.append(error)
        if not is_over.is_set():
            os.kill(os.getpid(), stop)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        code = main(["serve", "--port", str(port), *arguments])
    finally:
        is_over.set()
        thread.join(timeout=60)
    assert not failures, failures
    return code


def wait_for(port: int, is_over: threading.Event) -> None:
    while not is_over.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
                line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                line.recv(1)  # a look whether the port is free, at the start, answers nothing
                return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("it did not start")


def ask(url: str, body: Any = None, token: str | None = None, **how: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=60, **how) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(
    tiny_prm: Path,
    tiny_lm: Path,
    stop: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def do(port: int) -> None:
        url = f"http://localhost:{port}/v1"
        assert [model["id"] for model in ask(f"{url}/models")["data"]] == ["lm", "prm"]
        messages = [{"role": "user", "content": "What is 3 + 4?"}]
        body = {"model": "lm", "messages": messages, "max_tokens": 8, "rung": {"scorer": "prm"}}
        answer = ask(f"{url}/chat/completions", body)
        found = answer["rung"]
        assert 0 < found["tokens_sampled"] <= 8 and answer["usage"]["prompt_tokens"] > 0
        assert all(0 < step["score"] < 1 for step in found["steps"])

    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    models = ["--scorer", str(tiny_prm), "--policy", str(tiny_lm)]
    assert serve(do, *models, "--json", stop=stop) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"models": ["lm", "prm"]}
    port = re.search(r"listens at http://localhost:(\d+)/v1/models", err)
    assert port is not None
    assert re.search(rf"ssh -L {port[1]}:localhost:{port[1]} \S+@10.0.0.2\n", err)
    assert "GET /v1/models 200" in err and err.endswith("stopped\n")


def test_a_token_is_asked_for_and_never_told(
    tiny_prm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def do(port: int) -> None:
        url = f"http://localhost:{port}/v1/models"
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{url}?token={TOKEN}")
        with refused.value:
            assert refused.value.code == 401
        assert ask(url, token=TOKEN)["data"]

    (tmp_path / "token").write_text(TOKEN)
    options = ["--token-file", str(tmp_path / "token")]
    assert serve(do, "--scorer", str(tiny_prm), *options) == 0
    err = capsys.readouterr().err
    assert "GET /v1/models 401" in err and TOKEN not in err


def test_tls_beyond_this_machine(
    tiny_prm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)

    def do(port: int) -> None:
        context = ssl.create_default_context(cafile=str(cert))
        url = f"https://localhost:{port}/v1/models"
        assert ask(url, token=TOKEN, context=context)["data"][0]["id"] == "prm"

    monkeypatch.setenv("RUNG_TOKEN", TOKEN)
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--host", "0.0.0.0"]
    assert serve(do, "--scorer", str(tiny_prm), *options) == 0
    assert "listens at https://0.0.0.0:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to serve: give --scorer FOLDER, --policy FOLDER, or both"),
        (["--scorer", "nosuch", "--port", "0"], "nosuch"),
        (["--scorer", "x", "--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines in: give"),
        (["--scorer", "x", "--port", "70000"], "--port is 70000, expected 0 to 65535"),
        (["--scorer", "x", "--rate", "0"], "the rate is 0.0 requests a second, expected above 0"),
        (["--scorer", "x", "--max-waiting", "0"], "--max-waiting must be above 0"),
        (["--scorer", "x", "--token-file", "nosuch"], "nosuch: the token can't be read"),
        (["--scorer", "x", "--tls-cert", "c"], "--tls-cert and --tls-key go together"),
        (["--scorer", "a=x", "--scorer", "a=y"], "two scorers are called 'a'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    if arguments and "--port" not in arguments:
        arguments = [*arguments, "--port", "0"]
    assert main(["serve", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", "--scorer", "x"]) == 2
    assert "pip install 'rung[serve]'" in capsys.readouterr().err
