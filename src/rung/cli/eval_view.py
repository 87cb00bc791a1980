"""How curves, step metrics and calibration are shown to a person: with intervals and with n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rung.cli.benchmark_view import show_first_errors
from rung.cli.tables import new_table, plain, show_skips, stacked

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rung.eval import BestOfN, GapPoint, Recalibration, StepMetrics


def show_best_of_n(console: Console, found: BestOfN, rule: str, skips: Mapping[str, Any]) -> None:
    """The curves, the gaps of one aggregation, and what was left out.

    With a verifier a second table, of that aggregation alone, and what the verifier adds to it.
    """
    from rung.eval.expected import VERIFIED

    console.print(
        f"{found.num_problems} problems, {found.chains.used} chains, pass@1 "
        f"{100 * found.pass_at_1:.1f}%; percent right when one of n chains is picked,"
        f" with {100 * found.confidence:g}% intervals below",
        soft_wrap=True,
    )
    plain_names = [name for name in found.curves if not name.startswith(VERIFIED)]
    console.print(_curve_table(found, plain_names))
    pick = f"prm_{rule}" if found.prm is not None else "orm"
    if found.verifier is not None:
        _show_verified(console, found, pick)
    for name, gaps in found.gaps.items():
        if name.split("_minus_")[0].removeprefix(VERIFIED) == pick:
            console.print(f"\n{name.replace('_minus_', ' minus ')}, in points")
            console.print(_gap_table(gaps))
    _show_left_out(console, found, skips)


def show_steps(console: Console, found: Sequence[StepMetrics], skips: Mapping[str, Any]) -> None:
    """A block for each scorer."""
    for metrics in found:
        console.print(_step_summary(metrics), soft_wrap=True)
        table = new_table("position", "steps", "wrong", "mean score", "AUROC")
        for row in metrics.by_position:
            is_rest = row is metrics.by_position[-1] and row.position == 10
            table.add_row(
                f"{row.position}{' and later' if is_rest else ''}",
                f"{row.num_steps}",
                f"{row.num_wrong}",
                f"{row.mean_score:.3f}",
                plain(row.auroc),
            )
        console.print(table)
        console.print(_calibration_table(metrics))
        console.print(_buckets_table(metrics))
        _show_localization(console, metrics)
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
    table = new_table("", "calibration error (ECE)", "Brier score", "log loss")
    for name, one in {"raw scores": found.before, **found.after}.items():
        table.add_row(name, plain(one.ece), plain(one.brier), plain(one.log_loss))
    console.print(table)
    slope = f"temperature {found.temperature.temperature:.3f}"
    console.print(f"{slope}; both maps are in {file}", soft_wrap=True)
    if found.unjudged_steps:
        console.print(f"{found.unjudged_steps} steps left out: no label, or no score")
    show_skips(console, skips)


def _curve_table(found: BestOfN, names: Sequence[str]) -> Table:
    table = new_table("rule", *(f"n={n}" for n in found.ns))
    for name in names:
        points = found.curves[name]
        cells = [f"{100 * p.accuracy:.1f}\n{100 * p.low:.0f}–{100 * p.high:.0f}" for p in points]
        table.add_row(name, *cells)
    return table


def _show_verified(console: Console, found: BestOfN, pick: str) -> None:
    from rung.eval.expected import VERIFIED

    chains = found.chains
    console.print(
        f"{found.verifier} refutes {chains.refuted} of the {chains.used} chains,"
        f" {chains.right_but_refuted} of them right; among the others:",
        soft_wrap=True,
    )
    wanted = (pick, f"weighted_{pick}", "orm", "weighted_orm", "majority", "random", "oracle")
    shown = [VERIFIED + name for name in dict.fromkeys(wanted) if name in found.curves]
    console.print(_curve_table(found, shown))


def _gap_table(gaps: Sequence[GapPoint]) -> Table:
    table = new_table("n", "difference", "interval", "p", "p (Holm)", "better on", "worse on")
    for gap in gaps:
        table.add_row(
            f"{gap.n}",
            f"{100 * gap.difference:+.1f}",
            f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
            f"{gap.p_value:.2g}",
            f"{gap.p_holm:.2g}",
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
    show_skips(console, skips)


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
            f"  step AUROC                {plain(metrics.auroc)}",
            f"  among equal positions     {plain(metrics.auroc_within_position)}",
            f"  by the position alone     {plain(metrics.auroc_of_position)}",
            f"  calibration error (ECE)   {plain(metrics.calibration.ece)}",
            f"  Brier score               {plain(metrics.calibration.brier)}",
            f"  log loss                  {plain(metrics.calibration.log_loss)}",
            *([f"  left out: {left_out}"] if left_out else []),
        ]
    )


def _buckets_table(metrics: StepMetrics) -> Table:
    table = new_table("position", "steps", "mean score", "share right", "ECE", "Brier score")
    for row in metrics.by_bucket:
        table.add_row(
            f"{row.bucket}",
            f"{row.num_steps}",
            f"{row.mean_score:.3f}",
            f"{1 - row.num_wrong / row.num_steps:.3f}",
            plain(row.calibration.ece),
            plain(row.calibration.brier),
        )
    return table


def _show_localization(console: Console, metrics: StepMetrics) -> None:
    found = metrics.localization
    if not found.num_erroneous:
        return
    console.print(
        f"Where the first step below {found.threshold:.4g} stands, in {found.num_erroneous} chains"
        f" with an error, in percent; false alarms in {found.num_correct} without",
        soft_wrap=True,
    )
    table = new_table(
        "first error at", "chains", "exact", "within one", "early", "late", "missed", "false alarm"
    )
    shares = (found.exact, found.within_one, found.early, found.late, found.missed)
    alarms = (*shares, found.false_alarm)
    table.add_row("any position", f"{found.num_erroneous}", *map(stacked, alarms))
    for row in found.by_position:
        cells = (stacked(row.exact), stacked(row.within_one))
        table.add_row(f"{row.bucket}", f"{row.num_chains}", *cells)
    console.print(table)


def _calibration_table(metrics: StepMetrics) -> Table:
    table = new_table("score", "steps", "mean score", "share right")
    for bin in metrics.calibration.bins:
        mean = "–" if bin.mean_score is None else f"{bin.mean_score:.3f}"
        table.add_row(
            f"{bin.from_score:.1f} to {bin.to_score:.1f}",
            f"{bin.num_steps}",
            mean,
            plain(bin.share_right),
        )
    return table
