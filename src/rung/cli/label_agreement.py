"""`rung label agreement`: how far sources of labels agree, and how they err."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import tyro

from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.tables import in_percent, plain
from rung.core import ChainRecord, RungError, Skipped
from rung.data import Neutral
from rung.eval.agreement import Agreement, Errors, agreement, error_profile
from rung.eval.statistics import CONFIDENCE, RESAMPLES
from rung.label.noise import measure_noise, write_noise
from rung.label.step_table import sources_of, step_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Agree:
    """Measure how far sources of labels agree, and how each errs against a trusted one.

    All numbers come with bootstrap intervals over problems.
    """

    chains: Chains
    """Files of labeled chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    source: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A source of labels; give it again for another. Without it, all there are."""
    trusted: str | None = None
    """The source that is believed: how each other one errs against it, by position, by step
    length and by domain."""
    noise_out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """With --trusted: write how each other source errs, for rung train prm --noise."""
    confidence: float = CONFIDENCE
    """Of the intervals."""
    resamples: int = RESAMPLES
    """Bootstrap resamples of the problems."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Compare."""
        if not 0 < self.confidence < 1 or self.resamples < 1:
            raise RungError("--confidence is between 0 and 1, and --resamples at least 1")
        if self.noise_out is not None and self.trusted is None:
            raise RungError("--noise-out needs --trusted, against which sources err")
        skipped = Skipped()
        with read_twice(self.chains) as places:
            counted = skipped if self.skip_bad else None
            records = list(records_of(places, self.format, self.neutral, counted))
        tell_skipped(out.progress, skipped)
        sources = list(self.source or sources_of(records))
        others = [name for name in sources if name != self.trusted]
        both = others if self.trusted is None else [*others, self.trusted]
        confidence, resamples = self.confidence, self.resamples
        agreed = agreement(records, both, confidence=confidence, resamples=resamples)
        profiles: dict[str, list[Errors]] = {}
        if self.trusted is not None:
            profiles = {
                name: error_profile(
                    records, name, self.trusted, confidence=confidence, resamples=resamples
                )
                for name in others
            }
            if self.noise_out is not None:
                self._write_noise(records, others, self.trusted, self.noise_out)
        result = {
            "agreement": msgspec.to_builtins(agreed),
            "errors": msgspec.to_builtins(profiles),
            "trusted": self.trusted,
            "rows": len(records),
            "skipped_rows": skipped.count,
        }
        out.result(result, lambda console: _show(console, agreed, profiles))

    def _write_noise(
        self, records: Sequence[ChainRecord], others: Sequence[str], trusted: str, path: Path
    ) -> None:
        table = step_table(records, [*others, trusted])
        right_S = table.said_SL[:, -1]
        write_noise(path, trusted, {name: measure_noise(table, name, right_S) for name in others})


def _show(console: Console, agreed: Agreement, profiles: dict[str, list[Errors]]) -> None:
    for pair in agreed.pairs:
        line = f"{pair.first} and {pair.second}: {pair.num_steps} steps, the same on"
        line += f" {in_percent(pair.agreement)}, Cohen's kappa {plain(pair.kappa)}"
        console.print(line, soft_wrap=True, markup=False)
    line = f"Krippendorff's alpha of {len(agreed.sources)} sources: {plain(agreed.alpha)}"
    console.print(f"{line} on {agreed.num_steps} steps", soft_wrap=True, markup=False)
    for source, errors in profiles.items():
        console.print(_table(source, errors))


def _table(source: str, errors: Sequence[Errors]) -> Table:
    from rich.table import Table

    table = Table(title=f"Errors of {source}", title_justify="left")
    for name in ("by", "group", "steps", "missed errors", "false alarms", "judged"):
        table.add_column(name)
    for one in errors:
        shares = (in_percent(one.missed), in_percent(one.false_alarms), in_percent(one.judged))
        table.add_row(one.by, one.group, str(one.num_steps), *shares)
    return table
