"""A reward manager for verl that pays at the ends of steps.

Written against verl 0.9.1, which is not needed to import this module: a manager is any class with
`run_single` and `assemble_rm_scores`. verl's own trainer keeps one number a completion; with
`rung.rl.verl_loop` it takes all of them. docs/guides/rl.md has the lines of configuration.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from rung.core.types import Problem
from rung.rl.written import Completion, StepPay, earned

__all__ = ["StepPay", "StepRewardManager", "TokenRewards"]


class TokenRewards(float):
    """What each token of a completion earns; as a number, the sum."""

    tokens: tuple[float, ...]

    def __new__(cls, tokens: Iterable[float]) -> TokenRewards:
        """Keep the rewards beside their sum."""
        kept = tuple(tokens)
        made = super().__new__(cls, sum(kept))
        made.tokens = kept
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Ray sends it from process to process."""
        return (self.tokens,)


class StepRewardManager(ABC):
    """verl's reward manager: say in a subclass who pays.

    A token earns ``process_weight`` times what its step earns, if it is the step's last one, and
    the completion's last token ``outcome_weight`` times what verl's reward function says. With
    an outcome_weight of 0 that is not asked. Group baselines are the advantage estimator's.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        """Take what verl gives; the scorer is opened here."""
        self.config = config
        self.tokenizer = tokenizer
        self.compute_score = compute_score
        self._pay = self.step_pay()
        self._scoring = ThreadPoolExecutor(1)  # verl asks for many at once, on one model

    @abstractmethod
    def step_pay(self) -> StepPay:
        """Who pays for steps, and how. Asked once in each of verl's reward workers."""

    def problem_of(self, known: Mapping[str, Any]) -> Problem:
        """The problem of a row (`non_tensor_batch`), as the scorer reads it."""
        said = [m["content"] for m in known["raw_prompt"] if m["role"] == "user"]
        return Problem("verl", str(said[-1]) if said else "")

    async def run_single(self, data: Any) -> dict[str, Any]:
        """What the last row of verl's DataProto earns."""
        row = data[-1:][0]
        known, ids = row.non_tensor_batch, _written(row.batch)
        has_ended = bool(ids) and ids[-1] == self.tokenizer.eos_token_id
        completion = Completion(self.problem_of(known), ids, has_ended)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._scoring, earned, [completion], self._pay, self.tokenizer
        )
        tokens_T = self._pay.paying.process_weight * found.at_step_ends(len(ids))[0]
        process = float(tokens_T.sum())
        told: dict[str, Any] = {"step_reward": process, "steps": len(found.chains[0].steps)}
        if self._pay.paying.outcome_weight:
            told["acc"] = await self._outcome(known, ids)
            tokens_T[-1:] += self._pay.paying.outcome_weight * told["acc"]
        return {"reward_score": TokenRewards(tokens_T.tolist()), "reward_extra_info": told}

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: Sequence[float]) -> Tensor:
        """The rewards of a batch, (B, T); a number that has no tokens goes to the last one."""
        rewards_BT = torch.zeros_like(data.batch["responses"], dtype=torch.float32)
        width = rewards_BT.shape[1]
        count_B = data.batch["attention_mask"][:, -width:].sum(1)
        for rewards_T, count, score in zip(rewards_BT, count_B.tolist(), scores, strict=True):
            if isinstance(score, TokenRewards):
                rewards_T[: len(score.tokens)] = torch.tensor(score.tokens)
            else:
                rewards_T[count - 1] = score
        return rewards_BT

    async def _outcome(self, known: Mapping[str, Any], ids: Sequence[int]) -> float:
        """By verl's own or the user's reward function."""
        asked = {
            "data_source": known["data_source"],
            "solution_str": self.tokenizer.decode(ids, skip_special_tokens=True),
            "ground_truth": known["reward_model"]["ground_truth"],
            "extra_info": known.get("extra_info", {}),
        }
        if inspect.iscoroutinefunction(self.compute_score):
            said = await self.compute_score(**asked)
        else:
            said = await asyncio.to_thread(self.compute_score, **asked)
        return float(said["score"] if isinstance(said, dict) else said)


def _written(batch: Any) -> list[int]:
    """The ids of a row's completion, without the padding behind them."""
    response_T = batch["responses"]
    kept = int(batch["attention_mask"][-response_T.shape[-1] :].sum())
    return response_T[:kept].tolist()
