"""Maps from scores to probabilities, fitted on held-out labels and kept beside the weights.

A scorer may rank steps well and still say 0.9 where seven of ten are right. Two maps mend that
and never turn the order of two scores round: a temperature (Guo et al., arXiv 1706.04599, section
4.2, for one logit) and an isotonic map (Zadrozny and Elkan, KDD 2002). J is the number of judged
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rung.core.errors import InputError, RungError
from rung.core.files import replacing

FloatArray = NDArray[np.float64]
Method = Literal["temperature", "isotonic"]

CALIBRATION_FILE = "calibration.json"
CALIBRATION_VERSION = 1
EDGE = 1e-9
"""A score nearer to 0 or 1 counts as this far from it: its logit is finite."""
LEAST_SLOPE, MOST_SLOPE = 1e-3, 1e3
"""Bounds of 1 / temperature. It ends there where scores say nothing, or tell all steps apart."""
HALVINGS = 100
"""Of the interval of slopes, in logarithm: beyond double precision."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """``sigmoid(logit(score) / temperature)``: one number; it keeps 0.5 where it is."""

    temperature: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}, expected a number above 0")

    def __call__(self, scores_J: ArrayLike) -> FloatArray:
        """Probabilities of scores in [0, 1]."""
        return _sigmoid(_logit(np.asarray(scores_J, dtype=np.float64)) / self.temperature)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising line through ``(scores[i], values[i])``, level beyond its ends.

    Level stretches tie the scores on them, and its ends can be 0 and 1: as good as the number of
    labels behind it.
    """

    scores: tuple[float, ...]
    """Rising."""
    values: tuple[float, ...]
    """In [0, 1], never falling."""

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.values):
            raise ValueError(f"{len(self.values)} values for {len(self.scores)} scores")
        if not np.all(np.diff(self.scores) > 0) or not np.all(np.diff(self.values) >= 0):
            raise ValueError("the scores don't rise, or the values fall")
        if not (self.values[0] >= 0 and self.values[-1] <= 1):
            raise ValueError("a value is outside [0, 1]")

    def __call__(self, scores_J: ArrayLike) -> FloatArray:
        """Probabilities of scores in [0, 1]."""
        return np.interp(np.asarray(scores_J, dtype=np.float64), self.scores, self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMaps:
    """What ``calibration.json`` holds: both maps, and what they were fitted on."""

    weights_hash: str
    """Of the weights whose scores these are."""
    label_source: str
    num_steps: int
    temperature: Temperature
    isotonic: Isotonic
    version: int = CALIBRATION_VERSION

    def by(self, method: Method) -> Temperature | Isotonic:
        """The map of this name."""
        return self.temperature if method == "temperature" else self.isotonic


def fit_temperature(scores_J: FloatArray, labels_J: FloatArray) -> Temperature:
    """The temperature with the least cross-entropy; soft labels count as probabilities.

    The cross-entropy is convex in 1 / temperature, so the sign of its slope leads to the minimum.

    Raises:
        RungError: There are no steps, or all are right, or all are wrong.
    """
    _check(scores_J, labels_J)
    logits_J = _logit(scores_J)

    def gradient(slope: float) -> float:
        return float(((_sigmoid(slope * logits_J) - labels_J) * logits_J).sum())

    return Temperature(1.0 / _root(gradient))


def fit_isotonic(scores_J: FloatArray, labels_J: FloatArray) -> Isotonic:
    """The rising map with the least squared error, by pooling adjacent violators.

    Ayer et al., Annals of Mathematical Statistics 26 (1955). Equal scores are pooled first; between
    two pools the map is a straight line, as in scikit-learn's IsotonicRegression.

    Raises:
        RungError: There are no steps, or all are right, or all are wrong.
    """
    _check(scores_J, labels_J)
    distinct, at_J = np.unique(scores_J, return_inverse=True)
    counts = np.bincount(at_J).astype(np.float64)
    means = np.bincount(at_J, weights=labels_J) / counts
    pools: list[tuple[float, float, int]] = []  # mean, weight, distinct scores
    for mean, weight in zip(means.tolist(), counts.tolist(), strict=True):
        width = 1
        while pools and pools[-1][0] >= mean:
            below, below_weight, below_width = pools.pop()
            total = weight + below_weight
            mean = (mean * weight + below * below_weight) / total
            weight, width = total, width + below_width
        pools.append((mean, weight, width))
    values = np.repeat([mean for mean, _, _ in pools], [width for _, _, width in pools])
    return _corners(distinct, np.clip(values, 0.0, 1.0))


def save_maps(maps: FittedMaps, folder: Path) -> None:
    """Write ``calibration.json`` into a checkpoint's folder."""
    with replacing(folder / CALIBRATION_FILE) as aside:
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(maps), indent=2) + b"\n")


def load_maps(folder: Path, weights_hash: str | None) -> FittedMaps:
    """Read ``calibration.json`` from a checkpoint's folder.

    Args:
        folder: The checkpoint.
        weights_hash: Of its weights; None where they are not at hand to compare.

    Raises:
        InputError: It is not there, can't be read, or was fitted to other weights.
    """
    path = folder / CALIBRATION_FILE
    try:
        maps = msgspec.json.decode(path.read_bytes(), type=FittedMaps)
    except FileNotFoundError:
        reason = f"the checkpoint lacks {CALIBRATION_FILE}; 'rung calibrate' makes it"
        raise InputError(reason, file=str(folder)) from None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"this is no calibration ({error})", file=str(path)) from None
    if maps.version != CALIBRATION_VERSION:
        reason = f"version {maps.version}, this rung reads {CALIBRATION_VERSION}"
        raise InputError(reason, file=str(path))
    if weights_hash not in (None, maps.weights_hash):
        reason = (
            f"fitted to the weights {maps.weights_hash}, those here are {weights_hash};"
            " 'rung calibrate' fits anew"
        )
        raise InputError(reason, file=str(path))
    return maps


def _check(scores_J: FloatArray, labels_J: FloatArray) -> None:
    if len(scores_J) != len(labels_J):
        raise ValueError(f"{len(scores_J)} scores for {len(labels_J)} labels")
    if not len(labels_J) or labels_J.max() <= 0.0 or labels_J.min() >= 1.0:
        raise RungError(
            f"the {len(labels_J)} labeled steps with scores are all of one kind;"
            " calibration needs right and wrong ones"
        )


def _root(gradient: Callable[[float], float]) -> float:
    """Where a rising function of the slope is 0; a bound where it is nowhere."""
    low, high = math.log(LEAST_SLOPE), math.log(MOST_SLOPE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if gradient(math.exp(middle)) < 0 else (low, middle)
    return math.exp((low + high) / 2)


def _corners(scores: FloatArray, values: FloatArray) -> Isotonic:
    """The points that the line needs: those inside a level stretch are left out."""
    is_inner = np.zeros(len(values), dtype=np.bool_)
    is_inner[1:-1] = (values[1:-1] == values[:-2]) & (values[1:-1] == values[2:])
    return Isotonic(tuple(scores[~is_inner].tolist()), tuple(values[~is_inner].tolist()))


def _logit(scores_J: FloatArray) -> FloatArray:
    inside_J = np.clip(scores_J, EDGE, 1.0 - EDGE)
    return np.log(inside_J) - np.log1p(-inside_J)


def _sigmoid(logits_J: FloatArray) -> FloatArray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits_J))
