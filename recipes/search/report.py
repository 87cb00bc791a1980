"""The README's table, made from results.json, so that no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import IMAGES, RESULTS_PAGE, interval, made, put, table, write_results
from picture import write_picture

from rung.eval.statistics import bootstrap_means, two_level_weights

HERE = Path(__file__).resolve().parent
FILES = {"whole": "results", "small": "results-smollm2"}
PICTURES = {"whole": "searches", "small": "searches-smollm2"}


def summarize(rows: Sequence[Mapping[str, Any]], base_name: str) -> list[dict[str, Any]]:
    """One row a cell, held against the base; intervals over quickstarts and their problems."""
    pooled: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        pooled.setdefault(row["name"], []).append(row)
    base = _joined(pooled[base_name])
    return [_summary(same, base) for same in pooled.values()]


def _summary(same: Sequence[Mapping[str, Any]], base: dict[str, Any]) -> dict[str, Any]:
    ours = _joined(same)
    tokens = ours["sampled"] + ours["scored"]
    base_tokens = base["sampled"] + base["scored"]
    columns = np.stack([ours["right"], ours["right"] - base["right"]], axis=1)
    weights = two_level_weights([len(row["right"]) for row in same])
    value, low, high = bootstrap_means(columns, weights)
    first = same[0]
    return {
        **{name: first[name] for name in ("name", "scorer", "algorithm", "n", "width")},
        "by_quickstart": [float(np.mean(row["right"])) for row in same],
        "accuracy": _told(value[0], low[0], high[0]),
        "minus_base": _told(value[1], low[1], high[1]),
        "sampled": float(ours["sampled"].mean()),
        "scored": float(ours["scored"].mean()),
        "of_base_tokens": float(tokens.sum() / base_tokens.sum()),
        "lines": [row["lines"] for row in same],
        "look_every": first["look_every"],
        "seconds": sum(row["seconds"] for row in same),
    }


def _told(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}


def _joined(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("right", "sampled", "scored")
    return {k: np.concatenate([np.array(row[k], dtype=float) for row in rows]) for k in names}


def show(results: Mapping[str, Any]) -> str:
    """One row a search, cheapest first within its scorer."""
    base = f"best-of-{results['base'].split()[2]}"
    head = ["scorer", "search", "N", "width", "accuracy, %", f"minus {base}"]
    head += ["tokens sampled", "scored", f"of {base}'s"]
    cells: list[list[str]] = []
    order = ("prm", "none", "orm", "oracle")
    key = lambda row: (order.index(row["scorer"]), row["of_base_tokens"])  # noqa: E731
    for row in sorted(results["rows"], key=key):
        cells.append(
            [
                row["scorer"],
                row["algorithm"] + _looks(row["look_every"]),
                str(row["n"]),
                str(row["width"]) if row["algorithm"] in _WIDE else "",
                interval(row["accuracy"]),
                interval(row["minus_base"], sign="+"),
                f"{row['sampled']:.0f}",
                f"{row['scored']:.0f}",
                f"{100 * row['of_base_tokens']:.0f} %",
            ]
        )
    return f"{_about(results)}\n\n{table(head, cells)}"


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows: each search's best size with the PRM, those behind first."""
    base = f"best-of-{results['base'].split()[2]}"
    best: dict[str, Mapping[str, Any]] = {}
    for row in results["rows"]:
        if row["scorer"] == "prm" and row["name"] != results["base"]:
            best[row["algorithm"]] = max(best.get(row["algorithm"], row), row, key=_accuracy)
    rows = [
        [
            row["algorithm"] + _looks(row["look_every"]),
            str(row["n"]),
            interval(row["accuracy"]),
            interval(row["minus_base"], sign="+"),
            f"{row['sampled']:.0f}",
            f"{100 * row['of_base_tokens']:.0f} %",
        ]
        for row in sorted(best.values(), key=_accuracy)
    ]
    head = ["search with the PRM, at its best N", "N", "accuracy, %", f"minus {base}"]
    head += ["tokens sampled", f"of {base}'s"]
    return f"{_about(results)}\n\n{table(head, rows)}"


def _accuracy(row: Mapping[str, Any]) -> float:
    return row["accuracy"]["value"]


def _about(results: Mapping[str, Any]) -> str:
    said = f"{results['quickstarts']} {results['models']} with {results['problems']} fresh"
    return f"{said} problems each. {made(results)}"


_WIDE = ("beam", "dvts", "lookahead", "mcts", "adaptive", "adaptive-vote", "abort", "allocate")


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put their tables into README.md and docs/results.md, draw the picture."""
    name = FILES[results["grid"]]
    write_results(results, HERE / f"{name}.json")
    put(HERE / "README.md", name, show(results))
    if results["grid"] == "whole":
        put(RESULTS_PAGE, "search", short(results))
    write_picture(results, IMAGES / f"{PICTURES[results['grid']]}.svg")


def _looks(every: int | None) -> str:
    return "" if every is None else f", looks every {every} tokens"
