"""How often a source says right of wrong and of right steps: measured, kept in a file, read again.

The numbers are the transition matrix T of Patrini et al. (arXiv 1609.03683), for two classes; the
loss that uses it is `rung.train.losses.forward_corrected`. They estimate T from a model that was
trained on the noisy labels; here it is counted on trusted labels, as in Hendrycks et al. (arXiv
1802.05300), or on what Dawid and Skene's method believes, which needs no truth.

S is the number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from rung.core import InputError, RungError
from rung.core.files import replacing
from rung.label.step_table import FloatArray, StepTable

POSITIONS = (0, 1, 2, 3, 4, 8)
"""Where groups of positions begin: the fifth to the eighth step are one, and so are those behind.
`rung.eval.agreement` reports the same ones."""
PSEUDO_COUNT = 1.0
"""Of labels of 0 and of 1, added for each truth: no rate is exactly 0 or 1."""
SHRINKAGE = 20.0
"""A group of positions is taken for this many more steps that err as all do: few steps are few."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How a source labels the steps from one position on; soft labels count with their value.

    Raises:
        RungError: A rate is none, or the labels are no better than chance.
    """

    says_right_of_wrong: float
    """The mean label of wrong steps: of hard labels, P(says right | wrong)."""
    says_right_of_right: float
    """The mean label of right steps."""
    first: int = 0
    """The first step that is meant, 0-based; the next confusion begins where this one ends."""

    def __post_init__(self) -> None:
        wrong, right = self.says_right_of_wrong, self.says_right_of_right
        if not 0 <= wrong < right <= 1:
            raise RungError(
                f"a source that says right of {wrong:g} of wrong steps and of {right:g} of right "
                "ones teaches nothing; expected two shares, the first below the second"
            )


Noise = tuple[Confusion, ...]
"""By rising `first`; the first one begins at 0."""


@dataclass(frozen=True, slots=True)
class SourceNoise:
    """How one source errs."""

    overall: Confusion
    by_position: Noise

    def __post_init__(self) -> None:
        check_noise(self.by_position)


class _NoiseFile(msgspec.Struct, forbid_unknown_fields=True):
    measured_by: str
    sources: dict[str, SourceNoise]


def check_noise(noise: Noise) -> None:
    """See that every position has its confusion.

    Raises:
        RungError: The positions don't begin at 0 or don't rise.
    """
    firsts = [confusion.first for confusion in noise]
    if firsts[:1] != [0] or any(a >= b for a, b in pairwise(firsts)):
        raise RungError(f"positions of a noise must rise from 0, not {firsts}")


def measure_noise(table: StepTable, source: str, right_S: FloatArray) -> SourceNoise:
    """How a source of the table errs, over all steps and by position.

    Args:
        table: What sources say.
        source: One of them.
        right_S: The truth of the table's rows, or P(right); NaN where it is not known.

    Raises:
        RungError: No wrong or no right step has a label, or the source is no better than chance.
    """
    labels_S = table.labels_SL[:, table.sources.index(source)]
    known_S = ~np.isnan(labels_S) & ~np.isnan(right_S)
    truth_2S = np.where(known_S, [1 - right_S, right_S], 0.0)
    if not (truth_2S.sum(axis=1) > 0).all():
        raise RungError(f"{source!r} labels no wrong or no right step whose truth is known")
    said_S = np.where(known_S, labels_S, 0.0)
    overall_2 = (truth_2S @ said_S + PSEUDO_COUNT) / (truth_2S.sum(axis=1) + 2 * PSEUDO_COUNT)
    group_S = _groups([row.position for row in table.rows.values()])
    groups: list[Confusion] = []
    for group, first in enumerate(POSITIONS):
        here_2S = truth_2S * (group_S == group)
        rate_2 = (here_2S @ said_S + SHRINKAGE * overall_2) / (here_2S.sum(axis=1) + SHRINKAGE)
        groups.append(Confusion(float(rate_2[0]), float(rate_2[1]), first))
    return SourceNoise(Confusion(float(overall_2[0]), float(overall_2[1])), tuple(groups))


def write_noise(path: Path, measured_by: str, sources: Mapping[str, SourceNoise]) -> None:
    """Write down how sources err, as JSON.

    Args:
        path: The file.
        measured_by: What was believed: the trusted source's name, or "dawid-skene".
        sources: By name.
    """
    told = msgspec.json.encode(_NoiseFile(measured_by, dict(sources)))
    with replacing(path) as aside:
        aside.write_bytes(msgspec.json.format(told, indent=1) + b"\n")


def read_noise(path: Path, source: str | None) -> SourceNoise:
    """How a source errs, from a file of `write_noise`; without a name, the only one there is.

    Raises:
        InputError: The file is no such file, or does not have the source.
    """
    try:
        sources = msgspec.json.decode(path.read_bytes(), type=_NoiseFile).sources
    except (OSError, msgspec.DecodeError, RungError) as error:
        raise InputError(f"this does not say how sources err ({error})", file=str(path)) from error
    if source is None and len(sources) == 1:
        source = next(iter(sources))
    if source not in sources:
        wanted = "name the source" if source is None else f"there is nothing about {source!r}"
        raise InputError(f"{wanted}; the file has {', '.join(sources)}", file=str(path))
    return sources[source]


def _groups(positions: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.searchsorted(POSITIONS, positions, side="right") - 1
