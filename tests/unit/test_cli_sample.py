"""`rung sample`: chains with their provenance, resumable, broken input refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rung.cli.main import main
from rung.core import read_records
from rung.core.codec import write_problems
from rung.core.resume import partial_path
from rung.data.lab import Lab, make_problems
from rung.generate import TransformersGenerator
from rung.model.tiny import make_tiny

PROBLEMS = list(make_problems(Lab(num_steps=2), 5, seed=2))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "tiny"
    make_tiny(folder, [p.question for p in PROBLEMS], seed=0, width=16, num_layers=1)
    return folder


@pytest.fixture
def command(tmp_path: Path, policy: Path) -> list[str]:
    problems = tmp_path / "problems.jsonl"
    write_problems(problems, PROBLEMS)
    options = ["--n", "3", "--max-tokens", "8", "--max-batch-chains", "6", "--json"]
    return ["sample", str(problems), "--policy", str(policy), *options]


def test_every_problem_gets_n_chains_that_say_where_they_are_from(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chains.jsonl"
    assert main([*command, "--out", str(out), "--seed", "4"]) == 0
    said = msgspec.json.decode(capsys.readouterr().out)
    records = list(read_records(out))
    assert [r.chain.id for r in records] == [f"{p.id}/{k}" for p in PROBLEMS for k in range(3)]
    sources = [record.chain.source for record in records]
    assert {(s.policy, s.seed) for s in sources if s} == {("tiny", 4)}
    assert said["chains"] == 15
    assert said["tokens"] == sum(s.num_tokens or 0 for s in sources if s)


def test_log_probabilities_are_kept_where_they_are_asked_for(
    tmp_path: Path, command: list[str]
) -> None:
    plain, told = tmp_path / "plain.jsonl", tmp_path / "told.parquet"
    assert main([*command, "--out", str(plain)]) == 0
    assert main([*command, "--out", str(told), "--logprobs"]) == 0
    known = 0
    for without, with_them in zip(read_records(plain), read_records(told), strict=True):
        assert without.chain.source is not None and with_them.chain.source is not None
        logprobs = with_them.chain.source.step_logprobs
        assert logprobs is not None and len(logprobs) == len(with_them.chain.steps)
        assert all(value is None or value < 0 for value in logprobs)
        known += len(logprobs) - logprobs.count(None)
        assert without.chain.source.step_logprobs is None
        assert without.chain.texts == with_them.chain.texts
    assert known >= 10


def test_a_stopped_run_goes_on_and_ends_with_the_same_file(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    assert main([*command, "--out", str(whole)]) == 0
    sample, calls = TransformersGenerator.sample, list[int]()

    def stop_at_the_second_call(self: Any, prefixes: Any, n: int, sampling: Any) -> Any:
        calls.append(len(prefixes))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(self, prefixes, n, sampling)

    monkeypatch.setattr(TransformersGenerator, "sample", stop_at_the_second_call)
    assert main([*command, "--out", str(stopped)]) == 130
    assert partial_path(stopped).exists() and not stopped.exists()
    assert main([*command, "--out", str(stopped)]) == 0
    assert stopped.read_bytes() == whole.read_bytes()
    assert calls == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "0"], "--n is 0"),
        (["--top-p", "0"], "--top-p"),
        (["--temperature", "-1"], "--temperature"),
        (["--chat"], "no chat template"),
        (["--policy", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left_behind(
    tmp_path: Path,
    command: list[str],
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "chains.jsonl"
    assert main([*command, "--out", str(out), *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists() and not partial_path(out).exists()


def test_a_reward_model_is_no_policy(
    tmp_path: Path, command: list[str], tiny_prm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chains.jsonl"
    assert main([*command, "--out", str(out), "--policy", str(tiny_prm)]) == 2
    assert "this is a reward model" in capsys.readouterr().err
    assert not out.exists()
