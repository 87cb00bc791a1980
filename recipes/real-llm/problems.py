"""GSM8K's problems in their splits, and its solutions as equations alone.

A solution of GSM8K carries each calculation as `<<48/2=24>>`. Here a chain is these equations, one
a step, and `#### 72` at its end: a third of the tokens of the whole solution, and what they say is
what the calculator and the reference can judge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rung.core import Chain, ChainRecord, Problem, Verdict
from rung.data import load, load_problems, problem_key

TRAIN, TEST = "problems_gsm8k_train.jsonl.gz", "problems_gsm8k_test.jsonl.gz"
_CALCULATION = re.compile(r"<<([^<>]*)>>")
_NO_PART_OF_IT = re.compile(r"[\s,$]")


def demonstrations(data: Path) -> list[ChainRecord]:
    """The training solutions whose last equation has the answer, drawn by `in_drawn_order`."""
    records = (_equations(record) for record in load(data / TRAIN))
    return in_drawn_order([record for record in records if record is not None])


def test_problems(data: Path, count: int) -> list[Problem]:
    """So many test problems, whether the policy solves them or not."""
    problems = list(load_problems(data / TEST))
    return sorted(problems, key=lambda problem: _draw(problem.question))[:count]


def in_drawn_order(records: Iterable[ChainRecord]) -> list[ChainRecord]:
    """Chains in the order of a hash of their question: any first part is a fair draw."""
    return sorted(records, key=lambda record: _draw(record.chain.problem.question))


def calculations(texts: Sequence[str]) -> list[str]:
    """What stands in the calculator's brackets, without spaces, commas and dollar signs."""
    found = (match for text in texts for match in _CALCULATION.findall(text))
    return [_NO_PART_OF_IT.sub("", equation) for equation in found]


def value_of(equation: str) -> float | None:
    """The number behind the last "="; None where there is none."""
    try:
        return float(equation.rpartition("=")[2])
    except ValueError:
        return None


def _equations(record: ChainRecord) -> ChainRecord | None:
    problem, found = record.chain.problem, calculations(record.chain.texts)
    if not found or problem.answer is None or value_of(found[-1]) != float(problem.answer):
        return None
    steps = [*found, f"#### {problem.answer}"]
    chain = Chain.of(problem, steps, answer=problem.answer, source=record.chain.source)
    return ChainRecord(chain, outcome=Verdict.CORRECT)


def _draw(question: str) -> bytes:
    return hashlib.blake2b(problem_key(question).encode()).digest()
