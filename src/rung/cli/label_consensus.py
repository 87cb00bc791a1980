"""`rung label consensus`: one set of labels out of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core import ChainRecord, RungError, Skipped, StepLabels, write_records
from rung.core.urls import name_of
from rung.data import Neutral
from rung.label.consensus import Beliefs, agreed_labels, dawid_skene, noise_aware
from rung.label.noise import measure_noise, write_noise
from rung.label.step_table import StepTable, sources_of, step_table

if TYPE_CHECKING:
    from rich.console import Console

Method = Literal["dawid-skene", "filter", "noise-aware"]


@dataclass(frozen=True, slots=True)
class Consensus:
    """Make one set of labels out of several sources.

    docs/guides/judges.md says when each method helps.
    """

    chains: Chains
    """Files of labeled chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    method: Method
    """dawid-skene: P(right), with each source's errors estimated from the sources alone.
    filter: labels only for chains on whose first error all sources agree.
    noise-aware: P(right), with each source's errors measured against --trusted."""
    source: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A source of labels; give it again for another. Without it, all but the trusted one."""
    trusted: str | None = None
    """The source that is believed, for noise-aware; it need not judge every chain."""
    noise_out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write how each source errs by dawid-skene or noise-aware, for rung train prm --noise."""
    name: str | None = None
    """The new labels' source; by default the method's name."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Find the consensus."""
        if (self.method == "noise-aware") != (self.trusted is not None):
            raise RungError("--trusted goes with --method noise-aware, which needs it")
        if self.noise_out is not None and self.method == "filter":
            raise RungError("--noise-out is not for the filter, which does not say how sources err")
        with read_twice(self.chains) as places:
            skipped = Skipped()
            known = sources_of(self._records(places, skipped))
            tell_skipped(out.progress, skipped)
            sources = self.source or tuple(name for name in known if name != self.trusted)
            self._check(sources, known)
            counts: Counter[str] = Counter()
            if self.method == "filter":
                result, labeled = {}, self._filtered(places, sources, counts)
            else:
                table, beliefs = self._believe(places, sources)
                result = _rates_of(sources, beliefs)
                if self.noise_out is not None:
                    self._write_noise(table, sources, beliefs, self.noise_out)
                labeled = self._believed(places, table, beliefs, counts)
            write_records(self.out, labeled)
        about = {"out": name_of(self.out), "method": self.method, "source": self._name}
        result = {**about, **result, **counts, "skipped_rows": skipped.count}
        out.result(result, lambda console: _show(console, result))

    @property
    def _name(self) -> str:
        return self.name or self.method

    def _check(self, sources: Sequence[str], known: Sequence[str]) -> None:
        named = [*sources, *([self.trusted] if self.trusted is not None else [])]
        missing = [name for name in named if name not in known]
        if missing:
            raise RungError(f"there are no labels from {missing[0]!r}, only {', '.join(known)}")
        least = 1 if self.method == "noise-aware" else 2
        if len(sources) < least:
            raise RungError(f"{self.method} needs {least} sources or more, here: {list(sources)}")

    def _records(self, places: Sequence[str], skipped: Skipped) -> Iterable[ChainRecord]:
        counted = skipped if self.skip_bad else None
        return records_of(places, self.format, self.neutral, counted)

    def _believe(self, places: Sequence[str], sources: Sequence[str]) -> tuple[StepTable, Beliefs]:
        columns = [*sources, *([self.trusted] if self.trusted is not None else [])]
        table = step_table(self._records(places, Skipped()), columns)
        said_SL = table.said_SL
        if self.trusted is None:
            return table, dawid_skene(said_SL)
        return table, noise_aware(said_SL[:, :-1], said_SL[:, -1])

    def _write_noise(
        self, table: StepTable, sources: Sequence[str], beliefs: Beliefs, path: Path
    ) -> None:
        right_S = beliefs.right_S if self.trusted is None else table.said_SL[:, -1]
        noise = {source: measure_noise(table, source, right_S) for source in sources}
        write_noise(path, self.trusted or self.method, noise)

    def _believed(
        self, places: Sequence[str], table: StepTable, beliefs: Beliefs, counts: Counter[str]
    ) -> Iterator[ChainRecord]:
        right = dict(zip(table.rows, beliefs.right_S.tolist(), strict=True))
        for record in self._records(places, Skipped()):
            labels = [right[step.id] for step in record.chain.steps]
            known = tuple(None if np.isnan(label) else label for label in labels)
            counts["rows"] += 1
            counts["labeled_steps"] += len(known) - known.count(None)
            yield record.with_labels(StepLabels(known, self._name))

    def _filtered(
        self, places: Sequence[str], sources: Sequence[str], counts: Counter[str]
    ) -> Iterator[ChainRecord]:
        counts.update(dict.fromkeys(("rows", "agreed", "disagreed", "undecided"), 0))
        for record in self._records(places, Skipped()):
            found = agreed_labels(record, sources, self._name)
            counts["rows"] += 1
            if found is None:
                counts["undecided"] += 1
                found = StepLabels((None,) * len(record.chain.steps), self._name)
            else:
                is_agreed = any(label is not None for label in found.labels)
                counts["agreed" if is_agreed else "disagreed"] += 1
            yield record.with_labels(found)


def _rates_of(sources: Sequence[str], beliefs: Beliefs) -> dict[str, Any]:
    rates = {
        source: {"says_right_of_wrong": wrong, "says_right_of_right": right}
        for source, (wrong, right) in zip(sources, beliefs.rates_L2.tolist(), strict=True)
    }
    return {"share_right": beliefs.share_right, "rates": rates, "rounds": beliefs.rounds}


def _show(console: Console, result: dict[str, Any]) -> None:
    console.print(f"{result['rows']} chains in {result['out']}", soft_wrap=True)
    if "agreed" in result:
        told = ", ".join(f"{result[word]} {word}" for word in ("agreed", "disagreed", "undecided"))
        console.print(f"  chains by {result['source']}: {told}", soft_wrap=True, markup=False)
        return
    labeled, share = result["labeled_steps"], result["share_right"]
    console.print(f"  {labeled} steps labeled; share right {share:.3f}", soft_wrap=True)
    for source, rates in result["rates"].items():
        right, wrong = rates["says_right_of_right"], rates["says_right_of_wrong"]
        line = f"  {source} says right of {right:.1%} of right steps, {wrong:.1%} of wrong ones"
        console.print(line, soft_wrap=True, markup=False)
