"""`--policy NAME@URL`: each verb with a policy on a server that works, fails, or is not there."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from openai_stand_in import END, policy
from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, read_records, write_records
from rung.generate.prompting import Written
from rung.generate.written_log import WrittenLog
from vllm_stand_in import Reply, StandIn, stand_in

VERBS = {
    "sample": ["sample", "--n", 6, "--max-tokens", 16],
    "search": ["search", "--n", 4, "--width", 2, "--max-tokens", 16],
    "rollout": ["label", "rollout", "--k", 4, "--fixed"],
    "omega": ["label", "omega", "--k", 4, "--fixed"],
}
Line = Callable[[str, str, Path], list[str]]
"""A verb's command line, for a server and an output."""


def script(prompt: str, seed: int) -> Sequence[str | None]:
    """A first step that differs by seed, then an answer that is right by chance."""
    first = [f"Say {seed}", ".", "\n"]
    return [*([] if "Say" in prompt else first), "The answer is", f" {seed % 3 + 3}", END]


@pytest.fixture
def line(tmp_path: Path, tiny_prm: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr("rung.core.http.LONGEST_WAIT_S", 0.0)
    chains = tmp_path / "chains.jsonl"
    problems = [Problem(str(k), f"What is 3 + {k}?", str(3 + k)) for k in range(3)]
    wrong = [Chain.of(problem, ["Say so.", "The answer is 99"]) for problem in problems]
    write_records(chains, map(ChainRecord, wrong))

    def make(verb: str, url: str, out: Path) -> list[str]:
        scorer = ["--scorer", tiny_prm] if verb == "search" else []
        where = [chains, "--policy", f"m@{url}/v1", *scorer, "--out", out, "--json"]
        words = VERBS[verb]
        names = 2 if words[0] == "label" else 1
        return list(map(str, [*words[:names], *where, *words[names:]]))

    return make


def asked_for(server: StandIn) -> list[str]:
    return sorted(json.dumps(asked.body, sort_keys=True) for asked in server.asked)


def unfinished(folder: Path) -> list[Path]:
    """What a run keeps beside its output until it ends well."""
    return [path for path in folder.glob(".*") if path.suffix != ".made"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_servers_policy_is_sampled_and_a_finished_run_is_free(
    verb: str,
    line: Line,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    out = tmp_path / "out.jsonl"
    with stand_in(policy(script)) as server:
        command = [*line(verb, server.url, out), "--key-env", "SOME_KEY"]
        assert main(command) == 0
        first = len(server.asked)
        capsys.readouterr()
        if verb != "sample":  # which writes its chains anew, as with a policy of its own
            monkeypatch.delenv("SOME_KEY")
            assert main(command[:-2]) == 0
    assert first == len(server.asked) > 5
    assert {asked.path for asked in server.asked} == {"/v1/completions"}
    assert {asked.body["model"] for asked in server.asked} == {"m"}
    assert set(server.keys) == {"Bearer secret"}
    records = list(read_records(out))
    if verb in ("sample", "search"):
        sources = [r.chain.source for r in records]
        assert {s.policy for s in sources if s} == {"m"} and None not in sources
        assert {r.chain.answer for r in records} <= {"3", "4", "5"}
    else:
        labels = {label for r in records for found in r.labels for label in found.labels}
        assert labels & {0.0, 1.0}, "rollouts tell right prefixes from wrong ones"
    assert not unfinished(tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_fails_half_way_is_one_sentence_and_nothing_is_paid_for_twice(
    verb: str, line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    good, is_down = policy(script), [True]
    paid: list[str] = []

    def reply(body: Any, number: int) -> Reply:
        if is_down[0] and body["seed"] % 5 == 0:
            return Reply({"error": {"message": "too hot"}}, 500)
        paid.append(json.dumps(body, sort_keys=True))
        return good(body, number)

    with stand_in(good) as server:
        assert main(line(verb, server.url, whole)) == 0
        wanted = asked_for(server)
    capsys.readouterr()
    with stand_in(reply) as server:
        command = line(verb, server.url, out)
        assert main(command) == 2
        [said] = [text for text in capsys.readouterr().err.splitlines() if "rung:" in text]
        assert "the server fails with 500: too hot (6 attempts)" in said
        assert 0 < len(paid) < len(wanted)
        is_down[0] = False
        assert main(command) == 0
    assert sorted(paid) == wanted
    assert [r.chain for r in read_records(out)] == [r.chain for r in read_records(whole)]
    assert not unfinished(tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_run_goes_on_from_all_that_was_written(
    verb: str, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, kept, is_killed = WrittenLog.put, list[str](), [False]

    def put_three(self: WrittenLog, key: str, written: Written) -> None:
        put(self, key, written)
        kept.append(key)
        if len(kept) == 3 and not is_killed[0]:
            is_killed[0] = True
            raise KeyboardInterrupt

    monkeypatch.setattr(WrittenLog, "put", put_three)
    with stand_in(policy(script)) as server:
        command = [*line(verb, server.url, tmp_path / "out.jsonl"), "--max-batch-chains", "1"]
        assert main(command) == 130
        assert [path.name for path in tmp_path.glob(".*written")] == [".out.jsonl.written"]
        assert main(command) == 0
        asked = asked_for(server)
    assert len(set(kept)) == len(kept) > 3
    assert len(asked) - len(set(asked)) <= 1, "what was under way is asked for again"
    assert not unfinished(tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_down_is_one_sentence(
    verb: str, line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stand_in(policy(script)) as server:
        gone = server.url
    assert main(line(verb, gone, tmp_path / "out.jsonl")) == 2
    [said] = [text for text in capsys.readouterr().err.splitlines() if "rung:" in text]
    assert f"{gone}/v1: no server answers" in said
    assert not list(tmp_path.glob(".*written"))


def test_a_policy_without_a_name_is_refused(
    line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = line("sample", "http://localhost:1", tmp_path / "out.jsonl")
    command[command.index("m@http://localhost:1/v1")] = "@http://localhost:1/v1"
    assert main(command) == 2
    assert "names no model, expected NAME@URL" in capsys.readouterr().err
