"""Exact labels for chains about lab problems: the story is read again and followed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rung.core.types import Chain, StepLabels, Verdict
from rung.data.lab import Story, answer_text, read_story, step_text

_NUMBER = re.compile(r"-?\d+")
MAX_DIGITS = 20
"""No answer has more, and Python reads no number of thousands of digits."""


@dataclass(frozen=True, slots=True)
class LabLabeler:
    """A `Labeler` and a `Verifier` that is never wrong, for the lab's problems alone.

    Step k is right if it does what happens in month k to the pile as it is, with the right
    result; the step behind the last month is right if it states the right answer. Stopping
    early, writing on behind the answer and any other text are wrong. Steps behind the first
    error are not judged: None.
    """

    source: str = "lab"

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """Label every step up to the first error.

        Raises:
            RungError: A problem is none of the lab's.
        """
        return [StepLabels(_labels(chain), self.source) for chain in chains]

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        """Compare the final answers with the stories' own.

        Raises:
            RungError: A problem is none of the lab's.
        """
        return [_verdict(chain) for chain in chains]


def _labels(chain: Chain) -> tuple[float | None, ...]:
    right = _right_texts(read_story(chain.problem))
    labels: list[float | None] = []
    for index, text in enumerate(chain.texts):
        if 0.0 in labels:
            labels.append(None)
        else:
            labels.append(float(index < len(right) and text.strip() == right[index]))
    return tuple(labels)


def _right_texts(story: Story) -> list[str]:
    steps = [
        step_text(event.month, fact, fact.result)
        for event, fact in zip(story.events, story.facts, strict=True)
    ]
    return [*steps, answer_text(story.answer)]


def _verdict(chain: Chain) -> Verdict:
    right = read_story(chain.problem).answer
    if chain.answer is None or not _NUMBER.fullmatch(chain.answer.strip()):
        return Verdict.UNPARSED
    is_right = len(chain.answer) <= MAX_DIGITS and int(chain.answer) == right
    return Verdict.CORRECT if is_right else Verdict.INCORRECT
