"""How `rung data` shows its results to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rung.data.stats import LabelCounts, Lengths, ProblemStats, Stats

if TYPE_CHECKING:
    from rich.console import Console

MOST_SHOWN = 8


def show_formats(console: Console, rows: list[dict[str, Any]]) -> None:
    """One line a format."""
    from rich.table import Table

    table = Table("format", "holds", "written too", "about", box=None)
    for row in rows:
        writes = "yes" if row["writes"] else ""
        table.add_row(row["format"], row["reads"], writes, row["about"])
    console.print(table)


def show_stats(console: Console, results: dict[str, dict[str, Any]]) -> None:
    """A block of lines for each source."""
    for source, result in results.items():
        stats: Stats | ProblemStats | None = result["stats"]
        console.print(source, style="bold", soft_wrap=True)
        lines = ["nothing could be read"] if stats is None else _lines(stats)
        for line in lines:
            console.print(f"  {line}", soft_wrap=True)


def _lines(stats: Stats | ProblemStats) -> list[str]:
    return _problem_lines(stats) if isinstance(stats, ProblemStats) else _chain_lines(stats)


def _problem_lines(stats: ProblemStats) -> list[str]:
    return [
        f"{stats.problems} problems, {stats.distinct_problems} distinct,"
        f" {stats.with_answer} with an answer, {stats.with_tests} with tests",
        f"characters a question: {_lengths(stats.characters_a_question)}",
    ]


def _chain_lines(stats: Stats) -> list[str]:
    return [
        f"{stats.chains} chains for {stats.problems} problems,"
        f" {stats.steps} steps, {stats.distinct_steps} distinct",
        f"steps a chain: {_lengths(stats.steps_a_chain)}",
        f"characters a step: {_lengths(stats.characters_a_step)}",
        *(line for name, counts in stats.labels.items() for line in _label_lines(name, counts)),
        f"outcomes: {_counts(stats.outcomes)}",
        f"policies: {_counts(stats.policies)}",
        *([f"scorers: {_counts(stats.scorers)}"] if stats.scorers else []),
    ]


def _label_lines(source: str, counts: LabelCounts) -> list[str]:
    contradictory = f", {counts.contradictory} contradictory" if counts.contradictory else ""
    at = {f"step {k + 1}": n for k, n in counts.first_error_at.items()}
    return [
        f"labels by {source!r} of distinct steps: {counts.good} good, {counts.bad} bad,"
        f" {counts.neutral} neutral, {counts.unlabeled} unlabeled{contradictory}",
        f"  chains without an error: {counts.chains_without_error} of {counts.chains}"
        + (f"; first error at: {_counts(at)}" if at else ""),
    ]


def _lengths(lengths: Lengths) -> str:
    return f"{lengths.min} to {lengths.max}, median {lengths.median:g}, mean {lengths.mean:.1f}"


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{name} {number}" for name, number in list(counts.items())[:MOST_SHOWN]]
    rest = list(counts.values())[MOST_SHOWN:]
    return ", ".join([*shown, *([f"{len(rest)} more {sum(rest)}"] if rest else [])])
