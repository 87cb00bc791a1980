"""How ProcessBench, PRMBench and published results are shown to a person: in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rung.cli.tables import fitting, new_table, show_skips, stacked

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rung.eval import FirstErrors, PrmBench, PublishedBenchmark, PublishedRow

HEADLINES = ("overall", "simplicity", "soundness", "sensitivity")


def show_first_errors(
    console: Console,
    found: Sequence[FirstErrors],
    skips: Mapping[str, Any],
    published: PublishedBenchmark | None = None,
) -> None:
    """One line for each scorer and subset; published lines below those of their subset."""
    console.print("First errors, in percent: wrong steps found, right chains left alone, F1, all")
    groups: dict[tuple[str, str], list[FirstErrors]] = {}
    for row in found:
        groups.setdefault((row.subset, row.label_source), []).append(row)
    for (subset, label_source), rows in groups.items():
        table = new_table(
            f"{subset} ({label_source})", "wrong", "right", "F1", "all", "chains", "below"
        )
        for row in rows:
            table.add_row(
                row.scorer,
                *map(stacked, (row.erroneous, row.correct, row.f1, row.accuracy)),
                f"{row.num_erroneous}+{row.num_correct}",
                f"{row.threshold:.4g}",
            )
        if published is not None:
            names = [f"{subset} {what}" for what in ("wrong", "right", "F1")]
            _add_published(table, published.rows, names, best_by=names[-1])
        console.print(table)
    for row in found:
        left = [
            f"{row.undecided} left out, their labels don't say where the first error is"
            if row.undecided
            else "",
            f"{row.unscored} left out, without scores" if row.unscored else "",
            f"{row.partly_scored} partly scored" if row.partly_scored else "",
        ]
        if any(left):
            console.print(f"{row.scorer}, {row.subset}: {'; '.join(filter(None, left))}")
    _show_sources(console, published)
    show_skips(console, skips)


def show_prmbench(
    console: Console,
    found: Sequence[PrmBench],
    skips: Mapping[str, Any],
    published: PublishedBenchmark | None = None,
) -> None:
    """A block for each scorer, and published totals below."""
    for one in found:
        console.print(
            f"{one.scorer} against {one.label_source}: PRMScore, F1 of right and of wrong steps,"
            f" in percent; a step is right above {one.threshold:g}",
            soft_wrap=True,
        )
        table = new_table("class", "PRMScore", "F1 right", "F1 wrong", "chains", "steps")
        for row in (one.overall, *one.classes):
            table.add_row(
                row.name,
                *map(stacked, (row.score, row.f1, row.negative_f1)),
                f"{row.num_chains}",
                f"{row.num_wrong}+{row.num_right}",
            )
        for aspect, mean in one.aspects.items():
            table.add_row(f"{aspect} (mean of its classes)", stacked(mean))
        console.print(table)
        for count, what in [
            (one.repeated, "chains left out: they repeat a class and number"),
            (one.unscored, "chains left out: without scores"),
            (one.unscored_steps, "steps left out: without a score"),
        ]:
            if count:
                console.print(f"{one.scorer}: {count} {what}")
    if published is not None:
        table = new_table("PRMScore", *HEADLINES)
        for one in found:
            aspects = [one.aspects.get(name) for name in HEADLINES[1:]]
            table.add_row(one.scorer, *map(stacked, (one.overall.score, *aspects)))
        _add_published(table, published.rows, HEADLINES, best_by="overall")
        console.print(table)
    _show_sources(console, published)
    show_skips(console, skips)


def list_published(console: Console, found: Iterable[PublishedBenchmark]) -> None:
    """A line for each benchmark."""
    for benchmark in found:
        console.print(
            f"{benchmark.name} ({len(benchmark.rows)}): {benchmark.about}", soft_wrap=True
        )


def show_published(console: Console, found: Iterable[PublishedBenchmark]) -> None:
    """A table for each benchmark, with as many columns as the terminal has room for."""
    for benchmark in found:
        console.print(f"{benchmark.name}: {benchmark.about}", soft_wrap=True)
        names = [f"{row.model} ({row.kind})" for row in benchmark.rows]
        widths = [max(len(column), 5) for column in benchmark.columns]
        for run in fitting(widths, console.width - max(map(len, names))):
            columns = [benchmark.columns[k] for k in run]
            table = new_table("model", *columns)
            for name, row in zip(names, benchmark.rows, strict=True):
                table.add_row(name, *_cells(row, columns))
            console.print(table)
        _show_sources(console, benchmark)
        console.print()


def _add_published(
    table: Table, rows: Sequence[PublishedRow], columns: Sequence[str], *, best_by: str
) -> None:
    known = [row for row in rows if best_by in row.values]
    for row in sorted(known, key=lambda row: -row.values[best_by]):
        table.add_row(f"{row.model} (published)", *_cells(row, columns))


def _cells(row: PublishedRow, columns: Sequence[str]) -> list[str]:
    return [f"{row.values[name]:.1f}" if name in row.values else "–" for name in columns]


def _show_sources(console: Console, benchmark: PublishedBenchmark | None) -> None:
    if benchmark is not None:
        for source in benchmark.sources.values():
            console.print(f"published: {source.title}, {source.url}", soft_wrap=True)
