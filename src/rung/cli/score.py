"""`rung score`: score the steps of chains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import tyro

from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, Place, TrustPickle, named_places, options_by_name
from rung.cli.scaling import (
    HERE,
    ScalingOptions,
    blocks_of,
    decode_block,
    encode_block,
    working,
)
from rung.cli.scorers import Calibration, Opening, Precision, open_scorer
from rung.core.codec import Skipped, read_records
from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress, Scorer
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.types import ChainRecord
from rung.core.urls import name_of
from rung.data import Neutral
from rung.score.cost import Metered, write_costs

if TYPE_CHECKING:
    from rich.console import Console

    from rung.score import ModelScorer


@dataclass(frozen=True, slots=True)
class Tally:
    """What one scorer did to all chains."""

    scorer: str
    kind: str
    family: str
    """How it is read."""
    aggregation: str | None
    """How its authors make one score of a chain's (see `rung rerank --by`), where they say it."""
    weights_hash: str | None
    """None for a model behind a server."""
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

    Stopped and run again, it goes on where it was and ends with the same file; when that is done,
    it is left as it is. What the scores took, OUT.cost.json says ('rung eval compare' shows it).
    """

    chains: Chains
    """Files or URLs of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    scorer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")]
    """A checkpoint folder, or NAME=FOLDER to name its scores; give it again for another.
    FOLDER@URL asks the vLLM server there, which 'rung serve-config FOLDER' says how to start."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    family: str = "auto"
    """How the scorers are read: auto tells it from their files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    trust_pickle: TrustPickle = False
    unsafe_local: bool = False
    """Run the code that GenPRM writes (--family-option run_code=true) without a sandbox, with all
    your rights."""
    precision: Precision = "auto"
    """auto takes bf16 for large models on hardware that is fast at it, else fp32."""
    calibrated: Calibration | None = None
    """Give probabilities by a map of 'rung calibrate'; the scores' names end in its name."""
    batch_tokens: int | None = None
    """Tokens in one forward pass; by default 1024 on a CPU, 16384 on a GPU."""
    scaling: ScalingOptions = HERE
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Score."""
        places = named_places(self.scorer)
        with read_twice(self.chains) as sources:
            skipped = Skipped()
            num_rows = sum(1 for _ in self._records(sources, skipped))
            if not num_rows:
                raise RungError(f"no chain can be read: {skipped.count} rows are left out")
            tell_skipped(out.progress, skipped)
            scorers = [self._open(place, out.progress) for place in places]
            self._score(out, sources, scorers, num_rows)
        tallies = [tally(scorer, read_records(self.out)) for scorer in scorers]
        result = {
            "out": name_of(self.out),
            "rows": num_rows,
            "skipped_rows": skipped.count,
            "scorers": msgspec.to_builtins(tallies),
        }
        out.result(result, lambda console: _show(console, tallies, name_of(self.out)))

    def _records(self, sources: Sequence[str], skipped: Skipped) -> Iterable[ChainRecord]:
        counted = skipped if self.skip_bad else None
        return records_of(sources, self.format, self.neutral, counted)

    def _open(self, place: Place, progress: Progress) -> ModelScorer:
        how = Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            key_env=self.scorer_key_env,
            trust_pickle=self.trust_pickle,
            unsafe_local=self.unsafe_local,
            precision=self.precision,
            calibrated=self.calibrated,
            batch_tokens=self.batch_tokens,
        )
        return open_scorer(place, how, progress)

    def _score(
        self, out: Output, sources: Sequence[str], scorers: list[ModelScorer], num_rows: int
    ) -> None:
        from rung.score.stream import WINDOW

        cluster = self.scaling.cluster()
        reading = [version("rung"), self.format, self.neutral, self.skip_bad, WINDOW]
        settings = [*reading, *(scorer.fingerprint for scorer in scorers)]
        made_from = fingerprint_of(sources, settings)
        metered = [Metered(scorer) for scorer in scorers]
        open = self.open if cluster else partial(_scoring, metered)
        with (
            working(open, cluster, self.out, made_from) as work,
            resumable_rows(
                self.out, made_from, out.progress, rows_a_chunk=WINDOW, keeps_finished=True
            ) as rows,
        ):
            out.progress.start(f"score with {', '.join(s.name for s in scorers)}", num_rows)
            out.progress.advance(rows.done)
            left = islice(self._records(sources, Skipped()), rows.done, None)
            for made in work(blocks_of(left, WINDOW)):
                rows.append([made])
                out.progress.advance(made.count(b"\n"))
        if costs := {one.name: one.cost for one in metered if one.chains}:
            write_costs(self.out, costs)

    @contextlib.contextmanager
    def open(self) -> Generator[Callable[[bytes], bytes]]:
        """What a worker elsewhere does to a block of records."""
        places = named_places(self.scorer)
        with _scoring([self._open(place, Silent()) for place in places]) as do:
            yield do


@contextlib.contextmanager
def _scoring(scorers: Sequence[Scorer]) -> Generator[Callable[[bytes], bytes]]:
    from rung.score.stream import score_records

    yield lambda block: encode_block(score_records(decode_block(block), scorers))


def tally(scorer: ModelScorer, records: Iterable[ChainRecord]) -> Tally:
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
        family=scorer.family,
        aggregation=scorer.aggregation,
        weights_hash=scorer.weights_hash,
        chains=num_chains,
        steps=num_steps,
        scored=num_scored,
        lost_steps=num_lost,
        mean_score=total / num_scored if num_scored else None,
    )


def _show(console: Console, tallies: Sequence[Tally], out: str) -> None:
    for t in tallies:
        mean = "none" if t.mean_score is None else f"{t.mean_score:.3f}"
        console.print(f"{t.scorer} ({t.kind}): {t.scored} scores, mean {mean}", soft_wrap=True)
        if t.family != "rung":
            authors = f"; its authors combine scores by {t.aggregation}" if t.aggregation else ""
            console.print(f"  read as {t.family}{authors}", soft_wrap=True)
        if t.lost_steps:
            console.print(f"  {t.lost_steps} steps lie beyond the context and have no score")
    console.print(f"{tallies[0].chains} chains in {out}", soft_wrap=True)


COMMAND = Score
