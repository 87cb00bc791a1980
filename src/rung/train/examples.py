"""Labelled chains to training examples, with a count of where every label went. No torch."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from rung.core.errors import RungError
from rung.core.types import ChainRecord, StepLabels
from rung.model.radix import numbered
from rung.model.rendering import Layout, Rendered, render_all
from rung.train.settings import RewardTraining, TargetCounts


@dataclass(frozen=True, slots=True)
class Example:
    """One chain to run: `targets[k]` is what position `reads[k]` of `ids` should say.

    A target is a label in [0, 1] for a reward model, a token id for a policy. `ids` ends with
    the last position that is read. An implicit PRM has one target, the chain's outcome, for all
    that is read, and `ids` ends one token behind.
    """

    ids: tuple[int, ...]
    reads: tuple[int, ...]
    targets: tuple[float, ...]
    question: str
    """Id of the question: chains of one question can share tokens."""
    positions: tuple[int, ...] = ()
    """Of a reward model, the steps that the targets are about: 0 is the chain's first."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples, and what became of all the labels."""

    examples: list[Example]
    counts: TargetCounts


def label_source(settings: RewardTraining, records: Iterable[ChainRecord]) -> str | None:
    """Whose labels to learn: the source that was named, or the only one there is.

    Raises:
        RungError: There is no such source, or several and none was named.
    """
    if settings.kind == "orm":
        return None
    known = sorted({labels.source for record in records for labels in record.labels})
    wanted = settings.label_source
    if not known:
        raise RungError("no chain carries step labels; 'rung label' makes them")
    if wanted is None and len(known) > 1:
        raise RungError(f"name one of the label sources that the chains carry: {', '.join(known)}")
    if wanted is not None and wanted not in known:
        raise RungError(f"no chain has labels from {wanted!r}; there are {', '.join(known)}")
    return wanted or known[0]


def reward_examples(
    settings: RewardTraining, records: Sequence[ChainRecord], tokenizer: Any, source: str | None
) -> Examples:
    """Examples for a PRM or an ORM.

    A step id is a target once, in the first chain that has it; where chains say different
    things of the same step (soft labels, or outcomes of different ends), the target is the mean.
    For a loss that compares the steps of a chain ("pqm"), a chain that brings a new target has
    all of its targets.
    """
    if settings.kind == "orm" and settings.orm_targets == "tokens":
        return _token_examples(settings, records, tokenizer)
    labels = [_labels(settings, record, source) for record in records]
    target_of = _targets(records, labels)
    rendered = render_all([record.chain for record in records], tokenizer, settings)
    tally, seen, examples = _Tally(chains=len(records)), set[str](), list[Example]()
    is_whole = settings.method.step_loss == "pqm"
    for record, labels_S, shown in zip(records, labels, rendered, strict=True):
        known = set[str]() if is_whole and _is_new(record, labels_S, shown, seen) else seen
        example = _reward_example(record, labels_S, shown, target_of, known, tally)
        seen |= known
        if example.reads:
            examples.append(example)
    return Examples(examples, tally.counts(examples))


def _token_examples(
    settings: RewardTraining, records: Sequence[ChainRecord], tokenizer: Any
) -> Examples:
    """Examples for an ORM that learns the outcome at every token of the steps.

    Cobbe et al. (arXiv 2110.14168) call it a token-level verifier. A token that several chains
    begin with is a target once: the mean of their outcomes.
    """
    chains = [record.chain for record in records]
    shown_B = render_all(chains, tokenizer, settings)
    whole_B = render_all(chains, tokenizer, replace(settings, max_tokens=sys.maxsize))
    numbers: dict[tuple[int, int], int] = {}
    nodes_B = [numbered(shown.ids, numbers) for shown in shown_B]
    said: dict[int, list[float]] = defaultdict(list)
    for record, shown, nodes in zip(records, shown_B, nodes_B, strict=True):
        if record.outcome is not None:
            for node in nodes[shown.num_question_tokens :]:
                said[node].append(float(record.outcome.is_correct))
    tally, seen, examples = _Tally(chains=len(records)), set[int](), list[Example]()
    for record, shown, whole, nodes in zip(records, shown_B, whole_B, nodes_B, strict=True):
        places = range(shown.num_question_tokens, len(shown.ids))
        num_tokens = len(whole.ids) - whole.num_question_tokens
        tally.places += num_tokens
        if record.outcome is None:
            tally.unlabeled += num_tokens
            continue
        reads = tuple(place for place in places if nodes[place] not in seen)
        tally.truncated += num_tokens - len(places)
        tally.duplicate += len(places) - len(reads)
        seen.update(nodes[place] for place in reads)
        if reads:
            targets = tuple(fmean(said[nodes[place]]) for place in reads)
            ids = shown.ids[: reads[-1] + 1]
            examples.append(Example(ids, reads, targets, record.chain.problem.root_id))
    return Examples(examples, tally.counts(examples))


def policy_examples(layout: Layout, records: Sequence[ChainRecord], tokenizer: Any) -> Examples:
    """Examples for a policy: every token of the steps, and the end where the chain ended.

    A chain that was cut off (finish reason "length") or that does not fit has no end to learn.

    Raises:
        RungError: The tokenizer has no token for the end.
    """
    if tokenizer.eos_token_id is None:
        raise RungError("the tokenizer has no end-of-sequence token, which a policy must learn")
    rendered = render_all([record.chain for record in records], tokenizer, layout)
    tally, examples = _Tally(chains=len(records)), list[Example]()
    for record, shown in zip(records, rendered, strict=True):
        tally.places += len(shown.step_ends)
        tally.truncated += shown.num_lost
        if shown.num_lost < len(shown.step_ends):
            ids = (*shown.ids, tokenizer.eos_token_id) if _has_end(record, shown) else shown.ids
            reads = tuple(range(shown.num_question_tokens - 1, len(ids) - 1))
            targets = ids[shown.num_question_tokens :]
            question = record.chain.problem.root_id
            examples.append(Example(ids[:-1], reads, targets, question))
    return Examples(examples, tally.counts(examples, tally.places - tally.truncated))


def implicit_examples(
    layout: Layout, records: Sequence[ChainRecord], tokenizer: Any, *, pairs: bool
) -> Examples:
    """Examples for an implicit PRM: whole chains, read at every token before one of a step.

    The one target of a chain is its outcome. With `pairs`, chains of problems that don't have
    both a right and a wrong one are left out, and counted as unlabeled.
    """
    rendered = render_all([record.chain for record in records], tokenizer, layout)
    tally, seen, examples = _Tally(chains=len(records)), set[str](), list[Example]()
    tally.places = len(records)
    for record, shown in zip(records, rendered, strict=True):
        last = record.chain.steps[-1].id if record.chain.steps else None
        if record.outcome is None or last is None:
            tally.unlabeled += 1
        elif shown.num_lost:
            tally.truncated += 1
        elif last in seen:
            tally.duplicate += 1
        else:
            seen.add(last)
            reads = tuple(range(shown.num_question_tokens - 1, len(shown.ids) - 1))
            label = (float(record.outcome.is_correct),)
            examples.append(Example(shown.ids, reads, label, record.chain.problem.root_id))
    told = _with_both(examples) if pairs else examples
    tally.unlabeled += len(examples) - len(told)
    return Examples(told, tally.counts(told, len(told)))


def _with_both(examples: Sequence[Example]) -> list[Example]:
    outcomes: dict[str, set[float]] = defaultdict(set)
    for example in examples:
        outcomes[example.question] |= set(example.targets)
    return [example for example in examples if len(outcomes[example.question]) == 2]


@dataclass(slots=True)
class _Tally:
    chains: int
    places: int = 0
    duplicate: int = 0
    unlabeled: int = 0
    truncated: int = 0

    def counts(self, examples: Sequence[Example], targets: int | None = None) -> TargetCounts:
        return TargetCounts(
            chains=self.chains,
            chains_used=len(examples),
            places=self.places,
            targets=sum(len(e.reads) for e in examples) if targets is None else targets,
            duplicate=self.duplicate,
            unlabeled=self.unlabeled,
            truncated=self.truncated,
            tokens=sum(len(example.ids) for example in examples),
        )


def _labels(
    settings: RewardTraining, record: ChainRecord, source: str | None
) -> dict[int, float | None]:
    """What there is to learn at each place: step index to label."""
    num_steps = len(record.chain.steps)
    if settings.kind == "prm":
        found = record.labels_from(source)
        return dict(enumerate(_targets_of(found, settings) if found else (None,) * num_steps))
    label = None if record.outcome is None else float(record.outcome.is_correct)
    first = 0 if settings.orm_targets == "every" else num_steps - 1
    return dict.fromkeys(range(first, num_steps), label)


def _targets_of(labels: StepLabels, settings: RewardTraining) -> tuple[float | None, ...]:
    """The labels; of three classes, a person's 0 is the neutral one, whatever its label says."""
    if settings.method.head != "3-class" or labels.ratings is None:
        return labels.labels
    return tuple(
        label if rating is None else (rating + 1) / 2
        for label, rating in zip(labels.labels, labels.ratings, strict=True)
    )


def _is_new(
    record: ChainRecord,
    labels_S: Mapping[int, float | None],
    shown: Rendered,
    seen: set[str],
) -> bool:
    """Whether a chain has a target that no chain before it had."""
    return any(
        label is not None
        and shown.step_ends[k] is not None
        and record.chain.steps[k].id not in seen
        for k, label in labels_S.items()
    )


def _targets(
    records: Sequence[ChainRecord], labels: Sequence[Mapping[int, float | None]]
) -> dict[str, float]:
    said: dict[str, list[float]] = defaultdict(list)
    for record, labels_S in zip(records, labels, strict=True):
        for index, label in labels_S.items():
            if label is not None:
                said[record.chain.steps[index].id].append(label)
    return {
        step_id: values[0] if len(set(values)) == 1 else fmean(values)
        for step_id, values in said.items()
    }


def _reward_example(
    record: ChainRecord,
    labels_S: Mapping[int, float | None],
    shown: Rendered,
    target_of: Mapping[str, float],
    seen: set[str],
    tally: _Tally,
) -> Example:
    reads, targets, positions = list[int](), list[float](), list[int]()
    for index, label in labels_S.items():
        step_id, end = record.chain.steps[index].id, shown.step_ends[index]
        tally.places += 1
        if label is None:
            tally.unlabeled += 1
        elif end is None:
            tally.truncated += 1
        elif step_id in seen:
            tally.duplicate += 1
        else:
            seen.add(step_id)
            reads.append(end)
            targets.append(target_of[step_id])
            positions.append(index)
    ids = shown.ids[: reads[-1] + 1] if reads else ()
    question = record.chain.problem.root_id
    return Example(ids, tuple(reads), tuple(targets), question, tuple(positions))


def _has_end(record: ChainRecord, shown: Rendered) -> bool:
    source = record.chain.source
    return not shown.num_lost and (source is None or source.finish_reason != "length")
