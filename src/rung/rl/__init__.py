"""Step scores to token advantages: what a policy is paid for each step. Independent of any engine.

Shape letters: B chains, S steps, T tokens. Tensors of steps are padded on the right; what stands
in the padding is not read, and what is returned there is 0.
"""

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
from rung.rl.tokens import spread_over_tokens

__all__ = [
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
]
