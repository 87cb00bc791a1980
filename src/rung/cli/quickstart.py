"""`rung quickstart`: the whole loop on made problems, with a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from rich.console import Console

    from rung.loop import QuickstartResult


@dataclass(frozen=True, slots=True)
class QuickstartCommand:
    """Make problems, train a policy, label its chains, train a PRM and an ORM, and compare.

    Takes about eight minutes on two cores. Stopped and run again, it goes on where it was; one
    seed always gives the same numbers.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("quickstart")
    """The folder for results.json, report.html, the chains and the models."""
    seed: int = 0
    """Of everything."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Run the loop."""
        from rung.loop import Quickstart, run_quickstart

        result = run_quickstart(Quickstart(seed=self.seed), self.out, out.progress)
        out.result(result.results, lambda console: _show(console, result))


def _show(console: Console, result: QuickstartResult) -> None:
    from rung.eval.report import headline, lead

    found = result.best_of_n
    for sentence in (headline(found) + ".", lead(found)):
        console.print(sentence, soft_wrap=True, markup=False)
    for other, name in (("orm", "the ORM"), ("majority", "majority voting")):
        gap = found.gap_at(f"prm_min_minus_{other}", found.ns[-1])
        said = f"{100 * gap.difference:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
        console.print(f"  PRM minus {name}: {said}", soft_wrap=True, markup=False)
    console.print(f"{result.results['seconds']:.0f} s. Numbers: {result.results_path}")
    console.print(f"The picture: {result.report}", soft_wrap=True, markup=False)


COMMAND = QuickstartCommand
