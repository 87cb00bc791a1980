"""`rung score` and `rung rerank` as a person uses them, kills included."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import TinyReward
from processes import kill, start_rung
from rung import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict, read_records
from rung.cli.main import main
from rung.core.codec import encode_record
from rung.core.resume import partial_path
from rung.score import load_scorer
from rung.score.cost import read_costs
from rung.score.stream import WINDOW


def record(number: int, texts: Sequence[str], *, answer: str | None = None) -> ChainRecord:
    problem = Problem(f"p{number % 50}", f"What is {number % 50} and one?", str(number % 50 + 1))
    return ChainRecord(Chain.of(problem, texts, answer=answer))


def chains(count: int) -> list[ChainRecord]:
    return [
        record(k, [f"We add {k} and one.", *["and then"] * (k % 4), f"so {k}"])
        for k in range(count)
    ]


def write(path: Path, records: Sequence[ChainRecord]) -> Path:
    path.write_bytes(b"".join(map(encode_record, records)))
    return path


def rung(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    assert main([*map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def sentence(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(list(map(str, argv))) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_score_writes_what_the_scorer_says(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    records, out = chains(20), tmp_path / "scored.jsonl.gz"
    source = write(tmp_path / "in.jsonl", records)
    prm, orm = tiny_reward("prm"), tiny_reward("orm")
    said = rung(capsys, "score", source, "--scorer", prm, "--scorer", f"o={orm}", "--out", out)
    scored = list(read_records(out))
    expected = load_scorer(prm).score([r.chain for r in records])
    assert [r.scores_by("prm") for r in scored] == expected
    assert [r.chain for r in scored] == [r.chain for r in records]
    num_steps = sum(len(r.chain.steps) for r in records)
    assert said["rows"] == 20
    assert [(s["scorer"], s["kind"], s["scored"]) for s in said["scorers"]] == [
        ("prm", "prm", num_steps),
        ("o", "orm", 20),
    ]


def test_what_the_scores_took_stands_beside_them(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "scored.jsonl.gz"
    source = write(tmp_path / "in.jsonl", chains(20))
    rung(capsys, "score", source, "--scorer", tiny_reward("prm"), "--out", out)
    found = read_costs([str(out)])["prm"]
    assert found.chains == 20 and found.seconds > 0
    scorer = load_scorer(tiny_reward("prm"))
    scorer.score([r.chain for r in chains(20)])
    assert found.tokens == scorer.usage.computed
    assert read_costs([str(source)]) == {}


def test_steps_beyond_the_context_are_counted(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = write(tmp_path / "in.jsonl", [record(1, ["one", "and " * 500, "two"])])
    out = tmp_path / "out.jsonl"
    both = [f"--scorer={tiny_reward(kind, 40)}" for kind in ("prm", "orm")]
    said = rung(capsys, "score", source, *both, "--out", out)
    assert [s["lost_steps"] for s in said["scorers"]] == [2, 1]
    assert main(["score", str(source), *both, "--out", str(out)]) == 0
    assert "2 steps lie beyond the context" in capsys.readouterr().out


def test_standard_input_is_scored(
    tiny_reward: TinyReward,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    rows = b"".join(map(encode_record, chains(3)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    said = rung(capsys, "score", "-", "--scorer", tiny_reward(), "--out", tmp_path / "o.jsonl")
    assert said["rows"] == 3


@pytest.mark.parametrize(
    ("rows", "words"), [(b"", "standard input: the file is empty"), (b"{", "standard input, line")]
)
def test_bad_standard_input_is_refused(
    tiny_reward: TinyReward,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rows: bytes,
    words: str,
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    argv = ["score", "-", "--scorer", tiny_reward(), "--out", tmp_path / "made" / "o.jsonl"]
    assert words in sentence(capsys, *argv)
    assert not any(tmp_path.iterdir())


def test_bad_rows_are_left_out_and_counted(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = tmp_path / "in.jsonl"
    good = [encode_record(r) for r in chains(4)]
    source.write_bytes(b"".join([*good[:2], b"{half\n", *good[2:]]))
    argv = ["score", source, "--scorer", tiny_reward(), "--out", tmp_path / "o.jsonl"]
    assert "line 3" in sentence(capsys, *argv)
    assert list(tmp_path.iterdir()) == [source]
    said = rung(capsys, *argv, "--skip-bad")
    assert (said["rows"], said["skipped_rows"]) == (4, 1)


def test_what_names_no_scorer_is_refused(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = write(tmp_path / "in.jsonl", chains(2))
    folder, out = tiny_reward(), tmp_path / "o.jsonl"
    assert "no such folder" in sentence(
        capsys, "score", source, "--scorer", tmp_path / "none", "--out", out
    )
    assert "two scorers are called 'prm'" in sentence(
        capsys, "score", source, "--scorer", folder, "--scorer", folder, "--out", out
    )
    assert "nothing to read" in sentence(capsys, "score", "--scorer", folder, "--out", out)
    assert list(tmp_path.iterdir()) == [source]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    tiny_reward: TinyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = write(tmp_path / "in.jsonl", chains(800))
    unbroken, out = tmp_path / "unbroken.jsonl", tmp_path / "out.jsonl"
    arguments = ["score", str(source), "--scorer", str(tiny_reward()), "--batch-tokens", "512"]
    rung(capsys, *arguments, "--out", unbroken)
    _kill_midway([*arguments, "--out", str(out)], out)
    assert partial_path(out).exists() and not out.exists()
    assert main([*arguments, "--out", str(out)]) == 0
    assert "going on after the" in capsys.readouterr().err
    assert out.read_bytes() == unbroken.read_bytes()
    assert not partial_path(out).exists()


def _kill_midway(arguments: list[str], out: Path) -> None:
    """Start the command and kill it once the first window of rows is saved as a whole."""
    process = start_rung(arguments)
    while process.is_alive():
        # The header is a line too; half a window would not be kept.
        if partial_path(out).exists() and partial_path(out).read_bytes().count(b"\n") > WINDOW:
            break
        time.sleep(0.002)
    kill(process)
    assert process.exitcode == -signal.SIGKILL


def judged(
    number: int, answer: str | None, scores: Sequence[float | None], verdict: Verdict
) -> ChainRecord:
    plain = record(number, [f"step {k} to {answer}" for k in range(len(scores))], answer=answer)
    return ChainRecord(
        plain.chain,
        scores=(StepScores(tuple(scores), "prm"), StepScores(tuple(scores[::-1]), "other")),
        outcome=verdict,
        meta={"kept": number},
    )


RIGHT, WRONG = Verdict.CORRECT, Verdict.INCORRECT
JUDGED = [
    judged(0, "1", (0.9, 0.8), RIGHT),
    judged(1, "3", (0.9, 0.2), WRONG),
    judged(0, "2", (0.3, 0.5), WRONG),
    judged(1, "2", (0.6, 0.7), RIGHT),
    judged(0, "2.0", (0.3, 0.4), WRONG),
    judged(1, "3", (0.5, 0.1), WRONG),
]


@pytest.mark.parametrize(
    ("by", "answers", "accuracy"),
    [
        ("min", ["1", "2"], 1.0),
        ("max", ["1", "3"], 0.5),
        ("majority", ["2", "3"], 0.0),
        ("weighted", ["1", "2"], 1.0),
    ],
)
def test_rerank_picks_one_chain_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str, answers: list[str], accuracy: float
):
    source, out = write(tmp_path / "in.jsonl", JUDGED), tmp_path / "best.jsonl"
    said = rung(capsys, "rerank", source, "--by", by, "--scorer", "prm", "--out", out)
    best = list(read_records(out))
    assert [r.chain.answer for r in best] == answers
    assert (said["accuracy"], said["checked"], said["problems"]) == (accuracy, 2, 2)
    assert best[0].meta["kept"] == 0
    assert best[0].meta["rerank"]["by"] == by
    assert best[0].meta["rerank"]["num_chains"] == 3


def test_rerank_counts_what_it_could_not_weigh(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    unscored = record(2, ["hm", "hm"])
    source = write(tmp_path / "in.jsonl", [*JUDGED, unscored])
    argv = ["rerank", source, "--scorer", "prm", "--out", tmp_path / "best.jsonl"]
    said = rung(capsys, *argv, "--n", 3)
    assert (said["unusable_chains"], said["undecided"], said["short_problems"]) == (1, 1, 1)
    assert rung(capsys, *argv, "--n", 1)["accuracy"] == 0.5


def test_rerank_picks_among_the_chains_that_a_verifier_does_not_refute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    refuted = JUDGED[0].with_labels(StepLabels((None, 0.0), "tool"))
    source = write(tmp_path / "in.jsonl", [refuted, *JUDGED[1:]])
    out = tmp_path / "best.jsonl"
    argv = ["rerank", source, "--scorer", "prm", "--out", out]
    rung(capsys, *argv)
    assert next(read_records(out)).chain.answer == "1"
    said = rung(capsys, *argv, "--verifier", "tool")
    best = next(read_records(out))
    assert best.chain.answer == "2"
    assert (said["verifier"], said["refuted_chains"]) == ("tool", 1)
    assert (best.meta["rerank"]["verifier"], best.meta["rerank"]["num_refuted"]) == ("tool", 1)
    assert "no labels from 'x'; there are labels from 'tool'" in sentence(
        capsys, *argv, "--verifier", "x"
    )


def test_rerank_refuses_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out = write(tmp_path / "in.jsonl", JUDGED), tmp_path / "best.jsonl"
    assert "name one of them with --scorer" in sentence(capsys, "rerank", source, "--out", out)
    assert "--n is 0" in sentence(
        capsys, "rerank", source, "--scorer", "prm", "--n", 0, "--out", out
    )
    plain = write(tmp_path / "plain.jsonl", chains(2))
    assert "'rung score' makes them" in sentence(capsys, "rerank", plain, "--out", out)
    assert not out.exists()


def test_rerank_needs_no_torch(tmp_path: Path):
    source = write(tmp_path / "in.jsonl", JUDGED)
    arguments = ["rerank", str(source), "--scorer", "prm", "--out", str(tmp_path / "best.jsonl")]
    code = (
        f"import sys; from rung.cli.main import main; main({arguments!r}); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
