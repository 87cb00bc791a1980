"""Step labels from a language model that is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rung.core.errors import RungError
from rung.core.types import Chain, StepLabels
from rung.label.chat import Asked, ChatModel, Message, Reply
from rung.label.judge_forms import Form, Reading, RubricForm, StepForm, UnreadableError
from rung.label.reply_log import ReplyLog, key_of

EXCERPT = 1000
"""Characters of an unreadable answer that the judge is shown again."""


@dataclass(slots=True)
class Spent:
    """What asking took. New replies cost something; those from the log were paid before."""

    new_replies: int = 0
    logged_replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of the new replies."""
    uncounted_replies: int = 0
    """New replies whose tokens the server did not count."""
    repaired: int = 0
    """Answers that were asked for again because they could not be read."""
    unreadable: int = 0
    """Questions that never got an answer that can be read."""
    refused: int = 0
    """Questions that the judge or its server would not answer."""

    def cost(self, price_in: float, price_out: float) -> float:
        """What the new replies cost, by prices for a million tokens."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6

    def add(self, reply: Reply) -> None:
        """Count a new reply."""
        self.new_replies += 1
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        self.uncounted_replies += None in (reply.prompt_tokens, reply.completion_tokens)


@dataclass(frozen=True, slots=True)
class JudgeLabeler:
    """A `Labeler` that asks a model.

    Equal questions are asked once. An answer that can't be read is asked for again with the
    reason; a judge that refuses, or never gives a readable answer, leaves None.
    """

    model: ChatModel
    form: Form
    source: str
    votes: int = 1
    """Answers to each question; the majority's verdict is the label, a tie gives None."""
    soft: bool = False
    """Give the share of the votes that say right instead of the majority's verdict."""
    repairs: int = 2
    """How often an unreadable answer is asked for again."""
    log: ReplyLog = field(default_factory=ReplyLog)
    spent: Spent = field(default_factory=Spent)

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        """One `StepLabels` a chain, in order; with a rubric, the combined ones.

        Raises:
            RungError: The model can't be asked, or refused all that it was asked.
        """
        return [labels for labels, *_ in self.label_all(chains)]

    def label_all(self, chains: Sequence[Chain]) -> list[tuple[StepLabels, ...]]:
        """For each chain its labels and, with a rubric, those of each criterion behind them."""
        if isinstance(self.form, StepForm):
            return self._label_steps(chains)
        distinct = {chain.prefix_id: chain for chain in chains if chain.steps}
        votes = dict(zip(distinct, self._votes(list(distinct.values())), strict=True))
        return [self._labels(chain, votes.get(chain.prefix_id, [])) for chain in chains]

    def _label_steps(self, chains: Sequence[Chain]) -> list[tuple[StepLabels, ...]]:
        prefixes = {
            step.id: chain.prefix(k + 1) for chain in chains for k, step in enumerate(chain.steps)
        }
        votes = self._votes(list(prefixes.values()))
        label_of = {
            key: combine(readings, 1, is_whole=False, soft=self.soft)[0]
            for key, readings in zip(prefixes, votes, strict=True)
        }
        return [
            (StepLabels(tuple(label_of[step.id] for step in chain.steps), self.source),)
            for chain in chains
        ]

    def _labels(self, chain: Chain, readings: Sequence[Reading]) -> tuple[StepLabels, ...]:
        count = len(chain.steps)
        if isinstance(self.form, RubricForm):
            return self._rubric_labels(self.form, count, readings)
        found = combine(readings, count, is_whole=self.form.is_whole, soft=self.soft)
        return (StepLabels(found, self.source),)

    def _rubric_labels(
        self, form: RubricForm, count: int, readings: Sequence[Reading]
    ) -> tuple[StepLabels, ...]:
        criteria = form.rubric.criteria
        columns = {
            criterion.name: [reading[k * count : (k + 1) * count] for reading in readings]
            for k, criterion in enumerate(criteria)
        }
        whole = [
            tuple(form.rubric.label(verdicts) for verdicts in _by_step(reading, count))
            for reading in readings
        ]
        combined = combine(whole, count, is_whole=False, soft=self.soft)
        return (
            StepLabels(combined, self.source),
            *(
                StepLabels(
                    combine(map(_numbers, votes), count, is_whole=False, soft=self.soft),
                    f"{self.source}/{name}",
                )
                for name, votes in columns.items()
            ),
        )

    def _votes(self, chains: Sequence[Chain]) -> list[list[Reading]]:
        """The readable answers about each chain."""
        open_questions = {
            (k, vote): Asked((Message("user", self.form.prompt(chain)),), vote)
            for k, chain in enumerate(chains)
            for vote in range(self.votes)
        }
        found: list[list[Reading]] = [[] for _ in chains]
        for attempt in range(self.repairs + 1):
            replies = self._replies(open_questions)
            again: dict[tuple[int, int], Asked] = {}
            for place, asked in open_questions.items():
                reply = replies[place]
                if reply.refusal is not None:
                    self.spent.refused += 1
                    continue
                try:
                    found[place[0]].append(self.form.read(reply.text, chains[place[0]]))
                except UnreadableError as error:
                    again[place] = _asked_again(asked, reply, str(error))
            if not again or attempt == self.repairs:
                self.spent.unreadable += len(again)
                break
            self.spent.repaired += len(again)
            open_questions = again
        return found

    def _replies(self, asked: Mapping[tuple[int, int], Asked]) -> dict[tuple[int, int], Reply]:
        """A reply a question, from the log or from the model; new ones are kept at once."""
        key_at = {place: key_of(self.model.fingerprint, one) for place, one in asked.items()}
        question = {key_at[place]: one for place, one in asked.items()}
        known = {key: reply for key in question if (reply := self.log.get(key)) is not None}
        self.spent.logged_replies += len(known)
        missing = [key for key in question if key not in known]
        for place, reply in self.model.replies([question[key] for key in missing]):
            known[missing[place]] = reply
            if reply.is_paid:
                self.log.put(missing[place], self.model.name, reply)
                self.spent.add(reply)
        self._check_not_all_turned_away([known[key] for key in missing])
        return {place: known[key] for place, key in key_at.items()}

    def _check_not_all_turned_away(self, replies: Sequence[Reply]) -> None:
        """A server that turns everything away was asked in a wrong way, and not wrong things."""
        answered = self.spent.new_replies + self.spent.logged_replies
        if replies and not answered and not any(reply.is_paid for reply in replies):
            raise RungError(replies[0].refusal or "the server turned every question away")


def combine(
    readings: Iterable[Reading], count: int, *, is_whole: bool, soft: bool
) -> tuple[float | None, ...]:
    """One label a slot from several readings of `count` slots.

    Args:
        readings: Verdicts 1, 0 or None, one a slot.
        count: How many slots there are.
        is_whole: Take the most frequent reading as it is, and none where two are equally
            frequent; else count each slot's verdicts by themselves.
        soft: Give each slot the mean of its verdicts.
    """
    votes = list(readings)
    if is_whole and not soft:
        common = Counter(votes).most_common(2)
        is_clear = len(common) == 1 or (len(common) == 2 and common[0][1] > common[1][1])
        return tuple(map(_number, common[0][0])) if is_clear else (None,) * count
    slots = zip(*votes, strict=True) if votes else [()] * count
    return tuple(_slot(slot, soft) for slot in slots)


def _slot(verdicts: Sequence[float | str | None], soft: bool) -> float | None:
    known = [number for verdict in verdicts if (number := _number(verdict)) is not None]
    if not known:
        return None
    mean = fmean(known)
    if soft:
        return mean
    return None if mean == 0.5 else float(mean > 0.5)


def _number(verdict: float | str | None) -> float | None:
    if isinstance(verdict, str):
        return {"pass": 1.0, "fail": 0.0}.get(verdict)
    return verdict


def _numbers(reading: Reading) -> Reading:
    return tuple(map(_number, reading))


def _by_step(reading: Reading, count: int) -> list[list[str | None]]:
    """A rubric's verdicts, step after step."""
    words = [verdict if isinstance(verdict, str) else None for verdict in reading]
    return [words[step::count] for step in range(count)]


def _asked_again(asked: Asked, reply: Reply, why: str) -> Asked:
    cut = " It was cut off: be shorter." if reply.finish_reason == "length" else ""
    again = f"This answer can't be read: {why}.{cut} Give the answer again, in the form asked for."
    turns = (Message("assistant", reply.text[-EXCERPT:]), Message("user", again))
    return Asked((*asked.messages, *turns), asked.vote)
