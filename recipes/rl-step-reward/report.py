"""The README's tables and the picture, made from results.json and results-again.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import place_of
from pages import IMAGES, RESULTS_PAGE, made, put, table, write_results
from picture import write_picture

HERE = Path(__file__).resolve().parent
PAYS = {"steps": "true step labels", "prm": "a PRM"}


def show(results: Mapping[str, Any]) -> str:
    """How the numbers were made, and the table."""
    settings = results["settings"]
    seeds = "One seed" if settings["seeds"] == 1 else f"{settings['seeds']} seeds"
    said = (
        f"{seeds}, {settings['problems']} problems with {settings['chains']} chains a round,"
        f" {settings['minibatches']} updates from them, learning rate {settings['lr']:g}, for every"
        f" way of paying. {made(results)}"
    )
    return f"{said}\n\n{_table(results)}"


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results; put the table into README.md and docs/results.md, and draw the curves."""
    write_results(results, HERE / "results.json")
    write_picture(results, IMAGES / "rl-step-reward.svg")
    for page in (HERE / "README.md", RESULTS_PAGE):
        put(page, "rl-step-reward", show(results))


def publish_again(results: Mapping[str, Any]) -> None:
    """Keep a second run beside the first, and put its table into README.md."""
    write_results(results, HERE / "results-again.json")
    put(HERE / "README.md", "again", show(results))


def _table(results: Mapping[str, Any]) -> str:
    head = ["steps", "lost by", "aimed at", "right at the start", "paid by"]
    head += [
        "tokens at most",
        "tokens to 50 %, outcome alone",
        "tokens to 50 %, with steps",
        "times fewer",
    ]
    head += ["right at the end, outcome alone", "with steps"]
    starts = {place_of(start): start for start in results["starts"]}
    most = {tuple(cell[:3]): cell[3] for cell in results["settings"]["cells"]}
    rows = [
        [
            str(row["num_steps"]),
            row["lost_by"],
            f"{row['rate'] * 100:g}%",
            _share(starts[place_of(row)]),
            PAYS[row["pay"]],
            f"{most[place_of(row)] / 1e6:g} M",
            _tokens(row["outcome_tokens"], [False] * len(row["outcome_tokens"])),
            _tokens(row["pay_tokens"], row["pay_stopped"]),
            _times(row),
            f"{row['outcome_end']:.0%}",
            f"{row['pay_end']:.0%}",
        ]
        for row in results["ratios"]
    ]
    return table(head, rows)


def _share(start: Mapping[str, Any]) -> str:
    value, low, high = (f"{100 * start[name]:.3g}" for name in ("value", "low", "high"))
    return f"{value}% [{low}, {high}]"


def _tokens(by_seed: Sequence[float | None], stopped: Sequence[bool]) -> str:
    if all(stopped) and all(tokens is None for tokens in by_seed):
        return "all stopped by a guard"
    missed = ["stopped by a guard" if by_guard else "not reached" for by_guard in stopped]
    told = zip(by_seed, missed, strict=True)
    return ", ".join(m if t is None else f"{t / 1000:,.0f} k" for t, m in told)


def _times(row: Mapping[str, Any]) -> str:
    if row["at_least"] is not None:
        return f"more than {row['at_least']:.1f}"
    if row["at_most"] is not None:
        return f"less than {row['at_most']:.1f}"
    if row["ratio"] is None:
        return "-"
    between = "" if row["low"] is None else f" [{row['low']:.1f}, {row['high']:.1f}]"
    return f"{row['ratio']:.1f}{between}"
