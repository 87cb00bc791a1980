"""Make proofs with known non-sequiturs, check them with Z3, and count what is found.

See README.md.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import z3
from command import run_command
from made import FAMILIES, Made, make
from pages import made, made_by, put, table, write_results

from rung.core import RungError
from rung.verify import ProofVerifier

HERE = Path(__file__).resolve().parent
KINDS = ("right", "first wrong", "later wrong")
LABELS = {"1": 1.0, "0": 0.0, "none": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    chains: int = 350
    """Of each family."""
    workers: int = 1
    timeout_s: float = 5.0
    """That Z3 has for a step."""
    out: Path = Path("runs/verify-proofs")
    """Where results.json goes."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All families."""
    if recipe.chains < 1:
        raise RungError(f"--chains is {recipe.chains}, expected at least 1")
    recipe.out.mkdir(parents=True, exist_ok=True)
    with ProofVerifier(workers=recipe.workers, timeout_s=recipe.timeout_s) as verifier:
        rows = [checked(verifier, family, recipe.chains) for family in FAMILIES]
    results = {
        **made_by("recipes/verify-proofs/run.py"),
        "z3": z3.get_version_string(),
        "workers": recipe.workers,
        "rows": rows,
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        write_results(results, HERE / "results.json")
        put(HERE / "README.md", "results", show(results))


def checked(verifier: ProofVerifier, family: str, chains: int) -> dict[str, Any]:
    """By what a step is: how many were called right, wrong, or neither."""
    proofs: list[Made] = [make(family, number) for number in range(chains)]
    verifier.check([proofs[0].chain])  # starts the processes
    start_s = time.monotonic()
    found = verifier.check([one.chain for one in proofs])
    seconds = time.monotonic() - start_s
    counts = Counter(
        (kind, label)
        for one, findings in zip(proofs, found, strict=True)
        for kind, label in zip(one.kinds, findings.labels, strict=True)
    )
    return {
        "proofs": f"{family}, {chains}",
        "steps": sum(counts.values()),
        "found": {k: {name: counts[k, label] for name, label in LABELS.items()} for k in KINDS},
        "seconds": round(seconds, 2),
    }


def show(results: Mapping[str, Any]) -> str:
    """The README's part."""
    head = ["proofs", "steps", "right: 1 / 0 / none", "first wrong", "later wrong"]
    rows = [
        [row["proofs"], str(row["steps"]), *_found(row), f"{row['steps'] / row['seconds']:.0f}"]
        for row in results["rows"]
    ]
    how = f"Z3 {results['z3']}, {results['workers']} process(es). {made(results)}"
    return f"{how}\n\n{table([*head, 'steps a second'], rows)}"


def _found(row: Mapping[str, Any]) -> Sequence[str]:
    return [" / ".join(str(row["found"][kind][name]) for name in LABELS) for kind in KINDS]


if __name__ == "__main__":
    run_command(main, Recipe, "verify-proofs", __doc__)
