"""The README's table, made from results.json, so that no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import interval, made, put, table, write_results

HERE = Path(__file__).resolve().parent


def show(results: Mapping[str, Any]) -> str:
    """Labeled sets first, reference solutions behind them."""
    labeled = [row for row in results["rows"] if row["recall"] is not None]
    references = [row for row in results["rows"] if row["recall"] is None]
    return "\n\n".join([_labeled(labeled), _references(references), made(results)])


def _labeled(rows: list[Mapping[str, Any]]) -> str:
    head = ["steps judged by people", "verifier", "steps", "wrong", "read, %", "called wrong"]
    head += ["precision, %", "recall, %", "right steps called wrong", "of them unequal in Python"]
    head += ["first error found", "an earlier step blamed"]
    cells: list[list[str]] = []
    for row in rows:
        first = row["first_error"]
        cells.append(
            [
                row["set"],
                row["verifier"],
                str(row["steps"]),
                str(row["wrong"]),
                f"{100 * row['judged']:.0f}",
                str(row["called_wrong"]),
                _estimate(row["precision"]),
                _estimate(row["recall"]),
                f"{row['alarms']} ({_estimate(row['alarm_rate'], 2)} %)",
                str(row["alarms_unequal_in_python"]),
                f"{first['found']} of {first['chains']}",
                str(first["earlier"]),
            ]
        )
    return table(head, cells)


def _references(rows: list[Mapping[str, Any]]) -> str:
    head = ["reference solutions", "verifier", "steps", "read, %", "called wrong", "rate, %"]
    cells = [
        [
            row["set"],
            row["verifier"],
            str(row["steps"]),
            f"{100 * row['judged']:.0f}",
            str(row["alarms"]),
            _estimate(row["alarm_rate"], 3),
        ]
        for row in rows
    ]
    return table(head, cells)


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results beside this file and put their table into README.md."""
    write_results(results, HERE / "results.json")
    put(HERE / "README.md", "results", show(results))


def _estimate(found: Mapping[str, float] | None, digits: int = 1) -> str:
    return "" if found is None else interval(found, digits=digits)
