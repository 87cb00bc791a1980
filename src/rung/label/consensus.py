"""One set of labels out of several: Dawid-Skene, Bayes with measured errors, and agreement.

S is the number of steps, L of sources. A source's two rates are P(says right | wrong) and
P(says right | right).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rung.core import ChainRecord, RungError, StepLabels
from rung.data.rows import labels_to_first_error
from rung.label.step_table import FloatArray

MAX_ROUNDS = 1_000
TOLERANCE = 1e-6
PSEUDO_COUNT = 1.0
"""Of right and of wrong verdicts, given to every source for each truth: no rate is 0 or 1."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What several sources make us believe."""

    right_S: FloatArray
    """P(the step is right); NaN where no source judged it."""
    rates_L2: FloatArray
    share_right: float
    """P(right) of a step that nobody judged."""
    rounds: int = 0


def dawid_skene(said_SL: FloatArray) -> Beliefs:
    """Which steps are right and how often each source errs, both estimated from the sources alone.

    Dawid and Skene (1979), expectation maximization from the majority's verdicts, for two classes;
    with add-one smoothing of the rates. It takes the sources' errors for independent given the
    truth, and most sources for better than chance; two sources alone don't tell which of them errs.

    Args:
        said_SL: 1 right, 0 wrong, NaN not judged.

    Raises:
        RungError: There is no step that two sources judged.
    """
    if not ((~np.isnan(said_SL)).sum(axis=1) >= 2).any():
        raise RungError("no step is judged by two sources, so nothing can be compared")
    judged_S = ~np.isnan(said_SL).all(axis=1)
    said_NL = said_SL[judged_S]
    right_N = np.nanmean(said_NL, axis=1)
    rates_L2, share_right = _rates(said_NL, right_N), float(right_N.mean())
    rounds, change = 0, np.inf
    while change > TOLERANCE and rounds < MAX_ROUNDS:
        rounds += 1
        rates_L2, share_right = _rates(said_NL, right_N), float(right_N.mean())
        before_N, right_N = right_N, _posterior(said_NL, rates_L2, share_right)
        change = np.abs(right_N - before_N).max()
    right_S = np.full(len(said_SL), np.nan)
    right_S[judged_S] = right_N
    return Beliefs(right_S, rates_L2, share_right, rounds)


def noise_aware(said_SL: FloatArray, trusted_S: FloatArray) -> Beliefs:
    """P(right | what the sources say), by Bayes with their errors against a trusted subset.

    The confusion is that of forward correction (Patrini et al., arXiv 1609.03683). There it
    changes the loss, so that a model trained on noisy labels predicts clean ones (see
    `rung.train.losses.forward_corrected`); here it makes soft labels, so that any loss can be used.
    They differ: a model fitted to these soft labels orders steps alike but is less sharp than the
    truth, the more so the noisier the source is.
    A step with a trusted label keeps that one.

    Args:
        said_SL: 1 right, 0 wrong, NaN not judged.
        trusted_S: The truth where it is known, NaN elsewhere.

    Raises:
        RungError: The trusted steps are not both right and wrong ones.
    """
    known_S = ~np.isnan(trusted_S)
    if not {0.0, 1.0} <= set(trusted_S[known_S].tolist()):
        raise RungError("the trusted labels must have right and wrong steps, to measure errors on")
    rates_L2 = _rates(said_SL[known_S], trusted_S[known_S])
    share_right = float(trusted_S[known_S].mean())
    right_S = _posterior(said_SL, rates_L2, share_right)
    right_S[np.isnan(said_SL).all(axis=1)] = np.nan
    right_S[known_S] = trusted_S[known_S]
    return Beliefs(right_S, rates_L2, share_right)


def agreed_labels(record: ChainRecord, sources: Sequence[str], name: str) -> StepLabels | None:
    """Labels up to the first error where all sources put it at the same step, or all nowhere.

    The consensus filter of Zhang et al. (arXiv 2501.07301, section 3.1), there for Monte-Carlo
    estimation and a judge. They drop the other chains; here these get labels of None.

    Returns:
        None where a source does not say where the first error is.
    """
    errors: set[int | None] = set()
    for source in sources:
        found = record.labels_from(source)
        if found is None or None in found.labels[: found.first_error]:
            return None
        errors.add(found.first_error)
    count = len(record.chain.steps)
    if len(errors) > 1:
        return StepLabels((None,) * count, name)
    return StepLabels(labels_to_first_error(count, errors.pop()), name)


def _rates(said_SL: FloatArray, right_S: FloatArray) -> FloatArray:
    judged_SL, yes_SL = (~np.isnan(said_SL)).astype(np.float64), np.nan_to_num(said_SL)
    truth_2S = np.stack([1.0 - right_S, right_S])
    yes_2L, all_2L = truth_2S @ yes_SL, truth_2S @ judged_SL
    return ((yes_2L + PSEUDO_COUNT) / (all_2L + 2 * PSEUDO_COUNT)).T


def _posterior(said_SL: FloatArray, rates_L2: FloatArray, share_right: float) -> FloatArray:
    share_right = min(max(share_right, 1e-9), 1 - 1e-9)
    yes_L = np.log(rates_L2[:, 1] / rates_L2[:, 0])
    no_L = np.log((1 - rates_L2[:, 1]) / (1 - rates_L2[:, 0]))
    evidence_SL = np.where(np.isnan(said_SL), 0.0, np.where(said_SL == 1, yes_L, no_L))
    log_odds_S = np.log(share_right / (1 - share_right)) + evidence_SL.sum(axis=1)
    return 0.5 * (1 + np.tanh(log_odds_S / 2))
