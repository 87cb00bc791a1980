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
    look_every: int | None = None
    """Tokens between looks inside a step."""

    @property
    def name(self) -> str:
        """Names the cell in results and logs."""
        looks = "" if self.look_every is None else f" look-{self.look_every}"
        return f"{self.scorer} {self.algorithm} {self.n} {self.width}{looks}"

    @property
    def is_calibrated(self) -> bool:
        """Its lines for stopping and giving up come from chains of other problems."""
        return self.scorer in ("prm", "orm") and self.algorithm in ("adaptive", "abort")


class Grid(NamedTuple):
    """What a recipe runs."""

    base: Cell
    """What the others are held against."""
    cells: list[Cell]
    error: float
    """Of the lines for stopping and giving up."""


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
_ELSEWHERE = ("best-of-n", "weighted", "beam", "dvts", "lookahead", "rebase", "mcts", "particles")
_ELSEWHERE += ("adaptive", "abort", "allocate")
"""With the ORM and with the oracle, N = 16; particle Gibbs, whose every sweep is as large, 4."""


def whole_grid() -> Grid:
    """Every search at several sizes, for models that are fast."""
    base = Cell("prm", "best-of-n", 64, 4)
    found = [base]
    found += [Cell("prm", name, n, w) for (name, w), sizes in _WITH_PRM.items() for n in sizes]
    found += [Cell("none", name, n, 4) for name, sizes in _WITHOUT.items() for n in sizes]
    found += [Cell(scorer, name, 16, 4) for scorer in ("orm", "oracle") for name in _ELSEWHERE]
    found += [Cell(scorer, "particle-gibbs", 4, 4) for scorer in ("orm", "oracle")]
    found += [Cell("prm", "abort", 64, 4, look) for look in (3, 5)]
    return Grid(base, list(dict.fromkeys(found)), error=0.02)


def small_grid() -> Grid:
    """The same with fewer and smaller cells, for a real LM on a processor."""
    base = Cell("prm", "best-of-n", 16, 4)
    found = [base, Cell("prm", "weighted", 16, 4), Cell("none", "majority", 16, 4)]
    found += [Cell(scorer, "best-of-n", 16, 4) for scorer in ("orm", "oracle")]
    found += [Cell("prm", name, 16, 4) for name in ("abort", "adaptive")]
    found += [Cell("prm", name, 8, 4) for name in ("particles", "mcts", "beam", "dvts", "rebase")]
    found += [Cell("prm", "best-of-n", n, 4) for n in (1, 4, 8)]
    found += [Cell("prm", "abort", 16, 4, 5), Cell("oracle", "abort", 16, 4)]
    return Grid(base, found, error=0.1)


GRIDS = {"whole": whole_grid, "small": small_grid}
