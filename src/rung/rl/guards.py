"""What keeps a policy from winning rewards without being right.

A policy that is trained against a PRM finds what the PRM overrates (Gao et al., arXiv 2210.10760).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import fmean, stdev

from rung.core.types import Chain
from rung.rl.settings import Guards

CUT_OFF = "length"
FEW_WORDS = 12
"""A shorter step is not called padded."""
LEAST_DISTINCT = 1 / 3
"""Of a longer step's words, so many are different ones."""
Z = 1.96
PARTED_LOOKS = 2
"""Looks in a row at which accuracy must have fallen while the reward rose: learning has dips."""
_WORD = re.compile(r"\w+")


def earning_steps(chain: Chain, guards: Guards) -> list[bool]:
    """Which steps may earn something.

    None of a chain that was cut off; of others, steps that have words, not those of an earlier
    step again, and not few words over and over.
    """
    count = len(chain.steps)
    within = [guards.most_steps is None or k < guards.most_steps for k in range(count)]
    if guards.blank_steps_pay:
        return within
    if is_cut_off(chain):
        return [False] * count
    seen: set[tuple[str, ...]] = {()}
    earning: list[bool] = []
    for text, is_within in zip(chain.texts, within, strict=True):
        words = tuple(_WORD.findall(text.casefold()))
        earning.append(is_within and words not in seen and not _is_padded(words))
        seen.add(words)
    return earning


def is_cut_off(chain: Chain) -> bool:
    """Whether it ran into its limit of tokens."""
    return chain.source is not None and chain.source.finish_reason == CUT_OFF


def has_parted(
    best: Sequence[float], now: Sequence[float], best_reward: float, reward: float
) -> str | None:
    """Whether accuracy has fallen while the reward rose; says so in words.

    A fall counts if the mean over the problems of the difference, less 1.96 standard errors, is
    above 0: the same problems are looked at each time.

    Args:
        best: Each held-out problem's share of right chains, at the best look.
        now: The same, now.
        best_reward: What chains were paid at the best look.
        reward: What they are paid now.
    """
    falls = [a - b for a, b in zip(best, now, strict=True)]
    if len(falls) < 2 or reward <= best_reward:
        return None
    if fmean(falls) - Z * stdev(falls) / math.sqrt(len(falls)) <= 0:
        return None
    return (
        f"held-out accuracy fell from {fmean(best):.1%} to {fmean(now):.1%} while the reward rose"
        f" from {best_reward:.3f} to {reward:.3f}"
    )


def _is_padded(words: Sequence[str]) -> bool:
    return len(words) >= FEW_WORDS and len(set(words)) < LEAST_DISTINCT * len(words)
