"""`rung lab`: make word problems whose every step can be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.output import JsonFlag, Output
from rung.core.codec import write_problems, write_records
from rung.core.errors import RungError
from rung.core.types import ChainRecord, Problem
from rung.core.urls import name_of
from rung.data.lab import Demonstrator, Lab, demonstrations, make_demonstrator, make_problems
from rung.label import LabLabeler, with_outcomes

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class LabCommand:
    """Make word problems, and chains of a demonstrator that errs systematically.

    Every step of a chain about these problems can be labeled exactly: `rung label verify
    --verifier lab`. The defaults are the quickstart's.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The problems' file (.jsonl, .jsonl.gz or .jsonl.zst)."""
    chains: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write one labeled chain of the demonstrator for each problem here."""
    count: int = 1000
    """How many problems."""
    num_steps: int = Lab().num_steps
    """Events in a story, 1 to 24; the answer is one step more."""
    shortest: int | None = None
    """Make stories of different lengths, from so many events up to --num-steps."""
    largest: int = Lab().largest
    """No number on the right path is larger; more numbers make more facts to learn."""
    misconceived_share: float = Lab().misconceived_share
    """Share of the facts of which the demonstrator is convinced wrongly."""
    misconceived_rate: float = Lab().misconceived_rate
    """How often it gives the wrong result for these."""
    slip_rate: float = Lab().slip_rate
    """How often it slips on any other fact."""
    misread_share: float = Lab().misread_share
    """Share of the verbs of adding and taking away that it misreads: its equation is right then,
    and the wrong one."""
    misread_rate: float = Lab().misread_rate
    """How often it takes such a verb for its opposite."""
    seed: int = 0
    """Of the problems, the misconceptions and the chains."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Make them."""
        if self.count < 1:
            raise RungError(f"--count is {self.count}, expected at least 1")
        lab = Lab(
            num_steps=self.num_steps,
            shortest=self.shortest,
            largest=self.largest,
            misconceived_share=self.misconceived_share,
            misconceived_rate=self.misconceived_rate,
            slip_rate=self.slip_rate,
            misread_share=self.misread_share,
            misread_rate=self.misread_rate,
        )
        demonstrator = make_demonstrator(lab, seed=self.seed)
        out.progress.start("make problems", self.count)
        problems = list(_counted(make_problems(lab, self.count, seed=self.seed), out))
        write_problems(self.out, problems)
        result = {
            "out": name_of(self.out),
            "problems": len(problems),
            "facts": len(lab.facts),
            "misconceptions": len(demonstrator.misconceptions),
            "misread": sorted(demonstrator.misread),
        }
        if self.chains is not None:
            outcomes = self._demonstrate(demonstrator, problems, self.chains)
            result |= {"chains": name_of(self.chains), "outcomes": outcomes}
        out.result(result, lambda console: _show(console, result, problems[0]))

    def _demonstrate(
        self, demonstrator: Demonstrator, problems: list[Problem], path: Path
    ) -> dict[str, int]:
        labeler = LabLabeler()
        chains = list(demonstrations(demonstrator, problems, seed=self.seed))
        records = [
            ChainRecord(chain, (labels,))
            for chain, labels in zip(chains, labeler.label(chains), strict=True)
        ]
        records = with_outcomes(records, labeler)
        write_records(path, records)
        return dict(sorted(Counter(str(record.outcome) for record in records).items()))


def _counted(problems: Iterator[Problem], out: Output) -> Iterator[Problem]:
    for problem in problems:
        out.progress.advance()
        yield problem


def _show(console: Console, result: Mapping[str, object], example: Problem) -> None:
    console.print(
        f"{result['problems']} problems in {result['out']}: {result['facts']} facts, "
        f"{result['misconceptions']} of them misconceived",
        soft_wrap=True,
        markup=False,
    )
    if "chains" in result:
        outcomes = result["outcomes"]
        console.print(f"chains in {result['chains']}: {outcomes}", soft_wrap=True, markup=False)
    console.print(f"for example: {example.question}", soft_wrap=True, markup=False)


COMMAND = LabCommand
