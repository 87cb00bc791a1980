"""Math-Shepherd (arXiv 2312.08935): steps labeled by whether rollouts reached the right answer.

Fields: `input`, the problem and its steps, each step ended by the tag "ки"; `label`, the same
text with "+" or "-" in the tags' places; `task`, "GSM8K" or "MATH".
"""

from __future__ import annotations

import re

import msgspec

from rung.core.types import Chain, ChainRecord, StepLabels
from rung.data.rows import Row, problem_of, rest_of

TAG = "ки"
FIELDS = ("input", "label", "task")
FIRST_STEP = "Step 1:"
_ANSWER = re.compile(r"[Tt]he answer is:?\s*(.+?)\s*$", re.DOTALL)
_SIGNS = {"+": 1.0, "-": 0.0}


class MathShepherdRow(msgspec.Struct):
    """The row as it is published."""

    input: str
    label: str
    task: str | None = None


def detects(row: Row) -> bool:
    """True for rows with the published fields (a task that is a list of labels is no match)."""
    return isinstance(row.get("input"), str) and isinstance(row.get("label"), str)


def read(row: Row) -> ChainRecord:
    """One chain. Text behind the last tag is a step without a label.

    Raises:
        ValueError: `label` does not follow `input`, or the first step can't be found.
    """
    raw = msgspec.convert(row, MathShepherdRow)
    *tagged, rest = raw.input.split(TAG)
    if not tagged:
        raise ValueError(f"there is no {TAG!r} in the input, expected one behind every step")
    labels: list[float | None] = [*_signs(tagged, raw.label)]
    question, first = _split_question(tagged[0])
    texts = [first, *(text.strip() for text in tagged[1:])]
    if rest.strip():
        texts.append(rest.strip())
        labels.append(None)
    answer = _ANSWER.search(texts[-1])
    chain = Chain.of(problem_of(question), texts, answer=answer.group(1) if answer else None)
    meta = {"task": raw.task, **rest_of(row, *FIELDS)}
    return ChainRecord(chain, (StepLabels(tuple(labels), "rollout"),), meta=meta)


def write(record: ChainRecord, labels: StepLabels) -> Row:
    """The row that `read` gives back; a label of at least 0.5 becomes "+".

    Raises:
        ValueError: A step other than the last has no label, or the text can't hold the tags.
    """
    texts = record.chain.texts
    last = len(texts) - (labels.labels[-1] is None)
    if None in labels.labels[:last]:
        raise ValueError("Math-Shepherd labels every step, here some have no label")
    if not texts[0].startswith(FIRST_STEP):
        raise ValueError(f"Math-Shepherd's first step begins with {FIRST_STEP!r}, here it doesn't")
    if any(TAG in text for text in (record.chain.problem.question, *texts)):
        raise ValueError(f"the text has the tag {TAG!r} in it already")
    signs = ["+" if y is not None and y >= 0.5 else "-" for y in labels.labels[:last]]
    row: Row = {
        "input": _text(record.chain, [TAG] * last),
        "label": _text(record.chain, signs),
    }
    task = record.meta.get("task")
    return row if task is None else {**row, "task": task}


def _signs(tagged: list[str], label: str) -> list[float]:
    values: list[float] = []
    at = 0
    for k, text in enumerate(tagged):
        at += len(text)
        sign = label[at : at + 1]
        if label[at - len(text) : at] != text or sign not in _SIGNS:
            raise ValueError(
                f"step {k}: the label does not repeat the input with '+' or '-' for {TAG!r}"
            )
        values.append(_SIGNS[sign])
        at += 1
    return values


def _split_question(text: str) -> tuple[str, str]:
    at = text.rfind(FIRST_STEP)
    if at < 0:
        raise ValueError(f"there is no {FIRST_STEP!r} between the problem and the first {TAG!r}")
    return text[:at].strip(), text[at:].strip()


def _text(chain: Chain, ends: list[str]) -> str:
    lines = [f"{text} {end}" for text, end in zip(chain.texts, ends, strict=False)]
    return f"{chain.problem.question} " + "\n".join([*lines, *chain.texts[len(ends) :]])
