"""Returns to advantages: what to compare a chain's steps with.

`group_B` names the chains of one problem by equal numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.rl.returns import returns_to_go
from rung.rl.steps import is_step

EPSILON = 1e-6
"""Added to a deviation: a group whose chains all earn the same has no advantage, not NaN."""


def group_relative(
    returns_B: Tensor, group_B: Tensor, num_steps_B: Tensor, width: int, *, scaled: bool = True
) -> Tensor:
    """A chain's return against its group's, at every one of its steps: GRPO.

    DeepSeekMath (arXiv 2402.03300), section 4.1.2: ``(R - mean) / std`` over the group (std of the
    sample; 0 for a group of one). ``scaled=False`` leaves the deviation out, as Dr. GRPO
    (arXiv 2503.20783) does; then it is `leave_one_out` times (N - 1) / N.

    >>> import torch
    >>> ones = torch.ones(2, dtype=torch.long)
    >>> group_relative(torch.tensor([3.0, 1.0]), ones, ones, 1, scaled=False).tolist()
    [[1.0], [-1.0]]
    """
    index_B, counts_G = _groups(group_B)
    beyond_B = returns_B - returns_B[_firsts(index_B, counts_G)]  # equal ones are exactly 0
    centered_B = beyond_B - (_sum(beyond_B, index_B, counts_G) / counts_G)[index_B]
    if scaled:
        spread_G = _sum(centered_B**2, index_B, counts_G) / (counts_G - 1).clamp(min=1)
        centered_B = centered_B / (spread_G.sqrt() + EPSILON)[index_B]
    return torch.where(is_step(num_steps_B, width), centered_B[:, None], 0.0)


def process_group_relative(rewards_BS: Tensor, group_B: Tensor, num_steps_B: Tensor) -> Tensor:
    """Step rewards normalized over all steps of the group, then summed from each step on.

    DeepSeekMath (arXiv 2402.03300), section 4.1.3. The sum makes a chain's length count: normalized
    rewards are negative as often as positive, whatever the chain is worth.

    >>> import torch
    >>> two = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    >>> ones = torch.ones(2, dtype=torch.long)
    >>> process_group_relative(two, ones, ones).round(decimals=3).tolist()
    [[0.707], [-0.707]]
    """
    index_B, counts_G = _groups(group_B)
    mask_BS = is_step(num_steps_B, rewards_BS.shape[1])
    beyond_BS = rewards_BS - rewards_BS[_firsts(index_B, counts_G), :1]  # as above
    steps_G = _sum(num_steps_B.to(rewards_BS.dtype), index_B, counts_G)
    mean_G = _sum((beyond_BS * mask_BS).sum(1), index_B, counts_G) / steps_G.clamp(min=1)
    centered_BS = torch.where(mask_BS, beyond_BS - mean_G[index_B][:, None], 0.0)
    spread_G = _sum((centered_BS**2).sum(1), index_B, counts_G) / (steps_G - 1).clamp(min=1)
    return returns_to_go(centered_BS / (spread_G.sqrt() + EPSILON)[index_B][:, None])


def leave_one_out(returns_BS: Tensor, group_B: Tensor, num_steps_B: Tensor) -> Tensor:
    """The return from each step on, against the mean of what the group's others earn from there.

    RLOO (arXiv 2402.14740), carried from chains to steps: a chain that has ended earns 0 from then
    on. The others don't depend on this chain, so the gradient stays unbiased.

    >>> import torch
    >>> ones = torch.ones(2, dtype=torch.long)
    >>> leave_one_out(torch.tensor([[3.0], [1.0]]), ones, ones).tolist()
    [[2.0], [-2.0]]

    Raises:
        RungError: A group has one chain alone.
    """
    index_B, counts_G = _groups(group_B)
    if int(counts_G.min()) < 2:
        raise RungError("a problem has one chain alone, expected two or more to compare")
    sums_GS = returns_BS.new_zeros(len(counts_G), returns_BS.shape[1])
    sums_GS.index_add_(0, index_B, returns_BS)
    others_BS = (sums_GS[index_B] - returns_BS) / (counts_G - 1)[index_B][:, None]
    mask_BS = is_step(num_steps_B, returns_BS.shape[1])
    return torch.where(mask_BS, returns_BS - others_BS, 0.0)


def step_gae(
    rewards_BS: Tensor,
    values_BS: Tensor,
    num_steps_B: Tensor,
    *,
    discount: float = 1.0,
    trace: float = 0.95,
) -> Tensor:
    """Generalized advantages (arXiv 1506.02438, equation 16), a step for a time.

    Args:
        rewards_BS: What each step earns.
        values_BS: What a value head expects before each step is written.
        num_steps_B: Steps of each chain; behind the last one the value is 0.
        discount: gamma.
        trace: lambda; 1 is the return minus the value, 0 one step's surprise.

    >>> import torch
    >>> step_gae(
    ...     torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.75]]), torch.tensor([2]), trace=0.0
    ... ).tolist()
    [[0.25, 0.25]]
    """
    mask_BS = is_step(num_steps_B, rewards_BS.shape[1])
    values_BS = torch.where(mask_BS, values_BS, 0.0)
    next_BS = torch.cat([values_BS[:, 1:], torch.zeros_like(values_BS[:, :1])], 1)
    surprise_BS = torch.where(mask_BS, rewards_BS + discount * next_BS - values_BS, 0.0)
    return returns_to_go(surprise_BS, discount=discount * trace)


def _groups(group_B: Tensor) -> tuple[Tensor, Tensor]:
    """Each chain's group as 0, 1, ..., and how many chains each has."""
    _, index_B, counts_G = torch.unique(group_B, return_inverse=True, return_counts=True)
    return index_B, counts_G


def _firsts(index_B: Tensor, counts_G: Tensor) -> Tensor:
    """For each chain the first one of its group."""
    places_B = torch.arange(len(index_B), device=index_B.device)
    first_G = torch.zeros_like(counts_G)
    return first_G.scatter_reduce(0, index_B, places_B, "amin", include_self=False)[index_B]


def _sum(values_B: Tensor, index_B: Tensor, counts_G: Tensor) -> Tensor:
    return values_B.new_zeros(len(counts_G)).index_add_(0, index_B, values_B)
