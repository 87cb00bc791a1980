"""TRL's GRPOTrainer and RLOOTrainer, paid step by step: `pip install 'rung[trl]'`.

Written against trl 1.16. What TRL makes of its reward functions stays as it is, scaling, KL and
all; the steps' advantages come on top. An advantage of GRPO is by token; RLOO's ratio is that of
the whole chain, so its steps get a loss of their own, with the ratio of a step.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from rung.core.errors import MissingExtraError, RungError
from rung.core.types import Problem
from rung.rl.pay import Judged, Paid, advantages
from rung.rl.rewards import mixed
from rung.rl.tokens import spread_over_tokens
from rung.rl.written import Completion, Earned, StepPay, earned

__all__ = ["StepGRPOTrainer", "StepPay", "StepRLOOTrainer", "problem_of", "step_loss"]

NEEDED = ("_generate_and_score_completions", "_compute_loss", "_get_per_token_logps_and_entropies")
KEPT = ("_tokenizer", "eos_token_ids", "num_generations", "num_generations_eval", "_metrics")
"""What a trainer must have kept when it was made."""


def _trainer(name: str) -> Any:
    try:
        kind = getattr(importlib.import_module("trl"), name, object)
    except ImportError:
        raise MissingExtraError("trl", "trl") from None
    if missing := [method for method in NEEDED if not hasattr(kind, method)]:
        raise RungError(f"trl {version('trl')}: {name} has no {missing[0]}; trl 1.16 has it")
    return kind


GRPOTrainer: Any = _trainer("GRPOTrainer")
RLOOTrainer: Any = _trainer("RLOOTrainer")


def problem_of(row: Mapping[str, Any]) -> Problem:
    """The problem of a dataset's row: its question is the prompt, or what the user said last.

    `answer`, where the row has one, is the reference answer.
    """
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        said = [message["content"] for message in prompt if message["role"] == "user"]
        prompt = said[-1] if said else ""
    if not isinstance(prompt, str):  # blocks of text, and perhaps pictures
        prompt = "\n".join(block["text"] for block in prompt if block.get("type") == "text")
    answer = row.get("answer")
    return Problem("trl", prompt, None if answer is None else str(answer))


class _StepPaid:
    """What both trainers share; stands before TRL's class."""

    def __init__(self, *args: Any, step_pay: StepPay, **kwargs: Any) -> None:
        """Take what TRL's trainer takes, and `step_pay`."""
        super().__init__(*args, **kwargs)
        self.step_pay = step_pay
        if missing := [name for name in KEPT if not hasattr(self, name)]:
            raise RungError(f"trl {version('trl')} keeps no {missing[0]}; trl 1.16 does")

    def problem_of(self, row: Mapping[str, Any]) -> Problem:
        """The problem of a row, as the scorer reads it; override it for other columns."""
        return problem_of(row)

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)  # pyright: ignore
        if self.step_pay.paying.needs_scores:
            _check(output)
            found = earned(self._completions(inputs, output), self.step_pay, self._tokenizer)
            self._pay(output, found, self._step_advantages(found))
        return output

    def _completions(
        self: Any, inputs: Sequence[Mapping[str, Any]], output: Mapping[str, Any]
    ) -> list[Completion]:
        ends, kept_BT = set(self.eos_token_ids), output["completion_mask"].bool()
        found: list[Completion] = []
        for row, ids_T, kept_T in zip(inputs, output["completion_ids"], kept_BT, strict=True):
            ids = ids_T[kept_T].tolist()
            found.append(Completion(self.problem_of(row), ids, bool(ids) and ids[-1] in ends))
        return found

    def _step_advantages(self: Any, found: Earned) -> Tensor:
        """Of this process's chains, (B, S), compared with the others of their groups anywhere."""
        mode = "train" if self.model.training else "eval"
        size = self.num_generations if mode == "train" else self.num_generations_eval
        rewards_BS, count_B = self._of_all(found)
        for name, value in {
            "steps/reward": rewards_BS.sum(1).mean().item(),
            "steps/count": count_B.float().mean().item(),
            "steps/unscored": float(found.num_unscored),
        }.items():
            self._metrics[mode][name].append(value)
        if size == 1:  # nothing to compare with, which TRL allows when it evaluates
            return torch.zeros_like(found.paid.rewards_BS)
        group_B = torch.arange(len(count_B)) // size
        is_any = torch.ones_like(rewards_BS, dtype=torch.bool)
        everyone = Judged(count_B, torch.zeros(len(count_B)), rewards_BS, is_any, is_any, group_B)
        paid = Paid(rewards_BS, rewards_BS)
        all_BS = advantages(paid, everyone, self.step_pay.paying)
        own, width = len(found.chains), found.paid.rewards_BS.shape[1]
        first = self.accelerator.process_index * own
        return all_BS[first : first + own, :width]

    def _of_all(self: Any, found: Earned) -> tuple[Tensor, Tensor]:
        """What steps earn (B, S), and how many there are (B), in all processes."""
        device = self.accelerator.device
        rewards_BS = self.accelerator.pad_across_processes(found.paid.rewards_BS.to(device), dim=1)
        count_B = found.found.num_steps_B.to(device)
        return self.accelerator.gather(rewards_BS).cpu(), self.accelerator.gather(count_B).cpu()


class StepGRPOTrainer(_StepPaid, GRPOTrainer):
    """TRL's GRPOTrainer with `step_pay`: its advantages become (B, T).

    A token's advantage is ``outcome_weight * TRL's own + process_weight * its step's``.
    """

    def _pay(self: Any, output: dict[str, Any], found: Earned, advantages_BS: Tensor) -> None:
        own_B, paying = output["advantages"], self.step_pay.paying
        step_of_BT = found.step_of(output["completion_ids"].shape[1])
        process_BT = spread_over_tokens(advantages_BS, step_of_BT).to(own_B)
        own_BT = paying.outcome_weight * own_B[:, None].expand_as(process_BT)
        output["advantages"] = mixed(own_BT, process_BT, weight=paying.process_weight)


class StepRLOOTrainer(_StepPaid, RLOOTrainer):
    """TRL's RLOOTrainer with `step_pay`: ``outcome_weight * TRL's loss``, and `step_loss`."""

    _logps_BT: Tensor | None = None

    def _generate_and_score_completions(self: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._logps_BT = None
        return super()._generate_and_score_completions(inputs)

    def _get_per_token_logps_and_entropies(self: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's; the first log-probabilities, which are the policy's and no reference's, stay."""
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._logps_BT is None:
            self._logps_BT = found[0]
        return found

    def _pay(self: Any, output: dict[str, Any], found: Earned, advantages_BS: Tensor) -> None:
        device, paying = output["advantages"].device, self.step_pay.paying
        output["advantages"] = paying.outcome_weight * output["advantages"]
        output["step_advantages"] = (paying.process_weight * advantages_BS).to(device)
        output["step_of"] = found.step_of(output["completion_ids"].shape[1]).to(device)
        output["old_per_token_logps"] = self._logps_BT.detach()

    def _compute_loss(self: Any, model: Any, inputs: dict[str, Any]) -> Tensor:
        self._logps_BT = None
        loss = super()._compute_loss(model, inputs)
        if "step_advantages" not in inputs:
            return loss
        logps_BT: Any = self._logps_BT
        return loss + step_loss(
            logps_BT,
            inputs["old_per_token_logps"],
            inputs["step_advantages"],
            inputs["step_of"],
            clip=(self.epsilon_low, self.epsilon_high),
        )


def step_loss(
    logps_BT: Tensor,
    old_BT: Tensor,
    advantages_BS: Tensor,
    step_of_BT: Tensor,
    *,
    clip: tuple[float, float],
) -> Tensor:
    """The clipped policy gradient with a step for an action: RLOO's, where a chain has one step.

    Args:
        logps_BT: Log-probabilities of the tokens.
        old_BT: The same when they were drawn.
        advantages_BS: Of the steps.
        step_of_BT: Which step each token belongs to; -1 in the padding.
        clip: How far a step's probability ratio may move, down and up.

    Returns:
        The sum over the steps of a chain, mean over the chains.
    """
    moved_BT = torch.where(step_of_BT >= 0, logps_BT - old_BT, 0.0)
    moved_BS = torch.zeros_like(advantages_BS).to(moved_BT)
    moved_BS = moved_BS.scatter_add(1, step_of_BT.clamp(min=0), moved_BT)
    ratio_BS = moved_BS.exp()
    within_BS = ratio_BS.clamp(1 - clip[0], 1 + clip[1])
    return -torch.min(ratio_BS * advantages_BS, within_BS * advantages_BS).sum(1).mean()


def _check(output: Mapping[str, Any]) -> None:
    if "tool_mask" in output:
        raise RungError("steps of completions with tool calls are not paid for")
    needed = ("completion_ids", "completion_mask", "advantages")
    missing = [name for name in needed if name not in output]
    if missing or output["advantages"].dim() != 1:
        what = missing[0] if missing else "advantages by chain"
        raise RungError(f"trl {version('trl')} gives no {what}, as trl 1.16 does")
