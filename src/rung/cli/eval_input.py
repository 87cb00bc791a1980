"""What the verbs that measure share: their input, and which scorers are meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from rung.cli.inputs import Chains, Files, tell_skipped
from rung.core.codec import Skipped
from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.core.types import ChainRecord
from rung.data import Neutral, join_scores, load, merge_records


@dataclass(frozen=True, slots=True)
class Input:
    """What is measured."""

    scored: Chains
    """Files or URLs of scored chains, taken together; "-" is standard input, OWNER/NAME a
    dataset. A chain that stands in several files, with scores by others, is one chain."""
    scores: Files = ()
    """Files of published step scores to join by chain id; chains that one lacks are left out."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""

    def read(self, progress: Progress) -> tuple[list[ChainRecord], dict[str, Any]]:
        """All chains, and what was left out on request.

        Raises:
            RungError: No source was named, or one can't be read.
        """
        if not self.scored:
            raise RungError("nothing to measure: give a file of scored chains, or -")
        skipped = Skipped()
        records = merge_records([self._chains(source, progress, skipped) for source in self.scored])
        tell_skipped(progress, skipped)
        joined = records
        for source in self.scores:
            joined = list(join_scores(joined, source))
        return joined, {
            "skipped_rows": skipped.count,
            "chains_not_in_scores": len(records) - len(joined),
        }

    def _chains(self, source: str, progress: Progress, skipped: Skipped) -> Iterator[ChainRecord]:
        progress.start(f"read {source}")
        counted = skipped if self.skip_bad else None
        for record in load(source, format=self.format, neutral=self.neutral, skipped=counted):
            yield record
            progress.advance()


InputOptions = tyro.conf.OmitArgPrefixes[Input]


def check_resamples(resamples: int) -> None:
    """Refuse a bootstrap of nothing."""
    if resamples < 1:
        raise RungError("--resamples needs at least 1")


def scorers_meant(records: Sequence[ChainRecord], name: str | None) -> list[str]:
    """The scorer of that name; without one, every scorer.

    Raises:
        RungError: There are no scores, or none of that name.
    """
    from rung.eval.choose import choose_scorer, scorers_of

    present = scorers_of(records)
    return present if name is None and present else [choose_scorer(records, name)]


def counted(scorers: Sequence[str], progress: Progress) -> Iterator[str]:
    """The scorers, each said to be done when the next is asked for."""
    for scorer in scorers:
        yield scorer
        progress.advance(note=scorer)
