"""verl's agent loop of one turn, whose completions keep a reward for every token.

verl 0.9.1 puts a completion's reward on its last token, whatever its reward manager found. Its
trainer (V1) asks each output for its fields, so an output of our own puts `TokenRewards` where
they belong.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from rung.rl.verl import TokenRewards

_loops: Any = importlib.import_module("verl.experimental.agent_loop.agent_loop")
_single: Any = importlib.import_module("verl.experimental.agent_loop.single_turn_agent_loop")
AgentLoopOutput: Any = _loops.AgentLoopOutput
SingleTurnAgentLoop: Any = _single.SingleTurnAgentLoop


class StepOutput(AgentLoopOutput):
    """A completion with its rewards by token."""

    def as_dict(self: Any) -> dict[str, Any]:
        """The fields of verl's output, with what each token earns for ``rm_scores``."""
        fields = super().as_dict()
        if isinstance(self.reward_score, TokenRewards):
            fields["rm_scores"] = torch.tensor(self.reward_score.tokens, dtype=torch.float32)
        return fields


class StepAgentLoop(SingleTurnAgentLoop):
    """verl's single-turn loop; its outputs are `StepOutput`."""

    async def run(self: Any, sampling_params: dict[str, Any], **kwargs: Any) -> StepOutput:
        """Write one completion, as verl does."""
        made = await super().run(sampling_params, **kwargs)
        return StepOutput.model_construct(_fields_set=set(made.model_fields_set), **dict(made))
