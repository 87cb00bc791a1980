"""How `rung train` shows what came of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rung.train.card import constant_loss_cells
from rung.train.settings import Places, TargetCounts, TrainingReport

if TYPE_CHECKING:
    from rich.console import Console


def show_training(console: Console, report: TrainingReport, places: Places, folder: Path) -> None:
    """What came of a run, and where the labels went."""
    from rich.table import Table

    table = Table("", "training", "validation", box=None, pad_edge=False)
    for name, about in _counts(places).items():
        table.add_row(about, *(_cell(c, name) for c in (report.train, report.validation)))
    loss = report.validation_loss
    table.add_row("loss", f"{report.train_loss:.4f}", "-" if loss is None else f"{loss:.4f}")
    if report.constant_loss is not None:
        table.add_row("loss if all were scored alike", *constant_loss_cells(report))
    console.print(table)
    early = ", stopped early" if report.is_stopped_early else ""
    console.print(
        f"{report.steps} steps{early}, weights of step {report.best_step} kept; {report.tokens} "
        f"tokens in {report.seconds:.0f} s, {report.tokens_per_s:.0f} a second",
        soft_wrap=True,
    )
    console.print(f"{folder} holds the model", soft_wrap=True)


def _counts(places: Places) -> dict[str, str]:
    """What of the counts is shown, and how it is called."""
    shared = "equal to an earlier one" if places == "chains" else "shared with an earlier chain"
    return {
        "chains": "chains",
        "chains_used": "chains with targets",
        "targets": f"{places} learned",
        "duplicate": f"{places} {shared}",
        "unlabeled": f"{places} without a label",
        "truncated": "labels lost beyond the context",
        "tokens": "tokens a pass",
    }


def _cell(counts: TargetCounts | None, name: str) -> str:
    return "-" if counts is None else str(getattr(counts, name))
