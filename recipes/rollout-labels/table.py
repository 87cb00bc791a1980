"""The README's table, made from results.json, so that no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import RESULTS_PAGE, interval, made, percent, put, table, write_results

HERE = Path(__file__).resolve().parent


def show(results: Mapping[str, Any]) -> str:
    """One row a method and K, the baseline first."""
    head = ["labels", "K", "rollouts", "tokens", "of the baseline's tokens", "wrong labels, %"]
    head += ["minus baseline", "first error missed, %", "error of values"]
    base = results["rows"][0]
    cells: list[list[str]] = []
    for row in results["rows"]:
        cells.append(
            [
                row["method"],
                str(row["k"]),
                f"{row['rollouts']} ({percent(row['rollouts'] / base['rollouts'], 0)} %)",
                str(row["tokens"]),
                f"{percent(row['tokens'] / base['tokens'], 0)} %",
                interval(row["label_error"]),
                interval(row["minus_baseline"], sign="+"),
                interval(row["first_error_missed"]),
                "" if row["value_error"] is None else f"{row['value_error']:.3f}",
            ]
        )
    said = f"{results['num_chains']} chains, {results['right_chains']} with a right answer; "
    said += f"{results['steps_judged']} steps judged, {results['steps_wrong']} of them wrong. "
    said += made(results)
    return f"{said}\n\n{table(head, cells)}"


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results beside this file; put their table into README.md and docs/results.md."""
    write_results(results, HERE / "results.json")
    put(HERE / "README.md", "results", show(results))
    put(RESULTS_PAGE, "rollout-labels", show(results))
