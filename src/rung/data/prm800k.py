"""PRM800K (arXiv 2305.20050): people's ratings of every step, with rated alternatives to steps.

A row holds one solution: `label.steps[k].completions` are the candidates for step k, each rated
-1, 0 or 1 (or null), `chosen_completion` says which one the solution went on with, and
`human_completion` is a step that the labeler wrote. Field by field:
https://github.com/openai/prm800k/blob/00811d6de065642a6967b9017d4cee59550c0ef4/README.md

A row becomes several chains that share their prefix and so its step ids: the solution itself,
and one chain for each candidate that was not chosen, which ends there. Where it helps to know:

* In phase 2 labeling stops at the first error, but the whole solution was written beforehand
  (`pre_generated_steps`). The solution's chain has all of it, later steps unlabeled; otherwise
  the last step would give the label away.
* A step that a labeler wrote has no rating, so no label; `meta["human_steps"]` lists these.
* The reference solution is not kept: it belongs to MATH, and every chain would repeat it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from rung.core.types import Chain, ChainRecord, Problem, Provenance, Step, StepLabels
from rung.data.rows import Neutral, Row, label_of_rating, problem_of

FINAL_ANSWER = "# Answer"


class Completion(msgspec.Struct):
    """A candidate for a step."""

    text: str | None
    rating: int | None = None
    flagged: bool | None = None
    corrected_rating: int | None = None


class LabeledStep(msgspec.Struct):
    """All candidates for one step, and which of them the solution went on with."""

    completions: list[Completion] | None
    human_completion: Completion | None = None
    chosen_completion: int | None = None


class Question(msgspec.Struct):
    """The problem; the `pre_generated_` fields are phase 2's."""

    problem: str
    ground_truth_answer: str | None = None
    pre_generated_steps: list[str] | None = None
    pre_generated_answer: str | None = None
    pre_generated_verifier_score: float | None = None


class Label(msgspec.Struct):
    """The labeler's work."""

    steps: list[LabeledStep]
    finish_reason: str
    total_time: float | None = None


class Prm800kRow(msgspec.Struct):
    """The row as it is published."""

    question: Question
    label: Label
    labeler: str | None = None
    timestamp: str | None = None
    generation: int | None = None
    is_quality_control_question: bool | None = None
    is_initial_screening_question: bool | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    rating: int | None = None
    is_flagged: bool = False
    is_human: bool = False


def detects(row: Row) -> bool:
    """True for the raw row, also when it is wrapped as `{"raw": row}`."""
    raw = row.get("raw", row)
    label = raw.get("label") if isinstance(raw, dict) else None
    return isinstance(label, dict) and "steps" in label and "question" in raw


def read(row: Row, neutral: Neutral) -> list[ChainRecord]:
    """The solution's chain, then a chain for each other candidate.

    Raises:
        ValueError: The row has no steps, or chooses a candidate that is not there.
    """
    raw = msgspec.convert(row.get("raw", row), Prm800kRow)
    problem = problem_of(raw.question.problem, raw.question.ground_truth_answer)
    paths = _paths(raw)
    if not paths:
        raise ValueError("the chain has no steps - `$.label.steps`")
    main, *others = paths
    solution = _record(raw, problem, main, neutral, None)
    return [solution, *(_record(raw, problem, path, neutral, solution) for path in others)]


def _paths(raw: Prm800kRow) -> list[list[_Candidate]]:
    """The solution's steps first, then those of each chain that ends in another candidate."""
    solution: list[_Candidate] = []
    branches: list[list[_Candidate]] = []
    for step in raw.label.steps:
        chosen, others = _choose(step)
        tips = [[*solution, other] for other in others]
        if chosen is None:  # labeling ended here, and none of the candidates was taken
            return [*_open_end(raw.question, solution, tips), *branches]
        branches += tips
        solution.append(chosen)
    return [solution + _written_rest(raw.question, solution), *branches] if solution else []


def _open_end(
    question: Question, solution: list[_Candidate], tips: list[list[_Candidate]]
) -> list[list[_Candidate]]:
    if not tips:
        return [solution] if solution else []
    # the step that the policy had written, if it is known, else the first
    main = next((tip for tip in tips if _is_written(question, tip)), tips[0])
    return [main + _written_rest(question, main), *(tip for tip in tips if tip is not main)]


def _choose(step: LabeledStep) -> tuple[_Candidate | None, list[_Candidate]]:
    candidates = [
        _Candidate(c.text, _rating(c), bool(c.flagged)) for c in step.completions or () if c.text
    ]
    human = step.human_completion
    if human is not None and human.text:
        written = _Candidate(human.text, _rating(human), bool(human.flagged), is_human=True)
        if step.chosen_completion is None:
            return written, candidates
        return _pick(candidates, step.chosen_completion, also=[written])
    if step.chosen_completion is None:
        return None, candidates
    return _pick(candidates, step.chosen_completion, also=[])


def _pick(
    candidates: list[_Candidate], chosen: int, also: list[_Candidate]
) -> tuple[_Candidate, list[_Candidate]]:
    if not 0 <= chosen < len(candidates):
        raise ValueError(f"chosen_completion is {chosen} of {len(candidates)} completions")
    return candidates[chosen], [*candidates[:chosen], *candidates[chosen + 1 :], *also]


def _rating(completion: Completion) -> int | None:
    return completion.corrected_rating if completion.rating is None else completion.rating


def _is_written(question: Question, path: list[_Candidate]) -> bool:
    written = question.pre_generated_steps or []
    return written[: len(path)] == [candidate.text for candidate in path]


def _written_rest(question: Question, path: list[_Candidate]) -> list[_Candidate]:
    if not _is_written(question, path):
        return []
    return [_Candidate(text) for text in (question.pre_generated_steps or [])[len(path) :]]


def _record(
    raw: Prm800kRow,
    problem: Problem,
    path: list[_Candidate],
    neutral: Neutral,
    solution: ChainRecord | None,
) -> ChainRecord:
    """The record of a path; all but the last step of an alternative are the solution's own."""
    shared = () if solution is None else solution.chain.steps[: len(path) - 1]
    _, found, answer = path[-1].text.partition(FINAL_ANSWER)
    chain = Chain(
        problem,
        (*shared, *(Step(candidate.text) for candidate in path[len(shared) :])),
        answer=(answer.strip() or None) if found else None,
        source=Provenance(policy="prm800k"),
    )
    labels = StepLabels(
        tuple(label_of_rating(step.rating, neutral) for step in path),
        "human",
        ratings=tuple(step.rating for step in path),
    )
    return ChainRecord(chain, (labels,), meta=_meta(raw, path, is_alternative=solution is not None))


def _meta(raw: Prm800kRow, path: list[_Candidate], *, is_alternative: bool) -> dict[str, Any]:
    return {
        "phase": 1 if raw.question.pre_generated_steps is None else 2,
        "finish_reason": raw.label.finish_reason,
        "is_alternative": is_alternative,
        "human_steps": [k for k, step in enumerate(path) if step.is_human],
        "flagged_steps": [k for k, step in enumerate(path) if step.is_flagged],
        "is_quality_control_question": raw.is_quality_control_question,
        "is_initial_screening_question": raw.is_initial_screening_question,
        "labeler": raw.labeler,
        "timestamp": raw.timestamp,
        "generation": raw.generation,
        "total_time_ms": raw.label.total_time,
        "pre_generated_verifier_score": raw.question.pre_generated_verifier_score,
    }
