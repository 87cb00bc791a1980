"""The README's table, made from results.json, so that no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rung.core.files import replacing

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def table(results: Mapping[str, Any]) -> str:
    """Labeled sets first, reference solutions behind them."""
    labeled = [row for row in results["rows"] if row["recall"] is not None]
    references = [row for row in results["rows"] if row["recall"] is None]
    said = f"Made by `{results['command']}` on {results['date']}."
    return "\n\n".join([_labeled(labeled), _references(references), said])


def _labeled(rows: list[Mapping[str, Any]]) -> str:
    head = ["steps judged by people", "verifier", "steps", "wrong", "read, %", "called wrong"]
    head += ["precision, %", "recall, %", "right steps called wrong", "of them unequal in Python"]
    head += ["first error found", "an earlier step blamed"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        first = row["first_error"]
        lines.append(
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
    return _lines(lines)


def _references(rows: list[Mapping[str, Any]]) -> str:
    head = ["reference solutions", "verifier", "steps", "read, %", "called wrong", "rate, %"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        rate = _estimate(row["alarm_rate"], 3)
        cells = [row["set"], row["verifier"], str(row["steps"]), f"{100 * row['judged']:.0f}"]
        lines.append([*cells, str(row["alarms"]), rate])
    return _lines(lines)


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results beside this file and put their table into README.md."""
    write_results(results, HERE / "results.json")
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = table(results)
    with replacing(readme) as aside:
        aside.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}", encoding="utf-8")


def write_results(results: Mapping[str, Any], file: Path) -> None:
    """Write results as indented JSON, in one piece."""
    with replacing(file) as aside:
        told = msgspec.json.encode(results)
        aside.write_bytes(msgspec.json.format(told, indent=1) + b"\n")


def _lines(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _estimate(found: Mapping[str, float] | None, digits: int = 1) -> str:
    if found is None:
        return ""
    value, low, high = (f"{100 * found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
