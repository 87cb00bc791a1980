"""Step scores to token advantages, and the loop that trains a policy on them.

What a policy is paid for each step: pure functions on tensors, independent of any engine. Shape
letters: B chains, S steps, T tokens. Tensors of steps are padded on the right; what stands in the
padding is not read, and what is returned there is 0. `train_rl` is `rung rl` as a function.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rung.rl.settings import (
    Guards,
    Held,
    Looking,
    Online,
    Paying,
    RlReport,
    RlTraining,
    Updating,
    Writing,
)

if TYPE_CHECKING:
    from rung.rl.advantages import group_relative, leave_one_out, process_group_relative, step_gae
    from rung.rl.returns import returns_to_go
    from rung.rl.rewards import (
        difference,
        implicit,
        min_form,
        mixed,
        outcome_only,
        process_advantage,
        score_sum,
    )
    from rung.rl.run import train_rl
    from rung.rl.tokens import spread_over_tokens

_HOME = {
    "difference": "rewards",
    "group_relative": "advantages",
    "implicit": "rewards",
    "leave_one_out": "advantages",
    "min_form": "rewards",
    "mixed": "rewards",
    "outcome_only": "rewards",
    "process_advantage": "rewards",
    "process_group_relative": "advantages",
    "returns_to_go": "returns",
    "score_sum": "rewards",
    "spread_over_tokens": "tokens",
    "step_gae": "advantages",
    "train_rl": "run",
}

__all__ = [
    "Guards",
    "Held",
    "Looking",
    "Online",
    "Paying",
    "RlReport",
    "RlTraining",
    "Updating",
    "Writing",
    "difference",
    "group_relative",
    "implicit",
    "leave_one_out",
    "min_form",
    "mixed",
    "outcome_only",
    "process_advantage",
    "process_group_relative",
    "returns_to_go",
    "score_sum",
    "spread_over_tokens",
    "step_gae",
    "train_rl",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
