"""The same rows are read from every kind of source."""

import gzip
import io
import json
import os
import subprocess
import sys

import pytest
import zstandard

from rung import Chain, Problem, RungError, read_problems, read_records, write_problems
from rung.data import load, load_problems, write
from rung.data.sources import read_items

ROWS = [
    {"prompt": f"What is {k} + 1?", "completions": ["a", "b"], "labels": [True, k > 0]}
    for k in range(3)
]
LINES = "\n".join(map(json.dumps, ROWS)) + "\n"


@pytest.fixture
def expected(tmp_path):
    path = tmp_path / "expected.jsonl"
    path.write_text(LINES)
    records = list(load(path))
    assert len(records) == 3
    return records


def test_plain_gz_and_zst_hold_the_same_rows(tmp_path, expected):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(LINES.encode()))
    assert list(load(tmp_path / "a.jsonl.gz")) == expected
    assert list(load(tmp_path / "a.jsonl.zst")) == expected


def test_a_json_array_is_read_however_it_is_laid_out(tmp_path, expected):
    for indent in (None, 2):
        path = tmp_path / "a.json"
        path.write_text("\n" + json.dumps(ROWS, indent=indent))
        assert list(load(path)) == expected


def test_blank_lines_and_windows_line_ends_do_not_matter(tmp_path, expected):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\r\n" + LINES.replace("\n", "\r\n\r\n").encode())
    assert list(load(path)) == expected


def test_a_folder_of_one_object_files_is_one_source_in_order(tmp_path):
    for k in (2, 1):
        (tmp_path / "algebra").mkdir(exist_ok=True)
        row = {"problem": f"P{k}", "solution": f"\\boxed{{{k}}}", "level": "Level 1", "type": "A"}
        (tmp_path / "algebra" / f"{k}.json").write_text(json.dumps(row, indent=4))
    assert [(p.question, p.answer) for p in load_problems(tmp_path)] == [("P1", "1"), ("P2", "2")]


def test_standard_input_is_read_without_a_file(monkeypatch, expected):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINES.encode())))
    assert list(load("-")) == expected


def test_parquet_of_others_and_of_rung_is_read(tmp_path, expected):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list(load(tmp_path / "a.parquet")) == expected
    write(tmp_path / "own.parquet", expected)
    assert list(load(tmp_path / "own.parquet")) == expected
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(RungError, match=r"bad\.parquet: the Parquet data is damaged"):
        list(load(tmp_path / "bad.parquet"))


def test_a_dataset_saved_on_disk_is_read_and_a_split_must_be_named(tmp_path, expected):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list(ROWS)
    one.save_to_disk(tmp_path / "one")
    assert list(load(tmp_path / "one")) == expected
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "two")
    with pytest.raises(RungError, match=r"splits \(train, test\), name one as FOLDER/SPLIT"):
        load(tmp_path / "two")
    assert list(load(tmp_path / "two" / "train")) == expected
    datasets.DatasetDict({"train": one}).save_to_disk(tmp_path / "single")
    assert list(load(tmp_path / "single")) == expected


def test_a_dataset_is_asked_for_by_owner_name_config_and_split(monkeypatch, expected):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(name, config, split):
        asked.append((name, config, split))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert list(load("trl-lib/math_shepherd@main:train")) == expected
    assert list(load("trl-lib/math_shepherd")) == expected
    assert asked == [("trl-lib/math_shepherd", c, s) for c, s in [("main", "train"), (None, None)]]


def test_an_unreachable_dataset_is_one_sentence(tmp_path):
    pytest.importorskip("datasets")
    command = [sys.executable, "-m", "rung.cli.main", "data", "stats", "nobody/nothing:train"]
    cache = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **cache}, cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("rung: there is no file 'nobody/nothing:train', and as a Hugging Face")


def test_without_the_datasets_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RungError, match=r"pip install 'rung\[train\]'"):
        load("owner/name")


@pytest.mark.parametrize("name", ["missing.jsonl", "missing", "some/missing.jsonl.gz", "/no/such"])
def test_a_missing_file_is_not_looked_for_on_the_hub(name):
    with pytest.raises(RungError, match=f"^{name}: there is no such file"):
        next(read_items(name))


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(RungError, match=r"holds no \.jsonl, \.json or \.parquet file"):
        load(tmp_path)


def test_rungs_own_rows_come_back_the_same_through_every_reader(tmp_path, expected):
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        assert write(tmp_path / name, expected) == 3
        assert list(load(tmp_path / name)) == list(read_records(tmp_path / name)) == expected


def test_problems_are_written_and_read_again_with_their_tests(tmp_path):
    problems = [
        Problem("a", "Q1", "5", domain="math"),
        Problem("b", "Write f.", tests=("assert f(1) == 1",)),
    ]
    for name in ("p.jsonl", "p.jsonl.gz"):
        assert write_problems(tmp_path / name, problems) == 2
        assert list(read_problems(tmp_path / name)) == problems
        assert list(load_problems(tmp_path / name)) == problems
    with pytest.raises(RungError, match="rung-problems rows hold no chains"):
        load(tmp_path / "p.jsonl")


def test_a_problem_row_of_another_version_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"rung": 9, "problem": {"id": "a", "question": "Q"}}\n')
    with pytest.raises(RungError, match=r"line 1: schema version 9, this rung reads 1"):
        list(load_problems(path))
    with pytest.raises(RungError, match="schema version 9"):
        list(read_problems(path))


def test_chains_without_ids_get_problems_with_the_same_id_for_the_same_question(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps({**ROWS[0], "completions": ["c", "d"]}))
    first, second = load(path)
    assert first.chain.problem == second.chain.problem
    assert isinstance(first.chain, Chain)
