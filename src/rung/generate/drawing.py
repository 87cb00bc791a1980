"""How the next token is drawn. L is the number of rows, V the vocabulary, K blocks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

VOCABULARY_BLOCK = 256
"""Tokens whose probabilities are summed together: about the root of a large vocabulary."""


class Drawing(Protocol):
    """How tokens are drawn; a `Sampling` and a `Completing` have it."""

    @property
    def temperature(self) -> float:
        """0 takes the likeliest token each time."""
        ...

    @property
    def top_p(self) -> float:
        """Draw from the likeliest tokens that together have this probability."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens a row may have."""
        ...


def pick(
    logits_LV: Tensor, draws_L: Sequence[float], sampling: Drawing, top_k: int | None
) -> Tensor:
    """The next token of each row: by inverting the distribution at the row's draw from [0, 1)."""
    if sampling.temperature == 0:
        return logits_LV.argmax(-1)
    logits_LV = logits_LV.float()
    if top_k is not None:
        least_L1 = logits_LV.topk(min(top_k, logits_LV.shape[-1]), -1).values[:, -1:]
        logits_LV = logits_LV.masked_fill(logits_LV < least_L1, -torch.inf)
    probs_LV = torch.softmax(logits_LV / sampling.temperature, -1)
    if sampling.top_p < 1:
        probs_LV = _nucleus(probs_LV, sampling.top_p)
    draws_L1 = torch.tensor(draws_L, device=probs_LV.device, dtype=torch.float64)[:, None]
    return _inverted(probs_LV, draws_L1)


def _inverted(probs_LV: Tensor, draws_L1: Tensor) -> Tensor:
    """Where in the vocabulary the summed probabilities pass a share `draws_L1` of their whole.

    In a large one first the block of tokens is found, then the token in it: to sum token by token
    through all of it takes a core 140 ms for 256 rows of 49,152 tokens, this way 8.
    """
    vocabulary, size = probs_LV.shape[-1], VOCABULARY_BLOCK
    if vocabulary <= 2 * size:
        upto_LV = probs_LV.cumsum(-1, dtype=torch.float64)
        return _first_above(upto_LV, draws_L1 * upto_LV[:, -1:])[:, 0]
    if vocabulary % size:
        probs_LV = F.pad(probs_LV, (0, -vocabulary % size))
    blocks_LKV = probs_LV.unflatten(-1, (-1, size))
    upto_LK = blocks_LKV.sum(-1).double().cumsum(-1)
    wanted_L1 = draws_L1 * upto_LK[:, -1:]
    block_L1 = _first_above(upto_LK, wanted_L1)
    rows_L1 = torch.arange(len(block_L1), device=block_L1.device)[:, None]
    upto_LV = blocks_LKV[rows_L1, block_L1][:, 0].cumsum(-1, dtype=torch.float64)
    before_L1 = F.pad(upto_LK, (1, 0)).gather(-1, block_L1)
    place_L1 = _first_above(upto_LV, wanted_L1 - before_L1)
    return (block_L1 * size + place_L1)[:, 0].clamp(max=vocabulary - 1)


def _first_above(upto_LK: Tensor, wanted_L1: Tensor) -> Tensor:
    """The first sum above what is wanted; by no rounding one that added nothing."""
    end_L1 = upto_LK[:, -1:]
    wanted_L1 = torch.minimum(wanted_L1, torch.nextafter(end_L1, torch.zeros_like(end_L1)))
    found_L1 = torch.searchsorted(upto_LK, wanted_L1, right=True)
    return found_L1.clamp(max=upto_LK.shape[-1] - 1)  # where the model gives no numbers


def _nucleus(probs_LV: Tensor, top_p: float) -> Tensor:
    """Zero all but the likeliest tokens that together reach `top_p` (arXiv 1904.09751)."""
    sorted_LV, order_LV = probs_LV.sort(-1, descending=True)
    is_beyond_LV = sorted_LV.cumsum(-1) - sorted_LV >= top_p
    return torch.zeros_like(probs_LV).scatter(-1, order_LV, sorted_LV.masked_fill(is_beyond_LV, 0))
