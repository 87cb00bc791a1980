"""`rung search` from end to end: answers, log, budget, calibration, tools, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rung.cli.main import main
from rung.cli.places import Place
from rung.cli.scorers import Opening, open_scorer
from rung.core import Problem, Progress, read_records
from rung.core.codec import write_problems
from rung.generate import TransformersGenerator
from rung.generate.prompting import Prompts
from rung.score import ModelScorer, RewardScorer, ScoringSession

Command = list[str]


@pytest.fixture
def command(tmp_path: Path, tiny_lm: Path, tiny_prm: Path) -> Command:
    problems = tmp_path / "problems.jsonl"
    write_problems(problems, [Problem(str(k), f"What is 3 + {k}?", str(3 + k)) for k in range(4)])
    models = ["--policy", str(tiny_lm), "--scorer", str(tiny_prm)]
    sizes = ["--n", "4", "--width", "2", "--max-tokens", "6", "--max-batch-chains", "4"]
    return ["search", str(problems), *models, *sizes, "--json"]


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[Any, str]:
    assert main(list(map(str, words))) == code
    said = capsys.readouterr()
    return json.loads(said.out) if said.out else None, said.err


def test_every_problem_gets_a_chain_that_says_what_it_took(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, every = tmp_path / "out.jsonl", tmp_path / "every.jsonl"
    said, _ = run(capsys, *command, "--out", out, "--chains", every)
    records = list(read_records(out))
    assert said["problems"] == len(records) == 4
    assert said["algorithm"] == "beam" and said["checked"] == 4
    notes = [record.meta["search"] for record in records]
    assert sum(note["tokens_sampled"] for note in notes) == said["tokens_sampled"] > 0
    assert all(record.scores[0].scorer == "prm" for record in records)
    assert len(every.read_text().splitlines()) >= said["finished"]


def test_a_verifier_stands_beside_the_scorer_and_has_a_log_of_its_own(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, log = tmp_path / "out.jsonl", ["--log", tmp_path / "log"]
    run(capsys, *command, "--verifier", "arithmetic", *log, "--out", out)
    assert {r.scores[0].scorer for r in read_records(out)} == {"least of prm, arithmetic"}
    _, err = run(capsys, *command, *log, "--out", out, code=2)
    assert "these searches had another policy, sampling or scorer" in err


def test_log_probabilities_of_steps_are_kept_where_they_are_asked_for(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, told, again = (tmp_path / f"{name}.jsonl" for name in ("plain", "told", "again"))
    run(capsys, *command, "--out", plain)
    log = ["--logprobs", "--log", tmp_path / "told.events"]
    run(capsys, *command, *log, "--out", told)
    run(capsys, *command, *log, "--out", again)
    assert again.read_bytes() == told.read_bytes()
    for without, record in zip(read_records(plain), read_records(told), strict=True):
        assert record.chain.texts == without.chain.texts
        assert record.chain.source is not None and without.chain.source is not None
        assert without.chain.source.step_logprobs is None
        logprobs = record.chain.source.step_logprobs
        assert logprobs is not None and len(logprobs) == len(record.chain.steps)
        assert all(value is None or value < 0 for value in logprobs)
        assert any(value is not None for value in logprobs)


def test_a_stopped_search_goes_on_from_its_log_and_a_finished_one_is_free(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    run(capsys, *command, "--out", whole)
    sample, calls = TransformersGenerator.sample, list[int]()

    def stop_at_the_second_call(self: Any, prefixes: Any, n: int, sampling: Any) -> Any:
        calls.append(len(prefixes))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(self, prefixes, n, sampling)

    monkeypatch.setattr(TransformersGenerator, "sample", stop_at_the_second_call)
    _, err = run(capsys, *command, "--out", stopped, code=130)
    assert "the same command goes on from here" in err and not stopped.exists()
    run(capsys, *command, "--out", stopped)
    assert stopped.read_bytes() == whole.read_bytes()
    num_calls = len(calls)
    run(capsys, *command, "--out", stopped)
    assert len(calls) == num_calls and stopped.read_bytes() == whole.read_bytes()


def test_a_policy_that_fails_leaves_what_there_is_and_the_command_says_so(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample, calls = TransformersGenerator.sample, list[int]()

    def fail_at_the_second_call(self: Any, prefixes: Any, n: int, sampling: Any) -> Any:
        calls.append(n)
        if len(calls) == 2:
            raise ConnectionError("gone")
        return sample(self, prefixes, n, sampling)

    monkeypatch.setattr(TransformersGenerator, "sample", fail_at_the_second_call)
    out = tmp_path / "out.jsonl"
    said, err = run(capsys, *command, "--out", out, code=2)
    assert said["reasons"]["failed"] == 1 and len(list(read_records(out))) == 3
    assert "1 of 4 searches failed (ConnectionError: gone)" in err
    said, _ = run(capsys, *command, "--out", out)
    assert said["reasons"] == {"done": 4}


def test_calibration_draws_the_lines_and_says_where_they_are(
    command: Command, tmp_path: Path, tiny_lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, checked, scored = (tmp_path / f"{name}.jsonl" for name in ("pool", "checked", "scored"))
    others, prm = tmp_path / "others.jsonl", command[command.index("--scorer") + 1]
    write_problems(others, [Problem(f"o{k}", f"What is 9 - {k}?", str(9 - k)) for k in range(30)])
    words = ["--policy", tiny_lm, "--n", 2, "--max-tokens", 6, "--out", pool, "--json"]
    run(capsys, "sample", others, *words)
    run(capsys, "label", "verify", pool, "--verifier", "answer", "--out", checked, "--json")
    run(capsys, "score", checked, "--scorer", prm, "--out", scored, "--json")
    lines = ["--calibrate", scored, "--error", 0.1, "--out", tmp_path / "out.jsonl"]
    for algorithm in ("abort", "adaptive"):
        said, err = run(capsys, *command, "--algorithm", algorithm, *lines)
        assert said["problems"] == 4
        assert f"by 30 problems of {scored}: stop at" in err
    looks = ["--algorithm", "abort", "--look-every", 2, "--max-tokens", 12]
    said, err = run(capsys, *command, *looks, *lines, "--log", tmp_path / "looks.events")
    assert said["problems"] == 4 and "(inside a step under" in err
    assert '"finish_reason":"part"' in (tmp_path / "looks.events").read_text()


def test_steps_call_tools_and_read_what_comes_back(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The policy's text is replaced by a call; everything behind it is as it is."""
    decode = Prompts.decode
    call = '{"name": "price", "arguments": {"fruit": "apple"}}\n'
    monkeypatch.setattr(Prompts, "decode", lambda *given: call + decode(*given))
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    out = tmp_path / "out.jsonl"
    tool = ["--tool", "price=agent_tools:price", "--max-steps", 1]
    run(capsys, *command, *tool, "--out", out)
    steps = [step for record in read_records(out) for step in record.chain.steps]
    assert steps and all(step.observation for step in steps)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algorithm", "abort"], "needs --calibrate FILE"),
        (["--n", "0"], "--n is 0"),
        (["--algorithm", "majority", "--verifier", "lab"], "no place with --algorithm majority"),
        (
            ["--algorithm", "abort", "--calibrate", "x.jsonl", "--verifier", "lab"],
            "no place with --algorithm abort: it draws its line by the scorer alone",
        ),
        (["--look-every", "4"], "--look-every belongs to --algorithm abort"),
        (["--error", "2"], "the error is 2"),
        (["--budget.tokens", "0"], "the budget of tokens is 0, expected above 0"),
        (["--budget.money", "1"], "needs --budget.price-sampled"),
        (["--tool", "price"], "expected NAME=MODULE:FUNCTION"),
        (["--temperature", "-1"], "--temperature is -1"),
        (["--max-kept-mib", "0"], "--max-kept-mib is 0.0, expected above 0"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Command, said: str
) -> None:
    out = tmp_path / "out.jsonl"
    _, err = run(capsys, *command, *words, "--out", out, code=2)
    assert said in err.splitlines()[-1]
    assert not out.exists()


def test_a_scorer_is_opened_as_was_asked_and_its_session_has_a_cap(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_session, asked = RewardScorer.open, list[Any]()

    def trusting(place: Place, how: Opening, progress: Progress) -> ModelScorer:
        asked.append(how.trust_pickle)
        return open_scorer(place, how, progress)

    def capped(self: Any, problem: Problem, *, max_kept_mib: float | None = None) -> ScoringSession:
        asked.append(max_kept_mib)
        return open_session(self, problem, max_kept_mib=max_kept_mib)

    monkeypatch.setattr("rung.cli.search.open_scorer", trusting)
    monkeypatch.setattr(RewardScorer, "open", capped)
    told = ["--trust-pickle", "--max-kept-mib", 0.01]
    run(capsys, *command, *told, "--out", tmp_path / "out.jsonl")
    assert asked == [True, 0.01]


def test_a_scorer_is_needed_but_for_votes(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = command.index("--scorer")
    alone = [*command[:at], *command[at + 2 :], "--out", str(tmp_path / "out.jsonl")]
    _, err = run(capsys, *alone, code=2)
    assert "--algorithm beam needs --scorer FOLDER" in err
    said, _ = run(capsys, *alone, "--algorithm", "majority")
    assert said["tokens_scored"] == 0


def test_a_log_of_something_else_is_refused_and_left_alone(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    run(capsys, *command, "--log", log, "--out", out)
    before = log.read_bytes()
    _, err = run(capsys, *command, "--log", log, "--seed", 1, "--out", out, code=2)
    assert f"{os.fspath(log)}: these searches had another policy, sampling or scorer" in err
    assert log.read_bytes() == before
