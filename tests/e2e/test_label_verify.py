"""`rung label verify` from end to end."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from processes import kill, start
from rung.cli import label
from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, Verdict, read_records, write_records
from rung.core.resume import partial_path
from rung.verify import algebra, calculator
from rung.verify.arithmetic import check_step
from rung.verify.equations import StepCheck

SMALL_WINDOW = 16


def records(count: int) -> list[ChainRecord]:
    return [
        ChainRecord(
            Chain.of(
                Problem(str(k), f"What is {k} + 3 doubled?", answer=f"{2 * k}+6x"),
                [f"{k} + 3 = {k + 3}", f"({k + 3}) * 2 = {2 * k + 6 + k % 2}", f"#### 6x+{2 * k}"],
            )
        )
        for k in range(count)
    ]


def test_outcomes_answers_and_labels_are_put_on_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    unanswered = ChainRecord(Chain.of(Problem("n", "Why?"), ["Because."]))
    write_records(source, [*records(2), unanswered])
    verifiers = ["--verifier", "answer", "--verifier", "arithmetic"]
    assert main(["label", "verify", str(source), "--out", str(out), "--json", *verifiers]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["outcomes"] == {"correct": 2, "unchecked": 1}
    assert summary["labels"] == {"arithmetic": {"right": 3, "unjudged": 3, "wrong": 1}}
    first, second, third = read_records(out)
    assert (first.outcome, first.chain.answer) == (Verdict.CORRECT, "6x+0")
    assert second.labels[0].labels == (1.0, 0.0, None)
    assert third.outcome is None


def test_algebra_judges_what_the_calculator_leaves_open_and_each_step_is_calculated_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calculated = Counter[str]()

    def counted(text: str) -> StepCheck:
        calculated[text] += 1
        return check_step(text)

    monkeypatch.setattr(calculator, "check_step", counted)
    monkeypatch.setattr(algebra, "check_step", counted)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    steps = ["2x + 3 = 7, so 2x = 4.", "Then 3 * 2 = 6.", "Hence 2x + 1 = 2x + 2."]
    write_records(source, [ChainRecord(Chain.of(Problem("p", "?"), steps))])
    command = ["label", "verify", str(source), "--out", str(out), "--json"]
    assert main([*command, "--verifier", "arithmetic", "--verifier", "algebra"]) == 0
    (record,) = read_records(out)
    assert record.labels_from("arithmetic").labels == (None, 1.0, None)
    assert record.labels_from("algebra").labels == (1.0, 1.0, 0.0)
    assert calculated == Counter(steps)
    assert main([*command, "--verifier", "algebra"]) == 0
    (record,) = read_records(out)
    assert record.labels_from("arithmetic") is None
    assert record.labels_from("algebra").labels == (1.0, 1.0, 0.0)
    capsys.readouterr()


def test_a_bad_row_is_refused_or_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(source, records(2))
    source.write_bytes(source.read_bytes() + b'{"rung": 1, "rec')
    assert main(["label", "verify", str(source), "--out", str(out)]) == 2
    assert "line 3" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
    command = ["label", "verify", str(source), "--out", str(out), "--skip-bad", "--json"]
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["skipped_rows"]) == (2, 1)


def test_lab_chains_only_for_the_lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(source, records(1))
    command = ["label", "verify", str(source), "--out", str(out), "--verifier", "lab"]
    assert main(command) == 2
    assert "rung lab" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def stops_after_a_window(words: Sequence[str]) -> None:
    """In the process that is killed."""
    blocks_of = label.blocks_of

    def stopping(rows: Iterator[ChainRecord], size: int) -> Iterator[bytes]:
        yield next(blocks_of(rows, size))
        signal.pause()

    label.WINDOW, label.blocks_of = SMALL_WINDOW, stopping
    main(list(words))


def test_killed_and_run_again_it_ends_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label, "WINDOW", SMALL_WINDOW)
    source = tmp_path / "in.jsonl"
    write_records(source, records(2 * SMALL_WINDOW + 3))
    command = ["label", "verify", str(source)]
    command += ["--verifier", "answer", "--verifier", "arithmetic", "--out"]
    whole, broken = tmp_path / "whole.jsonl.gz", tmp_path / "broken.jsonl.gz"
    assert main([*command, str(whole)]) == 0
    process = start(partial(stops_after_a_window, [*command, str(broken)]))
    deadline_s = time.monotonic() + 60
    while not _has_rows(partial_path(broken)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    kill(process)
    assert not broken.exists()
    assert main([*command, str(broken)]) == 0
    assert "going on after the" in capsys.readouterr().err
    assert broken.read_bytes() == whole.read_bytes()


def _has_rows(partial: Path) -> bool:
    return partial.exists() and partial.read_bytes().count(b"\n") > 1
