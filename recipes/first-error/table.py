"""The README's tables, made from results.json, so that no number in them is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import interval, put, table, write_results

HERE = Path(__file__).resolve().parent
Row = Mapping[str, Any]
TESTS = {
    "prm800k_held_out": "held-out PRM800K",
    "processbench_gsm8k": "ProcessBench gsm8k",
    "processbench_math": "ProcessBench math",
}


def tables(results: Row) -> str:
    """Step AUROC beside the floor, then ProcessBench F1 beside the published PRMs."""
    return "\n\n".join(
        [
            _auroc_table(results["step_auroc"]),
            _own_f1_table(results["processbench"]),
            _published_table(results["processbench"]),
        ]
    )


def publish(results: Row) -> None:
    """Keep the results beside this file and put their tables into README.md."""
    write_results(results, HERE / "results.json")
    put(HERE / "README.md", "results", tables(results))


def _auroc_table(found: Mapping[str, Row]) -> str:
    rows = [
        [
            TESTS[name],
            f"{row['problems']} / {row['steps']} / {row['wrong']}",
            _estimate(row["prm"]),
            _estimate(row["bag-of-words"]),
            _estimate(row["prm_minus_floor"], sign=True),
            _estimate(row["prm_within_position"]),
            f"{row['position_alone']['value']:.3f}",
        ]
        for name, row in found.items()
    ]
    head = ["step AUROC", "problems / steps / wrong", "PRM", "bag of words", "PRM minus floor"]
    return table([*head, "PRM, same position", "position alone"], rows)


def _own_f1_table(found: Row) -> str:
    rows = [
        [row["subset"], f"{row['threshold']:.3f}", *(interval(row[k]) for k in _F1_COLUMNS)]
        for kind in ("all_chains", "all_chains_tuned")
        for row in found[kind]
    ]
    return table(["all chains", "threshold", "wrong chains", "right chains", "F1"], rows)


def _published_table(found: Row) -> str:
    """One row a scorer, on the 250 chains a subset that have published scores."""
    scorers = list(dict.fromkeys(row["scorer"] for row in found["published_rows"]))
    rows = [
        [scorer, *(_cell(found, scorer, subset) for subset in ("gsm8k", "math"))]
        for scorer in sorted(scorers, key=lambda s: -_f1(found, s, "math"))
    ]
    return table(["250 chains each", "gsm8k: AUROC, F1", "math: AUROC, F1"], rows)


def _cell(found: Row, scorer: str, subset: str) -> str:
    steps = found["published_rows_steps"][f"processbench_{subset}"]
    auroc = next(row["auroc"]["value"] for row in steps if row["scorer"] == scorer)
    return f"{auroc:.3f}, {100 * _f1(found, scorer, subset):.1f}"


def _f1(found: Row, scorer: str, subset: str) -> float:
    rows = found["published_rows"]
    return next(r["f1"]["value"] for r in rows if (r["scorer"], r["subset"]) == (scorer, subset))


_F1_COLUMNS = ("erroneous", "correct", "f1")


def _estimate(found: Row, *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{found['value']:{plus}.3f} [{found['low']:{plus}.3f}, {found['high']:{plus}.3f}]"
