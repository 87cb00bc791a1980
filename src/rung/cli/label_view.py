"""What `rung label verify` counts and prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rung.cli.label_checkers import MAX_SHOWN, found_in, wrong_steps
from rung.core import ChainRecord

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(slots=True)
class Summary:
    """What the verifiers said."""

    out: str
    rows: int = 0
    skipped_rows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """Chains by outcome; "unchecked" where the problem has no reference answer."""
    labels: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Steps by label ("right", "wrong", "unjudged") for each source of labels."""
    findings: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Steps by what was found out, for each checker of proofs and tools."""
    wrong: list[str] = field(default_factory=list[str])
    """The first steps that such a checker calls wrong, with their reasons."""


def summarize(records: Iterable[ChainRecord], out: str) -> Summary:
    """Count the outcomes and labels that records carry."""
    outcomes: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {}
    findings: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    rows = 0
    for record in records:
        rows += 1
        for source, words in found_in(record):
            findings.setdefault(source, Counter()).update([words.partition(":")[0]])
        wrong += wrong_steps(record)[: MAX_SHOWN - len(wrong)]
        outcomes[record.outcome or "unchecked"] += 1
        for given in record.labels:
            labels.setdefault(given.source, Counter()).update(map(word_for, given.labels))
    return Summary(
        out,
        rows,
        0,
        dict(sorted(outcomes.items())),
        _by_source(labels),
        _by_source(findings),
        wrong,
    )


def _by_source(counts: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {source: dict(sorted(counted.items())) for source, counted in counts.items()}


def word_for(label: float | None) -> str:
    """What a label says of its step."""
    if label is None:
        return "unjudged"
    return "right" if label >= 0.5 else "wrong"


def show(console: Console, summary: Summary) -> None:
    """Print it for people."""
    console.print(f"{summary.rows} chains in {summary.out}", soft_wrap=True, markup=False)
    console.print(f"  outcomes: {_counted(summary.outcomes)}", soft_wrap=True)
    for source, counts in summary.labels.items():
        console.print(f"  steps by {source}: {_counted(counts)}", soft_wrap=True, markup=False)
        if source in summary.findings:
            counts = summary.findings[source]
            console.print(f"    {_counted(counts)}", soft_wrap=True, markup=False)
    for line in summary.wrong:
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
