"""`rung data` as a person uses it."""

import io
import json

import msgspec
import pytest

from rung import read_records
from rung.cli.main import main
from rung.data import load, problem_keys

ROWS = [
    {"prompt": f"What is {p}?", "completions": ["a", f"b{k}"], "labels": [True, k > 0]}
    for p in range(10)
    for k in range(2)
]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in ROWS))
    return path


def run(capsys, *args):
    code = main(["data", *map(str, args)])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_ls_lists_the_formats_and_tells_a_files_own(capsys, rows):
    code, out, _ = run(capsys, "ls", "--json")
    formats = {row["format"]: row for row in json.loads(out)}
    assert code == 0
    assert formats["trl"]["writes"] and formats["gsm8k"]["reads"] == "problems"
    assert not formats["prm800k"]["writes"]
    code, out, _ = run(capsys, "ls")
    assert all(name in out for name in formats)
    assert json.loads(run(capsys, "ls", rows, "--json")[1]) == {str(rows): "trl"}
    assert "trl" in run(capsys, "ls", rows)[1]


def test_convert_there_and_back_gives_the_same_bytes(capsys, rows, tmp_path):
    own, again = tmp_path / "own.jsonl.zst", tmp_path / "again.jsonl"
    code, out, _ = run(capsys, "convert", rows, "--out", own, "--json")
    assert code == 0
    assert json.loads(out) == {
        "out": str(own),
        "format": "rung",
        "rows": 20,
        "skipped_rows": 0,
    }
    assert list(read_records(own)) == list(load(rows))
    assert run(capsys, "convert", own, "--to", "trl", "--out", again)[0] == 0
    assert again.read_bytes() == rows.read_bytes()


def test_convert_reads_stdin_and_writes_stdout(monkeypatch, capfdbinary, rows):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(rows.read_bytes())))
    assert main(["data", "convert", "-", "--to", "trl", "--out", "-"]) == 0
    assert capfdbinary.readouterr().out == rows.read_bytes()
    for to in ("rung", "rung-problems"):
        assert main(["data", "convert", str(rows), "--to", to, "--out", "-"]) == 0
        lines = capfdbinary.readouterr().out.splitlines()
        assert len(lines) == (20 if to == "rung" else 10)
    assert main(["data", "convert", str(rows), "--out", "-", "--json"]) == 2


def test_convert_to_problems_keeps_the_distinct_ones(capsys, rows, tmp_path):
    out = tmp_path / "problems.jsonl"
    assert run(capsys, "convert", rows, "--to", "rung-problems", "--out", out)[0] == 0
    code, text, _ = run(capsys, "stats", out, "--json")
    assert code == 0
    assert json.loads(text)[str(out)]["stats"]["problems"] == 10
    assert "10 problems, 10 distinct, 0 with an answer" in run(capsys, "stats", out)[1]


def test_convert_does_not_replace_a_file_that_is_not_rungs_without_force(capsys, rows, tmp_path):
    before = rows.read_bytes()
    notes, own = tmp_path / "notes.txt", tmp_path / "own.jsonl"
    notes.write_text("my notes\n")
    for path in (rows, notes):
        code, _, err = run(capsys, "convert", rows, "--out", path)
        assert code == 2
        assert "this file exists and is not rung's own; --force replaces it" in err
    assert (rows.read_bytes(), notes.read_text()) == (before, "my notes\n")
    for _ in range(2):  # rung's own files are made anew without a word
        assert run(capsys, "convert", rows, "--out", own)[0] == 0
    assert run(capsys, "convert", rows, "--out", notes, "--force")[0] == 0
    assert len(list(read_records(notes))) == 20


def test_unlabeled_steps_are_mentioned_when_they_go_to_trl(capsys, tmp_path):
    row = {
        "id": "gsm8k-1",
        "generator": "m",
        "problem": "Q",
        "steps": ["a", "b", "c"],
        "final_answer_correct": False,
        "label": 0,
    }
    path = tmp_path / "pb.json"
    path.write_text(json.dumps([row]))
    code, _, err = run(capsys, "convert", path, "--to", "trl", "--out", tmp_path / "t.jsonl")
    assert code == 0
    assert "2 steps that nobody judged are written with the label null" in err


def test_skip_bad_counts_and_shows_what_was_left_out(capsys, rows, tmp_path):
    with rows.open("a") as file:
        file.write('{"prompt": "Q", "completions": ["a"], "labels": []}\n{"prompt": "cut')
    out = tmp_path / "own.jsonl"
    code, _, err = run(capsys, "convert", rows, "--out", out)
    assert code == 2
    assert "line 21: labels of 'trl': 0 for 1 steps" in err
    assert not out.exists()
    code, text, err = run(capsys, "convert", rows, "--out", out, "--skip-bad", "--json")
    assert code == 0
    assert json.loads(text)["skipped_rows"] == 2
    assert err.count("left out: ") == 2
    assert "line 22: this is not valid JSON" in err


def test_stats_count_what_is_there(capsys, rows):
    code, text, _ = run(capsys, "stats", rows, "--json")
    stats = json.loads(text)[str(rows)]["stats"]
    assert code == 0
    assert (stats["chains"], stats["problems"], stats["steps"]) == (20, 10, 40)
    assert stats["distinct_steps"] == 30
    assert stats["labels"]["trl"] == {
        "chains": 20,
        "good": 20,
        "bad": 10,
        "neutral": 0,
        "unlabeled": 0,
        "contradictory": 0,
        "chains_without_error": 10,
        "first_error_at": {"1": 10},
    }
    assert stats["outcomes"] == {"unchecked": 20}
    shown = run(capsys, "stats", rows)[1]
    assert "20 chains for 10 problems, 40 steps, 30 distinct" in shown
    assert "first error at: step 2 10" in shown


def test_stats_read_stdin_chains_or_problems(monkeypatch, capsys, rows, tmp_path):
    problems = b'{"question": "Q", "answer": "a\\n#### 5"}\n'
    for content, key in [(rows.read_bytes(), "chains"), (problems, "with_answer")]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        code, text, _ = run(capsys, "stats", "-", "--json")
        assert code == 0
        assert key in json.loads(text)["-"]["stats"]
    assert run(capsys, "stats")[0] == 2


def test_split_holds_out_problems_and_drops_those_of_another_file(capsys, rows, tmp_path):
    train, held_out, test = (tmp_path / name for name in ("t.jsonl", "h.jsonl", "test.jsonl"))
    test.write_text('{"question": "what is  3?", "answer": "x #### 3"}\n')
    args = ["split", rows, "--train", train, "--held-out", held_out, "--exclude", test]
    code, text, _ = run(capsys, *args, "--fraction", "0.34", "--seed", "1", "--json")
    assert code == 0
    assert json.loads(text) == {
        "train": {"problems": 6, "chains": 12},
        "held_out": {"problems": 3, "chains": 6},
        "excluded": {"problems": 1, "chains": 2},
        "skipped_rows": 0,
    }
    keys = [problem_keys(load(path)) for path in (train, held_out)]
    assert not keys[0] & keys[1]
    assert "whatis3?" not in keys[0] | keys[1]
    before = train.read_bytes()
    code, shown, _ = run(capsys, *args, "--fraction", "0.34", "--seed", "1")
    assert code == 0
    assert train.read_bytes() == before
    assert "held-out        3 problems        6 chains" in shown


def test_split_can_only_drop_and_refuses_what_makes_no_sense(capsys, rows, tmp_path):
    train = tmp_path / "t.jsonl"
    test = tmp_path / "test.jsonl"
    test.write_text('{"question": "What is 3?", "answer": "x #### 3"}\n')
    assert run(capsys, "split", rows, "--train", train, "--exclude", test)[0] == 0
    assert len(list(load(train))) == 18
    for args, reason in [
        (["--train", train], "nothing to do"),
        (["--train", train, "--held-out", train], "the same file"),
        (["--train", train, "--exclude", rows], "no problem is left"),
        (["--train", rows, "--exclude", test], "not rung's own"),
        (["--train", train, "--held-out", tmp_path / "h", "--fraction", "2"], "expected one in"),
    ]:
        code, _, err = run(capsys, "split", rows, *args)
        assert code == 2
        assert reason in err


def test_published_scores_are_joined_by_convert(capsys, shared_data, tmp_path):
    out = tmp_path / "scored.jsonl"
    chains = shared_data / "processbench_gsm8k_math.jsonl.gz"
    scores = shared_data / "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
    code, text, _ = run(capsys, "convert", chains, "--scores", scores, "--out", out, "--json")
    assert code == 0
    assert json.loads(text)["rows"] == 500
    code, text, _ = run(capsys, "stats", out, "--json")
    assert json.loads(text)[str(out)]["stats"]["scorers"]["Qwen2.5-Math-PRM-7B"] == 500
