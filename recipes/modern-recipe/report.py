"""The README's tables, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pages import interval, made, points, put, table, write_results

HERE = Path(__file__).resolve().parent
CALLED = {
    "sft": "SFT",
    "rl": "SFT, then RL paid by step",
    "rl-outcome": "SFT, then RL paid by the answer alone",
}


def show(results: Mapping[str, Any]) -> str:
    """How it was made, what each policy gets right, what is ahead of what, and how RL went."""
    seeds, n = results["settings"]["seeds"], results["settings"]["n"]
    trained = f"{seeds} trainings" if seeds > 1 else "One training"
    about = f"{trained}, {results['num_problems']:,} test problems in all. {made(results)}"
    columns = {
        "one": "one chain",
        "majority": f"majority of {n}",
        "prm_min": f"PRM's best of {n}",
        "beam": f"beam of {n}",
    }
    parts = (
        about,
        _policies(results["rows"], columns),
        _differences(results["differences"], columns),
        _trainings(results["rl"]),
    )
    return "\n\n".join(parts)


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results and put the tables into README.md."""
    name = results["settings"]["model"]
    write_results(results, HERE / f"results-{name}.json")
    put(HERE / "README.md", name, show(results))


def _policies(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    head = ["right, %", *columns.values(), "PRM's step AUROC"]
    return table(
        head,
        [
            [
                CALLED[row["policy"]],
                *(interval(row[rule], of="accuracy") for rule in columns),
                _auroc(row["step_auroc"]),
            ]
            for row in rows
        ],
    )


def _differences(found: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    def called(side: Sequence[str]) -> str:
        policy, rule = side
        return f"{CALLED[policy]}: {columns[rule]}"

    return table(
        ["of", "minus", "points"],
        [[called(gap["of"]), called(gap["minus"]), points(gap)] for gap in found],
    )


def _trainings(told: Sequence[Mapping[str, Any]]) -> str:
    """How RL went, of each kind in the order of the seeds."""
    head = ["", "tokens sampled", "held-out right before, %", "at the look kept, %", "ended"]
    rows = []
    for policy in told[0]:
        runs = [one[policy] for one in told]
        rows.append(
            [
                CALLED[policy],
                ", ".join(f"{run['tokens_sampled'] / 1000:.0f} k" for run in runs),
                *(
                    ", ".join(f"{100 * run[look]['accuracy']:.1f}" for run in runs)
                    for look in ("first", "best")
                ),
                ", ".join(dict.fromkeys(run["ended"] for run in runs)),
            ]
        )
    return table(head, rows)


def _auroc(found: Mapping[str, float] | None) -> str:
    """None: the chains' steps are all right, or all wrong."""
    return "-" if found is None else interval(found)
