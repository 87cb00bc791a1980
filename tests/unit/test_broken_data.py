"""Broken input: one clear sentence with file and line, or skipped and counted on request."""

import gzip
import json
import time

import pytest

from rung import RungError, Skipped
from rung.cli.main import main
from rung.data import load

GOOD = {"prompt": "Q?", "completions": ["a", "b"], "labels": [True, False]}


def text(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


MANY = text(*[{**GOOD, "prompt": f"Q{k}"} for k in range(50)]).encode()


LABELED = {
    "id": "c",
    "source": "s",
    "problem": "Q?",
    "steps": ["a", "b"],
    "labels": [1, -1],
    "first_error": 1,
}
BROKEN = {
    "an empty file": ("", "the file is empty"),
    "only blank lines": ("\n  \n", "the file is empty"),
    "a truncated line": (text(GOOD)[:-12], "line 1: this is not valid JSON"),
    "fewer labels than steps": (
        text({**GOOD, "labels": [True]}),
        "line 1: labels of 'trl': 1 for 2 steps",
    ),
    "more labels than steps": (text({**LABELED, "labels": [1, 1, 1]}), "3 for 2 steps"),
    "a NaN label": (text({**GOOD, "labels": [1.0, float("nan")]}), "line 1: label 1 is nan, expec"),
    "an infinite label": (text({**GOOD, "labels": [1.0, float("inf")]}), "label 1 is inf"),
    "a label out of range": (text({**GOOD, "labels": [1, 2]}), "label 1 is 2"),
    "a rating out of range": (text({**LABELED, "labels": [1, 2]}), "a rating is -1, 0 or 1"),
    "a chain without steps": (
        text({**GOOD, "completions": [], "labels": []}),
        "line 1: the chain has no steps",
    ),
    "an unknown format": (
        text({"text": "a", "score": 1}),
        "unknown format: the row has fields text, score; .* known formats .*rung, .*prm800k",
    ),
    "a list in place of a row": ("3\n", "unknown format: the row has a int"),
    "a row without a field": (
        text(GOOD, {"prompt": "Q?", "completions": ["a"]}),
        "line 2: .*missing required field `labels`",
    ),
    "a field of another type": (
        text({**GOOD, "completions": ["a", 5]}),
        r"line 1: Expected `str`, got `int` - at `\$.completions\[1\]`",
    ),
    "a text in place of a row": (text(GOOD, "hello"), "line 2: the row is a str, expected"),
    "bytes that are no UTF-8": (b'{"prompt": "\xff\xfe"}\n', "line 1: this is not UTF-8 text"),
    "an array cut short": (json.dumps([GOOD, GOOD])[:-3], "not a whole JSON array"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_one_sentence_exit_code_two_and_leaves_no_file(tmp_path, capsys, name):
    content, reason = BROKEN[name]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RungError, match=rf"rows\.jsonl.*{reason}"):
        list(load(path))
    out = tmp_path / "out"
    out.mkdir()
    assert main(["data", "convert", str(path), "--out", str(out / "o.jsonl")]) == 2
    (sentence,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("rung: ")]
    assert "rows.jsonl" in sentence
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("cut", [slice(None, 40), slice(None, -6)])
def test_a_gzip_file_that_was_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(MANY)[cut])
    with pytest.raises(RungError, match=r"rows\.jsonl\.gz: the compressed data is damaged"):
        list(load(path))


def test_a_gzip_file_with_a_wrong_byte_or_no_gzip_at_all_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    whole = bytearray(gzip.compress(MANY))
    whole[len(whole) // 2] ^= 0xFF
    for content in (bytes(whole), text(GOOD).encode()):
        path.write_bytes(content)
        with pytest.raises(RungError, match=r"rows\.jsonl\.gz"):
            list(load(path))


def test_skipped_rows_are_counted_and_the_first_reasons_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    bad = [{**GOOD, "labels": [True]}] * 9
    path.write_text("not json\n" + text(GOOD, *bad, GOOD))
    skipped = Skipped()
    assert len(list(load(path, skipped=skipped))) == 2
    assert skipped.count == 10
    assert len(skipped.reasons) == 5
    assert "line 1: this is not valid JSON" in skipped.reasons[0]
    assert "line 3: labels of 'trl': 1 for 2 steps" in skipped.reasons[1]


def test_a_file_of_which_no_row_is_json_is_refused_even_when_skipping(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("not\njson\n")
    with pytest.raises(RungError, match="line 1: this is not valid JSON"):
        load(path, skipped=Skipped())


def test_a_bad_sample_or_candidate_drops_its_whole_row_not_half_of_it(tmp_path):
    samples = [{"steps": ["a"], "correct": True}, {"text": " \n", "correct": True}]
    path = tmp_path / "rows.jsonl"
    path.write_text(text({"id": "p", "problem": "Q", "answer": "1", "samples": samples}))
    skipped = Skipped()
    assert list(load(path, skipped=skipped)) == []
    assert "the chain has no steps" in skipped.reasons[0]


def test_a_step_of_a_hundred_thousand_characters_is_refused_by_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(text(GOOD, {**GOOD, "completions": ["a", "b" * 100_000]}))
    with pytest.raises(RungError, match=r"rows\.jsonl, line 2: step 1 has 100000 characters"):
        list(load(path))


def test_a_nan_in_rungs_own_rows_is_refused_and_never_becomes_a_missing_label(tmp_path):
    chain = {"problem": {"id": "p", "question": "Q"}, "steps": [{"text": "a"}]}
    row = {"rung": 1, "record": {"chain": chain, "labels": [{"labels": [0.5], "source": "human"}]}}
    path = tmp_path / "own.jsonl"
    for content in (text(row), json.dumps([row])):
        path.write_text(content)
        assert len(list(load(path))) == 1
        path.write_text(content.replace("0.5", "NaN"))
        with pytest.raises(RungError, match=r"own\.jsonl, line 1: .*nan"):
            list(load(path))


def test_long_steps_are_read_fast(tmp_path):
    path = tmp_path / "rows.jsonl"
    long = "All work and no play. " * 2900
    path.write_text(text(*[{**GOOD, "completions": [long, f"{k}"]} for k in range(20)]))
    started_s = time.monotonic()
    records = list(load(path))
    assert time.monotonic() - started_s < 2
    assert len(records[19].chain.steps[0].text) == 63_800
