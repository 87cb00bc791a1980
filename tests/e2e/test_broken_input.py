"""Broken input: every verb says one clear sentence, ends with code 2 and leaves nothing behind."""

import re
import shutil
from pathlib import Path

import pytest

from rung import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict
from rung.cli.main import main
from rung.core.codec import encode_record


def record(number: int, *, is_right: bool = True) -> ChainRecord:
    answer = str(2 * number) if is_right else "0"
    chain = Chain.of(
        Problem(f"p{number}", f"What is {number} + {number}?", str(2 * number)),
        ["We add.", f"{number} + {number} = {answer}"],
        answer=answer,
    )
    return ChainRecord(
        chain,
        labels=(StepLabels((1.0, float(is_right)), "human"),),
        scores=(StepScores((0.9, 0.4), "prm"),),
        outcome=Verdict.CORRECT if is_right else Verdict.INCORRECT,
    )


GOOD = b"".join(encode_record(record(k, is_right=k % 3 > 0)) for k in range(8))
LAST = encode_record(record(9))
LABELS = b'"labels":[1.0,1.0]'


def broken(old: bytes, new: bytes) -> bytes:
    assert LAST.count(old) == 1
    return GOOD + LAST.replace(old, new)


def with_steps(steps: str) -> bytes:
    row = '{"rung":1,"record":{"chain":{"problem":{"id":"p","question":"q"},"steps":[%s]}}}\n'
    return GOOD + (row % steps).encode()


INPUTS = {
    "an empty file": (b"", "is empty"),
    "a truncated line": (GOOD + LAST[:-80], "line 9: this is not valid JSON"),
    "labels fewer than steps": (broken(LABELS, b'"labels":[1.0]'), "line 9: labels of 'human': 1"),
    "a NaN label": (broken(LABELS, b'"labels":[NaN,1.0]'), "line 9: "),
    "a chain with no steps": (with_steps(""), "line 9: the chain has no steps"),
    "an endless step": (
        with_steps('{"text":"%s"}' % ("x" * 100_000)),
        "line 9: step 0 has 100000 characters",
    ),
    "an unknown format": (b'{"quiz":"What?","solved":true}\n', "line 1: "),
    "text that is not JSON": (b"Once upon a time\n", "line 1: this is not valid JSON"),
}
CHAIN_VERBS = {
    "data convert": "data convert BAD --out OUT",
    "data stats": "data stats BAD",
    "data split": "data split BAD --train OUT --held-out OUT2",
    "sample": "sample BAD --policy LM --n 2 --max-tokens 8 --out OUT",
    "label verify": "label verify BAD --verifier answer --verifier arithmetic --out OUT",
    "train prm": "train prm BAD --trunk LM --out NEW",
    "train orm": "train orm BAD --trunk LM --out NEW",
    "train policy": "train policy BAD --trunk LM --out NEW",
    "score": "score BAD --scorer PRM --out OUT",
    "rerank": "rerank BAD --out OUT",
    "eval best-of-n": "eval best-of-n BAD --out OUT",
    "eval steps": "eval steps BAD",
    "eval processbench": "eval processbench BAD",
}


@pytest.fixture
def places(tmp_path: Path, tiny_lm: Path, tiny_prm: Path) -> dict[str, Path]:
    """What the words in capitals stand for."""
    made = tmp_path / "made"
    outputs = {"OUT": made / "out.jsonl", "OUT2": made / "out2.jsonl", "NEW": made / "model"}
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    inputs = {"BAD": tmp_path / "bad.jsonl", "GOOD": tmp_path / "good.jsonl"}
    return {**inputs, **outputs, "LM": tiny_lm, "PRM": tiny_prm}


def arguments(template: str, places: dict[str, Path]) -> list[str]:
    return [str(places.get(word, word)) for word in template.split()]


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence with which a command refuses its input."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    *progress, sentence = captured.err.splitlines()
    assert captured.out == ""
    assert sentence.startswith("rung: ")
    assert not any(line.startswith("rung: ") for line in progress)
    assert len(sentence) < 600
    return sentence


def made(places: dict[str, Path]) -> set[str]:
    """The files that stand where outputs go."""
    return {path.name for path in places["OUT"].parent.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", INPUTS)
@pytest.mark.parametrize("verb", CHAIN_VERBS)
def test_a_broken_file_is_refused(verb: str, what: str, places: dict[str, Path], capsys):
    content, reason = INPUTS[what]
    places["BAD"].write_bytes(content)
    sentence = refused([*arguments(CHAIN_VERBS[verb], places), "--json"], capsys)
    assert str(places["BAD"]) in sentence
    assert reason in sentence
    assert made(places) == set()


@pytest.mark.parametrize("verb", CHAIN_VERBS)
def test_bad_rows_are_left_out_and_counted_on_request(verb: str, places: dict[str, Path], capsys):
    rows = [content.removeprefix(GOOD) for content, reason in INPUTS.values() if "line 9" in reason]
    places["BAD"].write_bytes(GOOD + b"".join(row.rstrip() + b"\n" for row in rows))
    assert main([*arguments(CHAIN_VERBS[verb], places), "--skip-bad", "--json"]) == 0
    captured = capsys.readouterr()
    assert re.search(rf'"skipped(_rows)?":{len(rows)}\b', captured.out)
    assert "line 9: " in captured.out + captured.err, "says why"


@pytest.mark.parametrize("verb", CHAIN_VERBS)
def test_a_missing_file_is_said(verb: str, places: dict[str, Path], capsys):
    sentence = refused(arguments(CHAIN_VERBS[verb], places), capsys)
    assert f"{places['BAD']}: there is no such file" in sentence
    assert made(places) == set()


CHECKPOINT_VERBS = {
    "sample": ("sample GOOD --policy MODEL --n 1 --max-tokens 8 --out OUT", "LM"),
    "score": ("score GOOD --scorer MODEL --out OUT", "PRM"),
    "calibrate": ("calibrate GOOD --scorer MODEL", "PRM"),
    "train prm": ("train prm GOOD --trunk MODEL --out NEW", "LM"),
    "train policy": ("train policy GOOD --trunk MODEL --out NEW", "LM"),
}
CHECKPOINT_FILES = ["model.safetensors", "config.json", "tokenizer.json", "rung.json"]
BROKEN_CHECKPOINTS = [
    (verb, name)
    for verb, (_, model) in CHECKPOINT_VERBS.items()
    for name in CHECKPOINT_FILES
    if model == "PRM" or name != "rung.json"
]


@pytest.mark.parametrize("harm", ["lacks", "cut short"])
@pytest.mark.parametrize(("verb", "name"), BROKEN_CHECKPOINTS)
def test_a_broken_checkpoint_is_refused(
    verb: str, name: str, harm: str, tmp_path: Path, places: dict[str, Path], capsys
):
    template, kind = CHECKPOINT_VERBS[verb]
    model = Path(shutil.copytree(places[kind], tmp_path / "broken-model"))
    if harm == "lacks":
        (model / name).unlink()
    else:
        (model / name).write_bytes((model / name).read_bytes()[:40])
    assert str(model) in refused(arguments(template, {**places, "MODEL": model}), capsys)
    assert made(places) == set()


@pytest.mark.parametrize("verb", CHECKPOINT_VERBS)
def test_a_missing_checkpoint_is_said(verb: str, tmp_path: Path, places: dict[str, Path], capsys):
    template, _ = CHECKPOINT_VERBS[verb]
    argv = arguments(template, {**places, "MODEL": tmp_path / "none"})
    assert str(tmp_path / "none") in refused(argv, capsys)
    assert made(places) == set()
