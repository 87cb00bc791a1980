"""The README's table, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import interval, made, put, table, write_results

HERE = Path(__file__).resolve().parent
CALLED = {"sft": "SFT", "rl": "SFT, then RL paid by step"}


def show(results: Mapping[str, Any]) -> str:
    """How it was made, how the training went, and the table."""
    n, paid = results["settings"]["n"], results["rl"]
    head = ["policy", "one chain", f"majority of {n}", f"PRM's best of {n}", f"beam of {n}"]
    head.append("PRM's step AUROC")
    rows = [
        [
            CALLED[row["policy"]],
            *(_estimate(row[key]) for key in ("one", "majority", "prm_min")),
            f"{row['beam']:.1%}",
            _auroc(row["step_auroc"]),
        ]
        for row in results["rows"]
    ]
    return f"{_about(results, paid)}\n\n{table(head, rows)}"


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results and put the table into README.md."""
    name = results["settings"]["model"]
    write_results(results, HERE / f"results-{name}.json")
    put(HERE / "README.md", name, show(results))


def _about(results: Mapping[str, Any], paid: Mapping[str, Any]) -> str:
    return (
        f"RL: {paid['steps']} rounds ({paid['ended']}), {paid['tokens_sampled']:,} tokens sampled;"
        f" held-out accuracy {paid['first']['accuracy']:.1%} before, {paid['best']['accuracy']:.1%}"
        f" at the look that was kept. {made(results)}"
    )


def _estimate(point: Mapping[str, float]) -> str:
    return f"{point['accuracy']:.1%} [{point['low']:.1%}, {point['high']:.1%}]"


def _auroc(found: Mapping[str, float] | None) -> str:
    """None: the chains' steps are all right, or all wrong."""
    return "-" if found is None else interval(found)
