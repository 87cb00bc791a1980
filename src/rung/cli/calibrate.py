"""`rung calibrate`: fit maps from a scorer's scores to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import tyro

from rung.cli.eval_input import InputOptions, check_resamples
from rung.cli.eval_view import show_recalibration
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, TrustPickle, options_by_name, place_of
from rung.cli.scorers import Opening, open_scorer
from rung.core.errors import RungError
from rung.core.types import ChainRecord

if TYPE_CHECKING:
    from rung.eval import Recalibration
    from rung.score import ModelScorer


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Fit maps from a checkpoint's scores to probabilities, and keep them beside its weights.

    The chains carry labels and were not used to train the checkpoint. One half of their problems
    is for the fit, the other one measures it. Scores of the checkpoint that the chains carry are
    used; chains without them are scored first. 'rung score --calibrated' uses the maps.
    """

    input: InputOptions
    scorer: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """A checkpoint folder, or NAME=FOLDER if its scores have another name."""
    family: str = "auto"
    """How it is read: auto tells it from its files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    trust_pickle: TrustPickle = False
    unsafe_local: bool = False
    """Run the code that GenPRM writes (--family-option run_code=true) without a sandbox, with all
    your rights."""
    label_source: str | None = None
    """Whose step labels; without it the only ones there are. An ORM takes the verdicts."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the reliability diagrams into this SVG file."""
    resamples: int = 1_000
    """Bootstrap resamples of the measured problems."""
    seed: int = 0
    """Of the halves and of the resamples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Fit, measure, and save."""
        from rung.eval import recalibrate
        from rung.eval.choose import choose_label_source
        from rung.score.calibration import CALIBRATION_FILE, FittedMaps, save_maps

        check_resamples(self.resamples)
        place = place_of(self.scorer)
        name, folder, url = place
        if url is not None:
            raise RungError("maps are fitted to weights, which a server does not show; give FOLDER")
        records, skips = self.input.read(out.progress)
        scorer = open_scorer(place, self._opening(), out.progress)
        assert scorer.weights_hash is not None, "a scorer that runs here knows its weights"
        is_orm = scorer.kind == "orm"
        source = None if is_orm else choose_label_source(records, self.label_source)
        scored = _scored(records, scorer, out)
        out.progress.start("fit and measure")
        found = recalibrate(
            scored, scorer=name, label_source=source, resamples=self.resamples, seed=self.seed
        )
        if self.plot is not None:
            _draw(self.plot, found)
        maps = FittedMaps(
            weights_hash=scorer.weights_hash,
            label_source=found.label_source,
            num_steps=found.fitted.num_steps,
            temperature=found.temperature,
            isotonic=found.isotonic,
        )
        save_maps(maps, Path(folder))
        file = str(Path(folder) / CALIBRATION_FILE)
        result = {"out": file, **msgspec.to_builtins(found), **skips}
        out.result(result, lambda console: show_recalibration(console, found, file, skips))

    def _opening(self) -> Opening:
        return Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            trust_pickle=self.trust_pickle,
            unsafe_local=self.unsafe_local,
        )


def _scored(records: Sequence[ChainRecord], scorer: ModelScorer, out: Output) -> list[ChainRecord]:
    """The records with the scorer's scores: those they carry, or new ones.

    Raises:
        RungError: Scores under the scorer's name are of other weights.
    """
    from rung.score.stream import score_records

    for record in records:
        found = record.scores_by(scorer.name)
        if found is not None and found.weights_hash != scorer.weights_hash:
            whose = found.weights_hash or "unknown"
            raise RungError(
                f"the chains carry scores by {scorer.name!r} of other weights ({whose}; the"
                f" checkpoint's are {scorer.weights_hash}); score them anew, or name the scorer"
                " otherwise: --scorer NAME=FOLDER"
            )
    bare = [record for record in records if record.scores_by(scorer.name) is None]
    out.progress.start(f"score with {scorer.name}", len(bare))
    fresh = score_records(bare, [scorer])
    ready: list[ChainRecord] = []
    for record in records:
        is_bare = record.scores_by(scorer.name) is None
        ready.append(next(fresh) if is_bare else record)
        out.progress.advance(is_bare)
    return ready


def _draw(path: Path, found: Recalibration) -> None:
    from rung.eval.reliability import write_reliability_svg

    write_reliability_svg(path, {"raw scores": found.before, **found.after})


COMMAND = Calibrate
