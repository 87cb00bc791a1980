"""Example chains for the report: which ones, and what is said of each step."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rung.core import AGGREGATIONS, ChainRecord, StepLabels, Verdict
from rung.eval.processbench import THRESHOLD, predicted_first_error

EXAMPLES = 10
WRONG_SHARE = 0.6
MAX_CHARACTERS = 700
STRONGEST_TINT = 0.34

OUTCOMES = {
    Verdict.CORRECT: ("✓", "right answer", "good"),
    Verdict.INCORRECT: ("✗", "wrong answer", "bad"),
    Verdict.UNPARSED: ("?", "no readable answer", "bad"),
    Verdict.TIMEOUT: ("?", "answer could not be checked in time", "bad"),
}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as the page shows it."""

    number: int
    text: str
    score: str
    icon: str
    tone: str
    """The class that colors it: good, bad or none."""
    tint: float
    notes: tuple[str, ...]
    is_first_error: bool


@dataclass(frozen=True, slots=True)
class ExampleView:
    """A chain as the page shows it."""

    question: str
    steps: tuple[StepView, ...]
    answer: str
    reference: str
    outcome_icon: str
    outcome: str
    outcome_tone: str
    value: str
    """The steps' scores combined by the report's rule."""


def choose_examples(
    records: Iterable[ChainRecord], *, count: int = EXAMPLES, seed: int = 0
) -> list[ChainRecord]:
    """Draw chains at random, each of another problem: six in ten with a wrong answer.

    Args:
        records: Checked chains.
        count: How many; fewer where there are too few problems.
        seed: Of the draw.
    """
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    wanted = {False: round(WRONG_SHARE * count), True: count - round(WRONG_SHARE * count)}
    chosen: dict[str, ChainRecord] = {}
    for record in shuffled:
        problem = record.chain.problem.root_id
        if record.outcome is None or problem in chosen:
            continue
        if wanted[record.outcome.is_correct] > 0:
            wanted[record.outcome.is_correct] -= 1
            chosen[problem] = record
    return sorted(chosen.values(), key=lambda record: record.outcome is Verdict.CORRECT)


def view_example(
    record: ChainRecord, *, scorer: str | None, label_source: str | None, rule: str
) -> ExampleView:
    """What the page shows of a chain."""
    scores = record.scores_by(scorer)
    labels = record.labels_from(label_source)
    known = () if scores is None else scores.known
    flagged = None if scores is None else predicted_first_error(scores)
    icon, outcome, tone = ("·", "nobody checked the answer", "none")
    if record.outcome is not None:
        icon, outcome, tone = OUTCOMES[record.outcome]
    values = scores.scores if scores is not None else (None,) * len(record.chain.steps)
    return ExampleView(
        question=_shorten(record.chain.problem.question),
        steps=tuple(
            _view_step(k, text, score, labels, flagged)
            for k, (text, score) in enumerate(zip(record.chain.texts, values, strict=True))
        ),
        answer=_shorten(record.chain.answer or "none"),
        reference=_shorten(record.chain.problem.answer or "unknown"),
        outcome_icon=icon,
        outcome=outcome,
        outcome_tone=tone,
        value=f"{AGGREGATIONS[rule](known):.2f}" if known else "–",
    )


def _view_step(
    index: int, text: str, score: float | None, labels: StepLabels | None, flagged: int | None
) -> StepView:
    is_first_error = labels is not None and labels.first_error == index
    notes: Sequence[str] = [
        *(["first error"] if is_first_error else []),
        *(["PRM's first doubt"] if flagged == index else []),
    ]
    is_good = score is not None and score >= THRESHOLD
    return StepView(
        number=index + 1,
        text=_shorten(text),
        score="–" if score is None else f"{score:.2f}",
        icon="·" if score is None else "✓" if is_good else "✗",
        tone="none" if score is None else "good" if is_good else "bad",
        tint=0.0 if score is None else round(STRONGEST_TINT * abs(2 * score - 1), 3),
        notes=tuple(notes),
        is_first_error=is_first_error,
    )


def _shorten(text: str) -> str:
    text = text.strip()
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}… ({len(text):,} characters)"
