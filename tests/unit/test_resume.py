"""Resumable output: a broken run that goes on ends with the bytes of an unbroken one."""

from pathlib import Path

import pytest

from rung.core import Chain, ChainRecord, InputError, Problem, RungError, read_records
from rung.core.codec import encode_record
from rung.core.files import open_binary
from rung.core.resume import fingerprint_of, partial_path, resumable_rows
from rung.label import ReplyLog, RolloutLog


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, what: str, total: int | None = None) -> None: ...

    def advance(self, units: int = 1, note: str = "") -> None: ...

    def log(self, message: str) -> None:
        self.lines.append(message)


def shown(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix != ".made"]


ROWS = [
    encode_record(ChainRecord(Chain.of(Problem(str(k), f"question {k}"), ["a", "b"])))
    for k in range(5)
]


def write(out: Path, fingerprint: str = "f", fail_at: int | None = None, chunk: int = 1) -> Log:
    log = Log()
    with resumable_rows(out, fingerprint, log, rows_a_chunk=chunk, keeps_finished=True) as rows:
        for number, row in enumerate(ROWS[rows.done :], start=rows.done):
            if number == fail_at:
                raise RuntimeError("the power is gone")
            rows.append([row])
    return log


def done_before(out: Path, fingerprint: str = "f", keeps_finished: bool = True) -> int:
    """How many rows are there already; `out` is another's then."""
    with resumable_rows(out, fingerprint, Log(), keeps_finished=keeps_finished) as rows:
        return rows.done


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"])
def test_a_broken_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, name: str) -> None:
    write(tmp_path / "whole" / name)
    out = tmp_path / "broken" / name
    with pytest.raises(RuntimeError):
        write(out, fail_at=3)
    assert not out.exists()
    assert write(out).lines == ["going on after the 3 rows of an earlier run"]
    assert out.read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with open_binary(out) as stream:
        assert stream.read() == b"".join(ROWS)
    assert shown(out.parent) == [name]


def test_parquet_output_is_written_from_the_gathered_rows(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "out.parquet"
    with pytest.raises(RuntimeError):
        write(out, fail_at=2)
    write(out)
    assert [encode_record(record) for record in read_records(out)] == ROWS


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_half_written_row_is_dropped(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        write(out, fail_at=4)
    partial = partial_path(out)
    partial.write_bytes(partial.read_bytes()[:-cut])
    assert write(out).lines == ["going on after the 3 rows of an earlier run"]
    assert out.read_bytes() == b"".join(ROWS)


def test_only_whole_chunks_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        write(out, fail_at=3, chunk=2)
    assert write(out, chunk=2).lines == ["going on after the 2 rows of an earlier run"]
    assert out.read_bytes() == b"".join(ROWS)


def test_another_fingerprint_starts_over_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        write(out, "old", fail_at=3)
    assert "starting over" in write(out, "new").lines[0]
    assert out.read_bytes() == b"".join(ROWS)


def test_a_finished_output_is_left_as_it_is_unless_something_changed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl.gz"
    write(out)
    for _ in range(2):
        with resumable_rows(out, "f", log := Log(), keeps_finished=True) as rows:
            assert rows.done == len(ROWS)
        assert log.lines == [f"{out} is there, made from the same; without it, it is made anew"]
    with open_binary(out) as stream:
        assert stream.read() == b"".join(ROWS)
    assert done_before(out, "another") == 0
    write(out)
    assert done_before(out, keeps_finished=False) == 0, "it was asked for anew"
    out.write_bytes(b"changed")
    assert done_before(out) == 0
    out.unlink()
    assert done_before(out) == 0


def test_what_was_made_by_another_version_is_made_anew(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "out.jsonl")
    monkeypatch.setattr("rung.core.resume.version", lambda _: "next")
    assert done_before(tmp_path / "out.jsonl") == 0


def test_a_mistake_in_the_input_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError),
        resumable_rows(tmp_path / "out.jsonl", "f", Log()) as rows,
    ):
        rows.append(ROWS[:1])
        raise InputError("bad", file="in.jsonl", line=2)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_is_of_content_and_settings(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("rows")
    two.write_text("rows")
    same = fingerprint_of([one], {"a": 1, "b": 2})
    assert fingerprint_of([two], {"b": 2, "a": 1}) == same
    assert fingerprint_of([one], {"a": 2, "b": 2}) != same
    two.write_text("other rows")
    assert fingerprint_of([two], {"a": 1, "b": 2}) != same
    assert fingerprint_of(["user/dataset"], None) != fingerprint_of(["user/other"], None)
    with pytest.raises(ValueError, match="standard input"):
        fingerprint_of(["-"], None)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with resumable_rows(out, "f", Log()) as rows:
        rows.append(ROWS[:1])
        with pytest.raises(RungError, match="another run is writing here"):
            write(out)
        rows.append(ROWS[1:2])
    assert out.read_bytes() == b"".join(ROWS[:2])
    assert shown(tmp_path) == ["out.jsonl"]


def test_two_runs_do_not_write_one_log(tmp_path: Path) -> None:
    rollouts, replies = tmp_path / "rollouts", tmp_path / "replies"
    with RolloutLog.open(rollouts, "policy"), ReplyLog.open(replies):
        with pytest.raises(RungError, match="another run"), RolloutLog.open(rollouts, "policy"):
            pass
        with pytest.raises(RungError, match="another run"), ReplyLog.open(replies):
            pass
    with RolloutLog.open(rollouts, "policy"), ReplyLog.open(replies):
        pass
