"""Make proofs with known non-sequiturs, check them with Z3, and count what is found.

python recipes/verify-proofs/run.py --chains 350
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from rung.verify import ProofVerifier

sys.path.insert(0, str(Path(__file__).resolve().parent))
from made import FAMILIES, Made, make


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chains", type=int, default=350, help="of each family")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--timeout-s", type=float, default=5.0)
    options = parser.parse_args()
    print("| proofs | steps | right: 1 / 0 / none | first wrong | later wrong | steps a second |")
    print("|---|---|---|---|---|---|")
    with ProofVerifier(workers=options.workers, timeout_s=options.timeout_s) as verifier:
        for family in FAMILIES:
            made = [make(family, number) for number in range(options.chains)]
            print(row(verifier, family, made), flush=True)


def row(verifier: ProofVerifier, family: str, made: list[Made]) -> str:
    verifier.check([made[0].chain])  # starts the processes
    start_s = time.monotonic()
    found = verifier.check([one.chain for one in made])
    seconds = time.monotonic() - start_s
    counts = Counter(
        (kind, label)
        for one, findings in zip(made, found, strict=True)
        for kind, label in zip(one.kinds, findings.labels, strict=True)
    )
    cells = [
        " / ".join(str(counts[kind, label]) for label in (1.0, 0.0, None))
        for kind in ("right", "first wrong", "later wrong")
    ]
    num_steps = sum(counts.values())
    rate = f"{num_steps / seconds:.0f}"
    return f"| {family}, {len(made)} | {num_steps} | {' | '.join(cells)} | {rate} |"


if __name__ == "__main__":
    main()
