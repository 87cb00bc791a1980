"""`rung score`: score the steps of chains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import tyro

from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core.codec import Skipped, encode_record, read_records
from rung.core.errors import RungError
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.types import ChainRecord
from rung.data import Neutral

if TYPE_CHECKING:
    from rich.console import Console

    from rung.score import RewardScorer


@dataclass(frozen=True, slots=True)
class Tally:
    """What one scorer did to all chains."""

    scorer: str
    kind: str
    weights_hash: str
    chains: int = 0
    steps: int = 0
    scored: int = 0
    """Steps with a score: all of them for a PRM, the last of each chain for an ORM."""
    lost_steps: int = 0
    """Steps that should have a score and lie beyond the model's context."""
    mean_score: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Score every step (PRM) or the last step (ORM) of chains.

    Stopped and run again, it goes on where it was and ends with the same file.
    """

    chains: Chains
    """Files of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    scorer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")]
    """A checkpoint folder, or NAME=FOLDER to name its scores; give it again for another."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto takes bf16 for large models on hardware that is fast at it, else fp32."""
    batch_tokens: int | None = None
    """Tokens in one forward pass; by default 1024 on a CPU, 16384 on a GPU."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Score."""
        names = _named_folders(self.scorer)
        with read_twice(self.chains) as sources:
            skipped = Skipped()
            num_rows = sum(1 for _ in self._records(sources, skipped))
            if not num_rows:
                raise RungError(f"no chain can be read: {skipped.count} rows are left out")
            tell_skipped(out.progress, skipped)
            scorers = self._open(names)
            self._score(out, sources, scorers, num_rows)
        tallies = [tally(scorer, read_records(self.out)) for scorer in scorers]
        result = {
            "out": str(self.out),
            "rows": num_rows,
            "skipped_rows": skipped.count,
            "scorers": msgspec.to_builtins(tallies),
        }
        out.result(result, lambda console: _show(console, tallies, str(self.out)))

    def _records(self, sources: Sequence[str], skipped: Skipped) -> Iterable[ChainRecord]:
        counted = skipped if self.skip_bad else None
        return records_of(sources, self.format, self.neutral, counted)

    def _open(self, names: dict[str, str]) -> list[RewardScorer]:
        from rung.score import load_scorer

        return [
            load_scorer(
                folder,
                name=name,
                precision=self.precision,
                batch_tokens=self.batch_tokens,
            )
            for name, folder in names.items()
        ]

    def _score(
        self, out: Output, sources: Sequence[str], scorers: list[RewardScorer], num_rows: int
    ) -> None:
        from rung.score.stream import WINDOW, score_windows

        reading = [version("rung"), self.format, self.neutral, self.skip_bad, WINDOW]
        settings = [*reading, *(scorer.fingerprint for scorer in scorers)]
        made_from = fingerprint_of(sources, settings)
        with resumable_rows(self.out, made_from, out.progress, rows_a_chunk=WINDOW) as rows:
            out.progress.start(f"score with {', '.join(s.name for s in scorers)}", num_rows)
            out.progress.advance(rows.done)
            left = islice(self._records(sources, Skipped()), rows.done, None)
            for window in score_windows(left, scorers):
                rows.append(map(encode_record, window))
                out.progress.advance(len(window))


def tally(scorer: RewardScorer, records: Iterable[ChainRecord]) -> Tally:
    """Count what `scorer` left in the records."""
    num_chains = num_steps = num_lost = num_scored = 0
    total = 0.0
    for record in records:
        scores = record.scores_by(scorer.name)
        if scores is None:
            continue
        expected = scores.scores if scorer.kind == "prm" else scores.scores[-1:]
        num_chains += 1
        num_steps += len(scores.scores)
        num_lost += expected.count(None)
        num_scored += len(scores.known)
        total += sum(scores.known)
    return Tally(
        scorer=scorer.name,
        kind=scorer.kind,
        weights_hash=scorer.weights_hash,
        chains=num_chains,
        steps=num_steps,
        scored=num_scored,
        lost_steps=num_lost,
        mean_score=total / num_scored if num_scored else None,
    )


def _named_folders(scorers: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in scorers:
        name, equals, folder = text.partition("=")
        if not equals:
            name, folder = Path(text).resolve().name, text
        if name in named:
            raise RungError(f"two scorers are called {name!r}; name one: --scorer NAME={folder}")
        named[name] = folder
    if not named:
        raise RungError("no scorer: give --scorer FOLDER")
    return named


def _show(console: Console, tallies: Sequence[Tally], out: str) -> None:
    for t in tallies:
        mean = "none" if t.mean_score is None else f"{t.mean_score:.3f}"
        console.print(f"{t.scorer} ({t.kind}): {t.scored} scores, mean {mean}", soft_wrap=True)
        if t.lost_steps:
            console.print(f"  {t.lost_steps} steps lie beyond the context and have no score")
    console.print(f"{tallies[0].chains} chains in {out}", soft_wrap=True)


COMMAND = Score
