"""Reading and writing rung files: what is refused, how it is said, what is left behind."""

import gzip
import io
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import zstandard

from rung import Chain, ChainRecord, InputError, Problem, Skipped, StepLabels
from rung.core.codec import (
    encode_record,
    read_problems,
    read_records,
    write_problems,
    write_records,
)
from rung.core.files import create_binary, open_binary, replacing

RECORD = ChainRecord(
    Chain.of(Problem("p", "What is 1 + 1?", "2"), ["One and one.", "That is 2."], answer="2"),
    labels=(StepLabels((1.0, 0.5), "human"),),
)
GOOD = encode_record(RECORD)


def edited(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new)


BAD_LINES = {
    "truncated": (GOOD[:-60] + b"\n", "this is not valid JSON"),
    "NaN label": (edited(b"[1.0,", b"[NaN,"), r"not valid JSON .* near '.*NaN"),
    "label too large": (edited(b"[1.0,", b"[1.5,"), r"label 0 is 1\.5"),
    "endless label": (edited(b"[1.0,", b"[1e999,"), r"Number out of range"),
    "label is text": (edited(b"[1.0,", b'["1",'), r"`\$\.record\.labels\[0\]\.labels\[0\]`"),
    "fewer labels": (edited(b"[1.0,0.5]", b"[1.0]"), r"1 for 2 steps - at `\$\.record`"),
    "tampered step": (
        edited(b"That is 2.", b"That is 3."),
        r"step 1 has id .*record\.chain`",
    ),
    "no steps": (
        b'{"rung":1,"record":{"chain":{"problem":{"id":"p","question":"q"},"steps":[]}}}\n',
        r"the chain has no steps - at `\$\.record`",
    ),
    "missing field": (b'{"rung":1,"record":{}}\n', r"missing required field `chain`"),
    "other rows": (b'{"question":"What?"}\n', "not a row of a rung file"),
    "not an object": (b"[]\n", "not a row of a rung file"),
    "newer version": (edited(b'{"rung":1', b'{"rung":2'), r"schema version 2, this rung reads 1"),
    "newer shape": (b'{"rung":2,"record":[]}\n', r"schema version 2, this rung reads 1"),
    "bottomless": (b'{"rung":1,"record":{"meta":' + b"[" * 100_000 + b"\n", "recursion"),
    "not UTF-8": (edited(b"One", b"\xff\xfe"), "UTF-8|utf-8"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_with_file_line_and_place(tmp_path: Path, name: str):
    line, reason = BAD_LINES[name]
    path = tmp_path / "chains.jsonl"
    path.write_bytes(GOOD + b"\n" + line + GOOD)
    with pytest.raises(InputError, match=reason) as caught:
        list(read_records(path))
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_skipped_and_counted_on_request(tmp_path: Path, name: str):
    path = tmp_path / "chains.jsonl"
    path.write_bytes(GOOD + BAD_LINES[name][0] + GOOD)
    skipped = Skipped()
    assert list(read_records(path, skipped=skipped)) == [RECORD, RECORD]
    assert skipped.count == 1
    assert skipped.reasons[0].startswith(f"{path}, line 2: ")


def test_only_the_first_reasons_are_kept_and_every_skip_is_counted(tmp_path: Path):
    path = tmp_path / "chains.jsonl"
    path.write_bytes(b"{}\n" * 9 + GOOD)
    skipped = Skipped()
    assert len(list(read_records(path, skipped=skipped))) == 1
    assert (skipped.count, len(skipped.reasons)) == (9, 5)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n  \n\n"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes, suffix: str):
    path = tmp_path / f"empty.{suffix}"
    with create_binary(path) as stream:
        stream.write(content)
    with pytest.raises(InputError, match="the file is empty"):
        list(read_records(path))


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path):
    write_records(tmp_path / "empty.parquet", [])
    with pytest.raises(InputError, match="the file is empty"):
        list(read_records(tmp_path / "empty.parquet"))


def test_windows_line_ends_and_a_missing_last_line_end_are_read(tmp_path: Path):
    path = tmp_path / "chains.jsonl"
    path.write_bytes(GOOD.rstrip(b"\n") + b"\r\n" + GOOD.rstrip(b"\n"))
    assert list(read_records(path)) == [RECORD, RECORD]


def test_missing_files_and_folders_are_said(tmp_path: Path):
    with pytest.raises(InputError, match="there is no such file"):
        list(read_records(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="there is no such file"):
        list(read_records(tmp_path / "none.parquet"))
    with pytest.raises(InputError, match="this is a folder"):
        list(read_records(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be read"):
        list(read_records(tmp_path / "file" / "chains.jsonl"))


def test_standard_input_is_read_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD + b"{}\n")))
    rows = read_records("-")
    assert next(rows) == RECORD
    with pytest.raises(InputError, match="standard input, line 2: "):
        next(rows)


def damage(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) * 2 // 3]
    middle = len(data) // 2
    return (
        data[:middle]
        + bytes(255 - byte for byte in data[middle : middle + 20])
        + data[middle + 20 :]
    )


@pytest.mark.parametrize("how", ["cut", "overwritten"])
@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_damaged_file_is_refused_and_never_read_as_a_shorter_one(
    tmp_path: Path, suffix: str, how: str
):
    path = tmp_path / f"chains.{suffix}"
    write_records(path, (many(k) for k in range(400)))
    path.write_bytes(damage(path.read_bytes(), how))
    with pytest.raises(InputError, match=str(path)):
        list(read_records(path))


def many(k: int) -> ChainRecord:
    return ChainRecord(Chain.of(Problem(str(k), f"What is {k} * {k}?"), [f"It is {k * k}."] * 4))


def test_frames_written_one_after_the_other_are_all_read(tmp_path: Path):
    path = tmp_path / "chains.jsonl.zst"
    path.write_bytes(zstandard.compress(GOOD * 3) + zstandard.compress(GOOD * 2))
    assert len(list(read_records(path))) == 5
    (tmp_path / "chains.jsonl.gz").write_bytes(gzip.compress(GOOD) + gzip.compress(GOOD))
    assert len(list(read_records(tmp_path / "chains.jsonl.gz"))) == 2


def test_what_is_not_a_rung_parquet_file_is_refused(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InputError, match="this is not a Parquet file"):
        list(read_records(tmp_path / "text.parquet"))
    import pyarrow as pa

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="not written by rung"):
        list(read_records(tmp_path / "other.parquet"))


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, suffix: str):
    for name in ("a", "b"):
        assert write_records(tmp_path / f"{name}.{suffix}", [RECORD] * 3) == 3
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str):
    path = tmp_path / f"chains.{suffix}"
    write_records(path, [RECORD])
    before = path.read_bytes()

    def broken():
        yield RECORD
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_replacing_moves_the_file_into_place_at_the_end_only(tmp_path: Path):
    path = tmp_path / "made" / "here" / "x.txt"
    with replacing(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [file.name for file in path.parent.iterdir()] == ["x.txt"]


def test_writing_where_no_file_can_be_is_refused_before_any_work(tmp_path: Path):
    with pytest.raises(InputError, match="this is a folder"), create_binary(tmp_path):
        raise AssertionError("the work has begun")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't make its folder"):
        write_records(tmp_path / "file" / "x.jsonl", [RECORD])


def test_other_rows_than_chains_are_not_written_under_the_name_of_parquet(tmp_path: Path):
    with pytest.raises(InputError, match="only rung's own chains are written as Parquet"):
        write_problems(tmp_path / "problems.parquet", [RECORD.chain.problem])
    assert list(tmp_path.iterdir()) == []


def test_problems_are_read_back_and_refused_as_chains_are(tmp_path: Path):
    problems = [RECORD.chain.problem, Problem("q", "Why?", tests=("assert f()",), domain="code")]
    path = tmp_path / "problems.jsonl.zst"
    assert write_problems(path, problems) == 2
    assert list(read_problems(path)) == problems
    (tmp_path / "chains.jsonl").write_bytes(GOOD)
    with pytest.raises(InputError, match=r"line 1: .*missing required field `problem`"):
        list(read_problems(tmp_path / "chains.jsonl"))
    (tmp_path / "newer.jsonl").write_bytes(b'{"rung":2,"problem":{"id":"p"}}\n')
    with pytest.raises(InputError, match="schema version 2"):
        list(read_problems(tmp_path / "newer.jsonl"))


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_file(tmp_path: Path):
    (tmp_path / "x").touch()
    with pytest.raises(FileNotFoundError, match="another"), open_binary(tmp_path / "x"):
        raise FileNotFoundError("another")


def test_rows_say_their_schema_version():
    assert msgspec.json.decode(GOOD)["rung"] == 1
