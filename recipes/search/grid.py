"""What is compared: each search at a few sizes."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """One search at one size, with one scorer."""

    scorer: str
    """"prm", "orm", "oracle", or "none"."""
    algorithm: str
    n: int
    width: int

    @property
    def name(self) -> str:
        """Names the cell in results and logs."""
        return f"{self.scorer} {self.algorithm} {self.n} {self.width}"


BASE = Cell("prm", "best-of-n", 64, 4)
"""What the others are held against."""
_WITH_PRM = {
    ("best-of-n", 4): (1, 2, 4, 8, 16, 32, 64),
    ("weighted", 4): (16, 64),
    ("beam", 4): (8, 16, 32),
    ("dvts", 4): (8, 16, 32),
    ("lookahead", 4): (8, 16),
    ("rebase", 4): (4, 8, 16, 32),
    ("mcts", 4): (4, 8, 16),
    ("particles", 4): (4, 8, 16, 32),
    ("particle-gibbs", 4): (4, 8),
    ("adaptive", 4): (16, 64),
    ("abort", 4): (16, 64),
    ("abort", 8): (64,),
    ("allocate", 4): (8, 16),
}
_WITHOUT = {"majority": (8, 64), "adaptive-vote": (64,)}
_ELSEWHERE = ("best-of-n", "beam", "dvts", "lookahead", "rebase", "mcts", "particles")


def cells() -> list[Cell]:
    """All of them, the base first."""
    found = [BASE]
    found += [Cell("prm", name, n, w) for (name, w), sizes in _WITH_PRM.items() for n in sizes]
    found += [Cell("none", name, n, 4) for name, sizes in _WITHOUT.items() for n in sizes]
    found += [Cell(scorer, name, 16, 4) for scorer in ("orm", "oracle") for name in _ELSEWHERE]
    found.append(Cell("oracle", "abort", 16, 4))
    return list(dict.fromkeys(found))
