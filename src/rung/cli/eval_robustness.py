"""`rung eval robustness`: do scores change where only the form of the text does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rung.cli.eval_input import InputOptions, check_resamples
from rung.cli.output import JsonFlag, Output
from rung.cli.places import Place, named_places
from rung.cli.scorers import Opening, open_scorer
from rung.cli.tables import new_table, show_skips
from rung.core.codec import write_records
from rung.core.protocols import Progress
from rung.core.types import ChainRecord

if TYPE_CHECKING:
    from rich.console import Console

    from rung.eval import Estimate, VariantChange


@dataclass(frozen=True, slots=True)
class RobustnessCommand:
    """Do a scorer's scores change where only the form of the text does?

    Each chain is scored as it is and in variants of equal meaning: steps numbered, numbered anew or
    without numbers, with "Step k:" before them, in other words, with wider blanks, with a filler
    step or a repeated one. Any scorer can be measured: --variants writes the variants, and what has
    scored them is read here. Paraphrases of your own may stand among them.
    """

    input: InputOptions
    scorer: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")
    ] = ()
    """A checkpoint folder, NAME=FOLDER, or FOLDER@URL, that scores the variants now; give it again
    for another. Without it the chains must be scored variants."""
    family: str = "auto"
    """How the scorers are read: auto tells it from their files, or a published family's name."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    variants: Path | None = None
    """Write chains and variants into this rung file, for 'rung score' or another scorer."""
    threshold: float = 0.5
    """A step with a lower score is doubted."""
    resamples: int = 1_000
    """Bootstrap resamples of the problems."""
    seed: int = 0
    """Of the resamples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Make variants, score them, compare; or part of it."""
        from rung.eval import robustness
        from rung.eval.variants import variant_records

        check_resamples(self.resamples)
        places = named_places(self.scorer) if self.scorer else []
        records, skips = self.input.read(out.progress)
        if places or self.variants is not None:
            records = list(variant_records(records))
        if places:
            how = Opening(family=self.family, options={}, key_env=self.scorer_key_env)
            records = _score(records, places, how, out.progress)
        if self.variants is not None:
            write_records(self.variants, records)
            out.progress.log(f"{len(records)} chains, variants among them, in {self.variants}")
        if self.variants is not None and not places:
            result = {"variants": str(self.variants), "rows": len(records), **skips}
            out.result(result, lambda console: show_skips(console, skips))
            return
        out.progress.start("compare variants with originals")
        found = robustness(
            records, threshold=self.threshold, resamples=self.resamples, seed=self.seed
        )
        out.result({"changes": found, **skips}, lambda console: _show(console, found, skips))


def _score(
    records: Sequence[ChainRecord], places: Sequence[Place], how: Opening, progress: Progress
) -> list[ChainRecord]:
    from rung.score import score_windows

    scorers = [open_scorer(place, how, progress) for place in places]
    progress.start("score chains and variants", len(records))
    scored: list[ChainRecord] = []
    for window in score_windows(records, scorers):
        scored += window
        progress.advance(len(window))
    return scored


def _show(console: Console, found: Sequence[VariantChange], skips: Mapping[str, Any]) -> None:
    console.print(
        "Scores of the same steps, variant minus original; flipped steps and moved first doubts"
        " in percent",
        soft_wrap=True,
    )
    for scorer in dict.fromkeys(row.scorer for row in found):
        table = new_table(scorer, "chains", "change", "size", "flipped", "moved", "AUROC")
        for row in found:
            if row.scorer == scorer:
                table.add_row(
                    row.variant,
                    f"{row.num_chains}",
                    _cell(row.mean_change, "+.3f"),
                    _cell(row.mean_size, ".3f"),
                    _cell(row.flipped, ".1f", 100),
                    _cell(row.moved, ".1f", 100),
                    _cell(row.auroc_change, "+.3f"),
                )
        console.print(table)
    show_skips(console, skips)


def _cell(one: Estimate | None, form: str, times: float = 1) -> str:
    """A number over its interval."""
    if one is None:
        return "–"
    value = f"{times * one.value:{form}}"
    if one.low is None or one.high is None:
        return value
    return f"{value}\n{times * one.low:{form}} to {times * one.high:{form}}"
