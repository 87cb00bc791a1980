"""The formats: one row of this table, and one file in this folder, for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rung.core.codec import problem_from, record_from
from rung.core.types import ChainRecord, Problem, StepLabels
from rung.data import (
    big_bench_mistake,
    competition_math,
    gsm8k,
    humaneval,
    labeled_chains,
    math_shepherd,
    mbpp,
    prm800k,
    prmbench,
    prmbench_results,
    problem_set,
    processbench,
    published_scores,
    samples,
    trl,
)
from rung.data.rows import Choices, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How rows of one kind are known and read."""

    name: str
    about: str
    detects: Callable[[Row], bool]
    read: Callable[[Row, Choices], Iterable[ChainRecord]] | None = None
    """A row's chains; None where rows hold no chains."""
    problem: Callable[[Row], Problem] | None = None
    """A row's problem, where rows are problems."""
    write: Callable[[ChainRecord, StepLabels], Row] | None = None
    """A row for a chain with one set of labels, where rung writes the format."""


def _has(*fields: str) -> Callable[[Row], bool]:
    return lambda row: set(fields) <= set(row)


def _one(read: Callable[[Row], ChainRecord]) -> Callable[[Row, Choices], Iterable[ChainRecord]]:
    return lambda row, _: (read(row),)


OWN = Format(
    name="rung",
    about="rung's own chains, with labels, scores and verdicts",
    detects=_has("rung", "record"),
    read=_one(record_from),
)
OWN_PROBLEMS = Format(
    name="rung-problems",
    about="rung's own problems",
    detects=_has("rung", "problem"),
    problem=problem_from,
)

_ALL = [
    OWN,
    OWN_PROBLEMS,
    Format(
        name="prm800k",
        about="PRM800K: people's ratings of every step, with rated alternatives",
        detects=prm800k.detects,
        read=lambda row, choices: prm800k.read(row, choices.neutral),
    ),
    Format(
        name="math-shepherd",
        about="Math-Shepherd: steps ended by 'ки', labeled + or - by rollouts",
        detects=math_shepherd.detects,
        read=_one(math_shepherd.read),
        write=math_shepherd.write,
    ),
    Format(
        name="trl",
        about="TRL stepwise supervision: prompt, completions, labels",
        detects=_has(*trl.FIELDS),
        read=_one(trl.read),
        write=trl.write,
    ),
    Format(
        name="processbench",
        about="ProcessBench: the first wrong step, by experts",
        detects=_has("problem", "steps", "label"),
        read=_one(processbench.read),
        write=processbench.write,
    ),
    Format(
        name="prmbench",
        about="PRMBench: right solutions with a planted error",
        detects=_has("modified_question", "modified_process", "error_steps"),
        read=_one(prmbench.read),
    ),
    Format(
        name="big-bench-mistake",
        about="BIG-Bench-Mistake: the first mistake, five tasks",
        detects=_has("input", "steps", "mistake_index"),
        read=_one(big_bench_mistake.read),
    ),
    Format(
        name="labeled-chains",
        about="re-encoded chains: problem, steps, labels 1/0/-1, first_error",
        detects=_has(*labeled_chains.FIELDS),
        read=lambda row, choices: (labeled_chains.read(row, choices.neutral),),
    ),
    Format(
        name="samples",
        about="several sampled solutions of each problem",
        detects=_has(*samples.FIELDS),
        read=lambda row, choices: samples.read(row, choices.steps_by or "newline"),
    ),
    Format(
        name="published-scores",
        about="other PRMs' scores of ProcessBench steps, to be joined to its chains",
        detects=published_scores.detects,
    ),
    Format(
        name="prmbench-results",
        about="step scores by PRMBench's toolkit, to be joined to its chains",
        detects=prmbench_results.detects,
    ),
    Format(
        name="problem-set",
        about="re-encoded problems: id, source, problem, answer, solution",
        detects=_has(*problem_set.FIELDS),
        read=lambda row, choices: (problem_set.read(row, choices.steps_by),),
        problem=problem_set.problem,
    ),
    Format(
        name="mbpp",
        about="MBPP: a task, its reference program and tests",
        detects=mbpp.detects,
        read=lambda row, choices: (mbpp.read(row, choices.steps_by or "function"),),
        problem=mbpp.problem,
    ),
    Format(
        name="humaneval",
        about="HumanEval: the head of a function, its body and a check",
        detects=_has(*humaneval.FIELDS),
        read=lambda row, choices: (humaneval.read(row, choices.steps_by or "function"),),
        problem=humaneval.problem,
    ),
    Format(
        name="math",
        about="MATH: problem, solution, level, type",
        detects=_has("problem", "solution"),
        read=lambda row, choices: (competition_math.read(row, choices.steps_by or "blank-line"),),
        problem=competition_math.problem,
    ),
    Format(
        name="gsm8k",
        about="GSM8K: question, answer with <<a*b=c>> and #### n",
        detects=_has(*gsm8k.FIELDS),
        read=lambda row, choices: (gsm8k.read(row, choices.steps_by or "newline"),),
        problem=gsm8k.problem,
    ),
]
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}
"""By name, in the order in which they are tried on a row."""


def detect(row: Any) -> Format | None:
    """The format that a row looks like; None when it looks like none."""
    if not isinstance(row, dict):
        return None
    fields: Row = row
    return next((format for format in FORMATS.values() if format.detects(fields)), None)
