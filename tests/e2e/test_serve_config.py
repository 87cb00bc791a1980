"""`rung serve-config`, and `rung score` by a server, as a person uses them."""

import json
import shlex
import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import TinyReward
from rung import ChainRecord, read_records, write_records
from rung.cli.main import main
from rung.score import load_scorer
from toy_chains import toy_records
from vllm_stand_in import Reply, logits_by, stand_in


def test_the_line_says_all_that_the_server_needs(
    tiny_reward: TinyReward, capsys: pytest.CaptureFixture[str]
):
    folder = tiny_reward()
    assert main(["serve-config", str(folder)]) == 0
    line = capsys.readouterr().out
    assert main(["serve-config", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert line == said["command"] + "\n"
    assert shlex.split(line) == ["vllm", "serve", str(folder), *said["arguments"]]
    options = dict(zip(said["arguments"][::2], said["arguments"][1::2], strict=True))
    tokenizer = load_scorer(folder).reader.tokenizer
    assert json.loads(options.pop("--pooler-config")) == {
        "task": "token_classify",
        "tok_pooling_type": "STEP",
        "step_tag_id": tokenizer.encode("\n")[-1],
        "use_activation": False,
    }
    assert options == {
        "--served-model-name": "prm",
        "--runner": "pooling",
        "--convert": "classify",
        "--dtype": "bfloat16",
    }


@pytest.mark.parametrize(("files", "words"), [((), "no such folder"), (("a",), "lacks config")])
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: tuple[str, ...], words: str
):
    for name in files:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / name).touch()
    assert main(["serve-config", str(tmp_path / "model")]) == 2
    assert words in capsys.readouterr().err


def test_a_server_scores_chains(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, records = tiny_reward(), toy_records(12)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(source, records)
    with stand_in(logits_by(folder, tag=None)) as server:
        argv = ["score", str(source), "--scorer", f"far={folder}@{server.url}", "--out", str(out)]
        assert main([*argv, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["scorers"][0]
    assert (said["scorer"], said["kind"], said["weights_hash"]) == ("far", "prm", None)
    scored: list[ChainRecord] = list(read_records(out))
    near = load_scorer(folder).score([record.chain for record in records])
    for record, one in zip(scored, near, strict=True):
        assert record.scores[0].scores == pytest.approx(one.scores, abs=1e-5)


def test_a_run_that_a_server_failed_goes_on_where_it_stopped(
    tiny_reward: TinyReward,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    clock = SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic)
    monkeypatch.setattr("rung.core.http.time", clock)
    folder, (source, out) = tiny_reward(), (tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    write_records(source, toy_records(260))  # a whole window, and a few more
    good, is_up = logits_by(folder, tag=None), Event()

    def reply(body: Any, number: int) -> Reply:
        works = number <= 32 or is_up.is_set()
        return good(body, number) if works else Reply(b"out of memory", 503)

    with stand_in(reply) as server:
        argv = ["score", str(source), "--scorer", f"{folder}@{server.url}", "--out", str(out)]
        assert main(argv) == 2
        assert "the server fails with 503: out of memory (6 attempts)" in capsys.readouterr().err
        assert not out.exists()
        is_up.set()
        assert main(argv) == 0
    assert "going on after the 256 rows" in capsys.readouterr().err
    assert len([record.scores[0] for record in read_records(out)]) == 260


def test_a_server_that_is_not_there_leaves_nothing_behind(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = tmp_path / "in.jsonl"
    write_records(source, toy_records(2))
    place = f"{tiny_reward()}@http://127.0.0.1:9"
    assert main(["score", str(source), "--scorer", place, "--out", str(tmp_path / "o.jsonl")]) == 2
    assert "http://127.0.0.1:9: no server answers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
