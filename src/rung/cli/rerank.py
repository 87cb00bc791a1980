"""`rung rerank`: pick the best of each problem's chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from rung.cli.inputs import Chains, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core.codec import Skipped, write_records
from rung.core.errors import RungError
from rung.core.types import Chain, ChainRecord
from rung.core.urls import name_of
from rung.data import Neutral
from rung.search import Reranked, among_standing, rerank, rule
from rung.search.rules import MAJORITY

if TYPE_CHECKING:
    from rich.console import Console

Aggregation = Literal["min", "product", "sum", "mean", "last", "max", "soft_min"]
By = Literal[Aggregation, "majority", "weighted"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was picked, and how good it is where final answers were checked."""

    by: str
    scorer: str | None
    problems: int
    chains: int
    short_problems: int
    """Problems with fewer chains than --n."""
    undecided: int
    """Problems whose first chain was taken, as no chain had what the rule goes by."""
    unusable_chains: int
    """Chains without scores, or without an answer to vote for."""
    checked: int
    """Problems whose picked chain has a verdict."""
    accuracy: float | None
    """Share of those that are correct."""
    verifier: str | None = None
    refuted_chains: int = 0
    """Chains of which the verifier calls a step wrong."""


@dataclass(frozen=True, slots=True)
class Rerank:
    """Pick one chain a problem: best-of-N by step scores, or a vote over the answers.

    A chain whose last steps have no score stands behind those scored to the end. Of equals the
    first is picked. 'rung eval best-of-n' compares the rules.
    """

    scored: Chains
    """Files or URLs of scored chains, taken together; "-" is standard input, OWNER/NAME a
    dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write: each problem's chain, with what decided under meta.rerank."""
    by: By = "min"
    """Best-of-N by an aggregation of the scores; or a vote: majority, or weighted by scores."""
    scorer: str | None = None
    """Whose scores count; needed when there are several."""
    weigh_by: Aggregation = "min"
    """How scores become a chain's weight in the weighted vote."""
    verifier: str | None = None
    """A source of labels, as arithmetic: chains of which it calls a step wrong are picked only
    where it does so for all."""
    n: int | None = None
    """Consider only the first N chains of each problem."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Pick."""
        if self.n is not None and self.n < 1:
            raise RungError(f"--n is {self.n}, expected a number from 1 on")
        skipped = Skipped()
        out.progress.start("read chains")
        records = self._read(skipped)
        tell_skipped(out.progress, skipped)
        scorer = None if self.by == MAJORITY else _scorer(records, self.scorer)
        pick = rule(self.by, scorer=scorer, answer_key=answer_key, weigh_by=self.weigh_by)
        verifier = _verifier(records, self.verifier)
        if verifier is not None:
            pick = among_standing(pick, verifier)
        out.progress.start(f"pick by {self.by}")
        picked = rerank(records, pick, self.n)
        write_records(self.out, (_noted(p, self.by, scorer, verifier) for p in picked))
        summary = summarize(picked, self.by, scorer, self.n, verifier)
        result = {"out": name_of(self.out), **asdict(summary), "skipped_rows": skipped.count}
        out.result(result, lambda console: _show(console, summary, name_of(self.out)))

    def _read(self, skipped: Skipped) -> list[ChainRecord]:
        if not self.scored:
            raise RungError("nothing to pick from: give a file of scored chains, or -")
        counted = skipped if self.skip_bad else None
        records = list(records_of(self.scored, self.format, self.neutral, counted))
        if not records:
            raise RungError(f"no chain can be read: {skipped.count} rows are left out")
        return records


def summarize(
    picked: Sequence[Reranked],
    by: str,
    scorer: str | None,
    num_chains: int | None,
    verifier: str | None = None,
) -> Summary:
    """Count what was picked."""
    verdicts = [p.record.outcome for p in picked if p.record.outcome is not None]
    num_correct = sum(verdict.is_correct for verdict in verdicts)
    return Summary(
        by=by,
        scorer=scorer,
        problems=len(picked),
        chains=sum(p.num_chains for p in picked),
        short_problems=sum(num_chains is not None and p.num_chains < num_chains for p in picked),
        undecided=sum(p.choice.value is None for p in picked),
        unusable_chains=sum(p.choice.num_unusable for p in picked),
        checked=len(verdicts),
        accuracy=num_correct / len(verdicts) if verdicts else None,
        verifier=verifier,
        refuted_chains=sum(p.choice.num_refuted for p in picked),
    )


def _scorer(records: Sequence[ChainRecord], name: str | None) -> str:
    from rung.eval.choose import choose_scorer

    return choose_scorer(records, name)


def _verifier(records: Sequence[ChainRecord], name: str | None) -> str | None:
    from rung.eval.choose import choose_verifier

    return choose_verifier(records, name)


def answer_key(chain: Chain) -> str | None:
    """What chains with equal answers share; None for a chain without an answer."""
    from rung.eval.pools import answer_key as key

    return key(chain)


def _noted(picked: Reranked, by: str, scorer: str | None, verifier: str | None) -> ChainRecord:
    note: dict[str, Any] = {
        "by": by,
        "scorer": scorer,
        "value": picked.choice.value,
        "num_chains": picked.num_chains,
    }
    if verifier is not None:
        note |= {"verifier": verifier, "num_refuted": picked.choice.num_refuted}
    return replace(picked.record, meta={**picked.record.meta, "rerank": note})


def _show(console: Console, summary: Summary, out: str) -> None:
    s = summary
    scorer = f" of {s.scorer}" if s.scorer else ""
    console.print(f"{s.problems} of {s.chains} chains, one a problem, picked by {s.by}{scorer}")
    if s.accuracy is not None:
        console.print(f"  accuracy {s.accuracy:.3f} on {s.checked} problems with a checked answer")
    for number, what in [
        (s.short_problems, "problems have fewer chains than asked for"),
        (s.refuted_chains, f"chains are refuted by {s.verifier}"),
        (s.unusable_chains, "chains could not be weighed"),
        (s.undecided, "problems gave the rule nothing to go by: their first chain was taken"),
    ]:
        if number:
            console.print(f"  {number} {what}")
    console.print(f"written to {out}", soft_wrap=True)


COMMAND = Rerank
