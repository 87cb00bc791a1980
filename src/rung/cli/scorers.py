"""How the verbs that need scores open a scorer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rung.cli.places import Place
from rung.core.errors import RungError
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
    unsafe_local: bool = False
    """Run a model's code without a sandbox where there is none."""
    precision: Precision = "auto"
    calibrated: Calibration | None = None
    batch_tokens: int | None = None
    key_env: str | None = None
    """The environment variable with the token of the server that runs it."""

    @property
    def key(self) -> str | None:
        """The token; None where no variable is named.

        Raises:
            RungError: The variable is not set.
        """
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise RungError(
                f"--scorer-key-env {self.key_env}: there is no such variable, or it is empty"
            )
        return key


def open_scorer(place: Place, how: Opening, progress: Progress) -> ModelScorer:
    """Open a checkpoint of any kind, here or behind a server.

    Raises:
        RungError: It can't be opened.
    """
    from rung.score import calibrated

    scorer = _open(place, how, progress)
    return scorer if how.calibrated is None else calibrated(scorer, place.folder, how.calibrated)


def _open(place: Place, how: Opening, progress: Progress) -> ModelScorer:
    from rung.score import load_scorer, remote_scorer
    from rung.score.others import OTHERS

    name, folder, url = place
    family = family_of(place, how.family, progress)
    if family in OTHERS:
        return _open_other(place, family, how)
    if url is not None:
        return remote_scorer(
            folder, url, name=name, family=family, options=how.options, key=how.key
        )
    return load_scorer(
        folder,
        name=name,
        family=family,
        options=how.options,
        trust_pickle=how.trust_pickle,
        precision=how.precision,
        batch_tokens=how.batch_tokens,
    )


def _open_other(place: Place, family: str, how: Opening) -> ModelScorer:
    from rung.model.families import options_of
    from rung.score.others import OTHERS, How

    other = OTHERS[family]
    told = How(
        options=options_of(other, how.options),
        name=place.name,
        url=place.url,
        key=None if place.url is None else how.key,
        precision=how.precision,
        trust_pickle=how.trust_pickle,
        batch_tokens=how.batch_tokens,
        unsafe_local=how.unsafe_local,
    )
    return other.open(Path(place.folder), told)


def family_of(place: Place, family: str, progress: Progress) -> str:
    """The family's name; one that was told from the files is said with the reason.

    Raises:
        RungError: There is no such family, or the files don't tell it.
    """
    from rung.model.families import AUTO, FAMILIES, recognize
    from rung.model.implicit import is_implicit
    from rung.model.reading import READING_FILE
    from rung.score.others import OTHERS

    names = [*FAMILIES, *OTHERS]
    if family in names:
        return family
    if family != AUTO:
        raise RungError(f"there is no family {family!r}; there are {', '.join(names)}")
    if (Path(place.folder) / READING_FILE).exists():
        return "rung"
    if is_implicit(place.folder):
        return "implicit"
    found, why = recognize(place.folder, OTHERS.values())
    progress.log(f"{place.name} is read as {found.name} ({found.about}): {why}")
    return found.name
