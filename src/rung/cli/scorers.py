"""How the verbs that need scores open a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rung.cli.places import Place
from rung.core.protocols import Progress

if TYPE_CHECKING:
    from rung.score import ModelScorer

Precision = Literal["auto", "fp32", "bf16"]
Calibration = Literal["temperature", "isotonic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a scorer's files are read."""

    family: str
    options: Mapping[str, str]
    trust_pickle: bool = False
    precision: Precision = "auto"
    calibrated: Calibration | None = None
    batch_tokens: int | None = None


def open_scorer(place: Place, how: Opening, progress: Progress) -> ModelScorer:
    """Open a checkpoint, an implicit PRM or a model behind a server.

    Raises:
        RungError: It can't be opened.
    """
    from rung.score import calibrated

    scorer = _open(place, how, progress)
    return scorer if how.calibrated is None else calibrated(scorer, place.folder, how.calibrated)


def _open(place: Place, how: Opening, progress: Progress) -> ModelScorer:
    from rung.model.implicit import is_implicit
    from rung.score import load_implicit, load_scorer, remote_scorer

    name, folder, url = place
    if url is not None:
        return remote_scorer(folder, url, name=name, family=how.family, options=how.options)
    if is_implicit(folder):
        return load_implicit(
            folder, name=name, precision=how.precision, batch_tokens=how.batch_tokens
        )
    return load_scorer(
        folder,
        name=name,
        family=_family_of(place, how.family, progress),
        options=how.options,
        trust_pickle=how.trust_pickle,
        precision=how.precision,
        batch_tokens=how.batch_tokens,
    )


def _family_of(place: Place, family: str, progress: Progress) -> str:
    """The family's name; one that was told from the files is said with the reason."""
    from rung.model.families import AUTO, own, recognize

    if family != AUTO:
        return family
    found, why = recognize(place.folder)
    if found is not own.FAMILY:
        progress.log(f"{place.name} is read as {found.name} ({found.about}): {why}")
    return found.name
