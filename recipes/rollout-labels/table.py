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
    """One row a method and K, the baseline first."""
    head = ["labels", "K", "rollouts", "tokens", "of the baseline's tokens", "wrong labels, %"]
    head += ["minus baseline", "first error missed, %", "error of values"]
    base = results["rows"][0]
    lines = [head, ["---"] * len(head)]
    for row in results["rows"]:
        lines.append(
            [
                row["method"],
                str(row["k"]),
                f"{row['rollouts']} ({_percent(row['rollouts'] / base['rollouts'])} %)",
                str(row["tokens"]),
                f"{_percent(row['tokens'] / base['tokens'])} %",
                _estimate(row["label_error"]),
                _estimate(row["minus_baseline"], sign="+"),
                _estimate(row["first_error_missed"]),
                "" if row["value_error"] is None else f"{row['value_error']:.3f}",
            ]
        )
    said = f"{results['num_chains']} chains, {results['right_chains']} with a right answer; "
    said += f"{results['steps_judged']} steps judged, {results['steps_wrong']} of them wrong. "
    said += f"Made by `{results['command']}` on {results['date']}."
    return said + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _estimate(found: Mapping[str, float], sign: str = "") -> str:
    value, low, high = (f"{100 * found[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
