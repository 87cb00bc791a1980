"""Padded tensors of steps."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.core.errors import RungError


def is_step(num_steps_B: Tensor, width: int) -> Tensor:
    """Where (B, S) there is a step and no padding."""
    return torch.arange(width, device=num_steps_B.device) < num_steps_B[:, None]


def real(values_BS: Tensor, num_steps_B: Tensor, what: str) -> Tensor:
    """The values, 0 in the padding.

    Raises:
        RungError: One that is no padding is NaN or infinite.
    """
    mask_BS = is_step(num_steps_B, values_BS.shape[1])
    bad = (mask_BS & ~torch.isfinite(values_BS)).nonzero()
    if len(bad):
        chain, step = bad[0].tolist()
        value = float(values_BS[chain, step])
        raise RungError(f"{what} of step {step} of chain {chain} is {value}, expected a number")
    return torch.where(mask_BS, values_BS, 0.0)


def before(values_BS: Tensor, first_B: Tensor) -> Tensor:
    """For each step the value of the step before it; for the first one what is given."""
    return torch.cat([first_B[:, None], values_BS[:, :-1]], 1)


def carried(values_BS: Tensor, known_BS: Tensor, first: float) -> Tensor:
    """The values; where one is not known, the last that is known before it, or `first`.

    >>> import torch
    >>> known = torch.tensor([[False, True, False]])
    >>> carried(torch.tensor([[0.0, 0.5, 0.0]]), known, 1.0).tolist()
    [[1.0, 0.5, 0.5]]
    """
    places_S = torch.arange(values_BS.shape[1], device=values_BS.device)
    last_BS = torch.where(known_BS, places_S, -1).cummax(1).values
    return torch.where(last_BS >= 0, values_BS.gather(1, last_BS.clamp(min=0)), first)


def at_end(values_B: Tensor, num_steps_B: Tensor, width: int) -> Tensor:
    """Each chain's value at its last step, 0 elsewhere; nothing for a chain without steps."""
    places_S = torch.arange(width, device=num_steps_B.device)
    is_last_BS = places_S == num_steps_B[:, None] - 1
    return torch.where(is_last_BS, values_B[:, None], 0.0)
