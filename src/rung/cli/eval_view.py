"""How `rung eval` shows its results to a person: percent, with intervals and with n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rung.eval import BestOfN, Estimate, FirstErrors, GapPoint, Recalibration, StepMetrics


def show_best_of_n(console: Console, found: BestOfN, rule: str, skips: Mapping[str, Any]) -> None:
    """The curves, the gaps of one aggregation, and what was left out."""
    console.print(
        f"{found.num_problems} problems, {found.chains.used} chains, pass@1 "
        f"{100 * found.pass_at_1:.1f}%; percent right when one of n chains is picked,"
        f" with {100 * found.confidence:g}% intervals below",
        soft_wrap=True,
    )
    table = _table("rule", *(f"n={n}" for n in found.ns))
    for name, points in found.curves.items():
        cells = [f"{100 * p.accuracy:.1f}\n{100 * p.low:.0f}–{100 * p.high:.0f}" for p in points]
        table.add_row(name, *cells)
    console.print(table)
    shown = [f"prm_{rule}"] if found.prm is not None else ["orm"]
    for name, gaps in found.gaps.items():
        if name.split("_minus_")[0] in shown:
            console.print(_gap_table(name, gaps))
    _show_left_out(console, found, skips)


def show_steps(console: Console, found: Sequence[StepMetrics], skips: Mapping[str, Any]) -> None:
    """A block for each scorer."""
    for metrics in found:
        console.print(_step_summary(metrics), soft_wrap=True)
        table = _table("position", "steps", "wrong", "mean score", "AUROC")
        for row in metrics.by_position:
            is_rest = row is metrics.by_position[-1] and row.position == 10
            table.add_row(
                f"{row.position}{' and later' if is_rest else ''}",
                f"{row.num_steps}",
                f"{row.num_wrong}",
                f"{row.mean_score:.3f}",
                _plain(row.auroc),
            )
        console.print(table)
        console.print(_calibration_table(metrics))
    show_first_errors(console, [metrics.first_error for metrics in found], skips)


def show_recalibration(
    console: Console, found: Recalibration, file: str, skips: Mapping[str, Any]
) -> None:
    """Calibration before and after, on the half that was held out."""
    fitted, measured = found.fitted, found.measured
    console.print(
        f"{found.scorer} against {found.label_source}: fitted on {fitted.num_steps} steps of"
        f" {fitted.num_problems} problems, measured on {measured.num_steps} steps of"
        f" {measured.num_problems} others",
        soft_wrap=True,
    )
    table = _table("", "calibration error (ECE)", "Brier score", "log loss")
    for name, one in {"raw scores": found.before, **found.after}.items():
        table.add_row(name, _plain(one.ece), _plain(one.brier), _plain(one.log_loss))
    console.print(table)
    slope = f"temperature {found.temperature.temperature:.3f}"
    console.print(f"{slope}; both maps are in {file}", soft_wrap=True)
    if found.unjudged_steps:
        console.print(f"{found.unjudged_steps} steps left out: no label, or no score")
    _show_skips(console, skips)


def show_first_errors(
    console: Console, found: Sequence[FirstErrors], skips: Mapping[str, Any]
) -> None:
    """One line for each scorer and subset."""
    console.print("First errors, in percent: wrong steps found, right chains left alone, F1, all")
    groups: dict[tuple[str, str], list[FirstErrors]] = {}
    for row in found:
        groups.setdefault((row.subset, row.label_source), []).append(row)
    for (subset, label_source), rows in groups.items():
        table = _table(
            f"{subset} ({label_source})", "wrong", "right", "F1", "all", "chains", "below"
        )
        for row in rows:
            table.add_row(
                row.scorer,
                *map(_stacked, (row.erroneous, row.correct, row.f1, row.accuracy)),
                f"{row.num_erroneous}+{row.num_correct}",
                f"{row.threshold:.4g}",
            )
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
    _show_skips(console, skips)


def _gap_table(name: str, gaps: Sequence[GapPoint]) -> Table:
    table = _table(
        name.replace("_minus_", " minus "), "points", "interval", "p", "better on", "worse on"
    )
    for gap in gaps:
        table.add_row(
            f"n={gap.n}",
            f"{100 * gap.difference:+.1f}",
            f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
            f"{gap.p_value:.2g}",
            f"{gap.wins}",
            f"{gap.losses}",
        )
    return table


def _show_left_out(console: Console, found: BestOfN, skips: Mapping[str, Any]) -> None:
    chains = found.chains
    small = f"chains left out with {found.problems_left_out} problems that have too few"
    for count, what in [
        (chains.without_outcome, "chains left out: nobody checked their answer"),
        (chains.without_scores, "chains left out: a compared scorer has not read them"),
        (
            chains.in_small_problems,
            small,
        ),
        (chains.partly_scored, "chains are only partly scored"),
        (chains.without_answer, "chains have no answer, so no vote"),
    ]:
        if count:
            console.print(f"{count} {what}")
    _show_skips(console, skips)


def _show_skips(console: Console, skips: Mapping[str, Any]) -> None:
    if skips["skipped_rows"]:
        console.print(f"{skips['skipped_rows']} rows left out: they could not be read")
    if skips["chains_not_in_scores"]:
        console.print(
            f"{skips['chains_not_in_scores']} chains left out: the file has no scores for them"
        )


def _step_summary(metrics: StepMetrics) -> str:
    left = [
        (metrics.unlabeled_chains, "chains without labels"),
        (metrics.unscored_chains, "chains without scores"),
        (metrics.unscored_steps, "labeled steps without a score"),
    ]
    left_out = ", ".join(f"{count} {what}" for count, what in left if count)
    return "\n".join(
        [
            f"{metrics.scorer} against {metrics.label_source}: {metrics.num_steps} steps "
            f"({metrics.num_wrong} wrong) of {metrics.num_chains} chains, "
            f"{metrics.num_problems} problems",
            f"  step AUROC                {_plain(metrics.auroc)}",
            f"  among equal positions     {_plain(metrics.auroc_within_position)}",
            f"  by the position alone     {_plain(metrics.auroc_of_position)}",
            f"  calibration error (ECE)   {_plain(metrics.calibration.ece)}",
            f"  Brier score               {_plain(metrics.calibration.brier)}",
            f"  log loss                  {_plain(metrics.calibration.log_loss)}",
            *([f"  left out: {left_out}"] if left_out else []),
        ]
    )


def _calibration_table(metrics: StepMetrics) -> Table:
    table = _table("score", "steps", "mean score", "share right")
    for bin in metrics.calibration.bins:
        mean = "–" if bin.mean_score is None else f"{bin.mean_score:.3f}"
        table.add_row(
            f"{bin.from_score:.1f} to {bin.to_score:.1f}",
            f"{bin.num_steps}",
            mean,
            _plain(bin.share_right),
        )
    return table


def _table(first: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _plain(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _stacked(estimate: Estimate | None) -> str:
    """In percent, with the interval on a line of its own."""
    if estimate is None:
        return "–"
    bounds = (
        ""
        if estimate.low is None or estimate.high is None
        else f"\n{100 * estimate.low:.0f}–{100 * estimate.high:.0f}"
    )
    return f"{100 * estimate.value:.1f}{bounds}"
