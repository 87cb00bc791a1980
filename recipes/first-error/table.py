"""The README's tables, made from results.json, so that no number in them is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rung.core.files import replacing

Row = Mapping[str, Any]
TESTS = {
    "prm800k_held_out": "held-out PRM800K",
    "processbench_gsm8k": "ProcessBench gsm8k",
    "processbench_math": "ProcessBench math",
}


BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def write_results(results: Row, file: Path) -> None:
    """Write results as indented JSON, in one piece."""
    with replacing(file) as aside:
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def publish(results: Row, shown: str, recipe: Path) -> None:
    """Keep `results` beside the recipe's README.md and put the table `shown` into it."""
    write_results(results, recipe / "results.json")
    readme = recipe / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    with replacing(readme) as aside:
        aside.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}", encoding="utf-8")


def tables(results: Row) -> str:
    """Step AUROC beside the floor, then ProcessBench F1 beside the published PRMs."""
    return "\n\n".join(
        [
            _auroc_table(results["step_auroc"]),
            _own_f1_table(results["processbench"]),
            _published_table(results["processbench"]),
        ]
    )


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
    return _table([*head, "PRM, same position", "position alone"], rows)


def _own_f1_table(found: Row) -> str:
    rows = [
        [row["subset"], f"{row['threshold']:.3f}", *(_percent(row[k]) for k in _F1_COLUMNS)]
        for kind in ("all_chains", "all_chains_tuned")
        for row in found[kind]
    ]
    return _table(["all chains", "threshold", "wrong chains", "right chains", "F1"], rows)


def _published_table(found: Row) -> str:
    """One row a scorer, on the 250 chains a subset that have published scores."""
    scorers = list(dict.fromkeys(row["scorer"] for row in found["published_rows"]))
    rows = [
        [scorer, *(_cell(found, scorer, subset) for subset in ("gsm8k", "math"))]
        for scorer in sorted(scorers, key=lambda s: -_f1(found, s, "math"))
    ]
    return _table(["250 chains each", "gsm8k: AUROC, F1", "math: AUROC, F1"], rows)


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


def _percent(found: Row) -> str:
    return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
