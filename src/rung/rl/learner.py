"""The weights that learn, and their updates.

B chains, K tokens, S steps, D width.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rung.core.errors import RungError
from rung.rl.online import OnlinePrm
from rung.rl.pay import Judged
from rung.rl.settings import RlTraining
from rung.rl.update import (
    Experience,
    Reading,
    Told,
    batches_of,
    gap,
    joined,
    policy_loss,
    read,
    read_all,
)
from rung.train.distributed import World

POLICY, VALUE_HEAD, PRM = "policy", "value_head", "prm"
VALUE_LR = 1e-3
"""Of the value head: it learns on the policy's states, which it does not move."""
MOST_GAP = 0.5
"""Nats a token between two engines with the same weights; rounding makes hundredths."""


class Moved(NamedTuple):
    """What a round's updates did."""

    updates: int
    """Optimizer steps."""
    loss: float
    """Mean over the chains of the first pass."""
    clipped: float
    """Share of the tokens that the clip held back."""
    gradient_norm: float
    """Mean over the optimizer steps, before it is cut."""


@dataclass(slots=True)
class Learner:
    """The policy, its value head and the online PRM, as far as there are any, with an optimizer."""

    settings: RlTraining
    weights: nn.ModuleDict
    reference: Any
    """The policy as it was; it doesn't learn."""
    device: torch.device
    world: World
    optimizer: torch.optim.AdamW

    @classmethod
    def of(
        cls, settings: RlTraining, parts: dict[str, Any], reference: Any, world: World
    ) -> Learner:
        """A learner on the device that `settings` names, which the parts are on.

        Args:
            settings: The run's.
            parts: `POLICY`, and `VALUE_HEAD` and `PRM` where the settings want them.
            reference: The policy as it was.
            world: This process among others.
        """
        weights = nn.ModuleDict(parts)
        device = next(parts[POLICY].parameters()).device
        return cls(settings, weights, reference, device, world, _optimizer(settings, weights))

    @property
    def policy(self) -> Any:
        """The causal LM that learns."""
        return self.weights[POLICY]

    @property
    def online(self) -> OnlinePrm | None:
        """The PRM that learns beside it."""
        how = self.settings.online
        if how is None:
            return None
        tokens = self.settings.updating.batch_tokens
        return OnlinePrm(self.weights[PRM], how, tokens, self.device)

    def read_reference(self, experiences: Sequence[Experience]) -> list[Tensor]:
        """The log-probabilities of each chain's tokens under the policy as it was."""
        tokens = self.settings.updating.batch_tokens
        return read_all(self.reference, experiences, tokens, self.device)

    def reread(self, experiences: Sequence[Experience]) -> list[Experience]:
        """What another engine has drawn, with the policy's own log-probabilities.

        Raises:
            RungError: The engine's are so far away that it can't have the policy's weights.
        """
        tokens = self.settings.updating.batch_tokens
        own = read_all(self.policy, experiences, tokens, self.device)
        found = [replace(one, old_K=own_K) for one, own_K in zip(experiences, own, strict=True)]
        if not (far := gap(found)) <= MOST_GAP:
            raise RungError(
                f"the generator's log-probabilities are {far:.2f} nats a token from the learner's:"
                " it did not take the policy's weights"
            )
        return found

    def expectations(self, experiences: Sequence[Experience], width: int) -> Tensor | None:
        """What the value head expects before each step (B, S); None without one."""
        if VALUE_HEAD not in self.weights:
            return None
        tokens = self.settings.updating.batch_tokens
        told = read_all(self.policy, experiences, tokens, self.device, self._values_of, hidden=True)
        values_BS = torch.zeros(len(experiences), width)
        for b, (one, values_K) in enumerate(zip(experiences, told, strict=True)):
            values_BS[b, : len(one.first_of_step)] = values_K[list(one.first_of_step)]
        return values_BS

    def learn_outcomes(
        self, experiences: Sequence[Experience], reference: Sequence[Tensor], found: Judged
    ) -> float:
        """Let the online PRM learn a round's outcomes; give its mean loss."""
        online = self.online
        assert online is not None
        count = self.world.total(len(experiences))
        loss = online.backward(experiences, reference, found, count)
        self._step(PRM, scale=1.0)
        return self.world.total(loss)

    def learn(
        self,
        experiences: Sequence[Experience],
        reference: Sequence[Tensor],
        advantages_BS: Tensor,
        returns_BS: Tensor,
        updates_before: int,
        questions: Sequence[str],
        order: random.Random,
    ) -> Moved:
        """Move the policy by a round's chains.

        Args:
            experiences: What this process wrote.
            reference: The log-probabilities of its tokens under the policy as it was.
            advantages_BS: Of its steps.
            returns_BS: What the value head learns to expect.
            updates_before: Optimizer steps before this round.
            questions: The root ids of the round's problems, those of other processes too.
            order: Deals them out to the minibatches, in every process alike.

        Raises:
            RungError: The loss or its gradient is no number.
        """
        how = self.settings.updating
        told = {
            id(one.example): Told(
                advantages_S[one.step_of_K] * one.weights_K, one.old_K, reference_K
            )
            for one, advantages_S, reference_K in zip(
                experiences, advantages_BS, reference, strict=True
            )
        }
        goals = {
            id(one.example): (one, returns_S[: len(one.first_of_step)])
            for one, returns_S in zip(experiences, returns_BS, strict=True)
        }
        moved: list[Moved] = []
        for _ in range(how.passes):
            for part in _parts(experiences, questions, how.minibatches, order):
                scale = min(1.0, (updates_before + len(moved) + 1) / (how.warmup + 1))
                moved.append(self._update(part, told, goals, scale))
        first = moved[: how.minibatches]
        tokens = how.passes * self.world.total(sum(len(one.old_K) for one in experiences))
        return Moved(
            len(moved),
            sum(one.loss for one in first) / len(first),
            sum(one.clipped for one in moved) / max(1, tokens),
            sum(one.gradient_norm for one in moved) / len(moved),
        )

    def _update(
        self,
        experiences: Sequence[Experience],
        told: dict[int, Told],
        goals: dict[int, tuple[Experience, Tensor]],
        scale: float,
    ) -> Moved:
        how, has_values = self.settings.updating, VALUE_HEAD in self.weights
        count = self.world.total(len(experiences))
        total = clipped = 0.0
        bundles, batches = batches_of(self._moving(experiences, told), how.batch_tokens)
        for batch in batches:
            chosen = [bundles[i] for i in batch]
            is_bf16 = how.precision == "bf16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16):
                reading = read(self.policy, chosen, self.device, hidden=has_values)
            measured = policy_loss(
                reading.logprobs_K, joined(chosen, told, self.device), clip=how.clip, kl=how.kl
            )
            loss = measured.loss
            if has_values:
                examples = [goals[id(e)] for bundle in chosen for e in bundle.examples]
                loss = loss + self._value_loss(reading, examples)
            (loss / count).backward()
            total += measured.loss.item()
            clipped += measured.clipped
        total, clipped = self.world.total(total), self.world.total(clipped)
        norm = self._step(POLICY, VALUE_HEAD, scale=scale)
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise RungError("the policy's loss or its gradient is no number; try a lower lr")
        return Moved(1, total / count, clipped, norm)

    def _moving(
        self, experiences: Sequence[Experience], told: dict[int, Told]
    ) -> Sequence[Experience]:
        """The chains that have a gradient: where all of a problem's earned the same, none has."""
        if self.settings.updating.kl or VALUE_HEAD in self.weights:
            return experiences
        return [one for one in experiences if told[id(one.example)].advantages_K.any()]

    def _values_of(self, reading: Reading) -> Tensor:
        assert reading.hidden_KD is not None
        return self.weights[VALUE_HEAD](reading.hidden_KD.detach().float())[:, 0]

    def _value_loss(self, reading: Reading, goals: Sequence[tuple[Experience, Tensor]]) -> Tensor:
        """Squared error of what was expected before each step and what was earned from it on."""
        values_K, start = self._values_of(reading), 0
        losses: list[Tensor] = []
        for one, returns_S in goals:
            places = torch.tensor(one.first_of_step) + start
            losses.append((values_K[places] - returns_S.to(self.device)).square().sum())
            start += len(one.old_K)
        return torch.stack(losses).sum()

    def _step(self, *names: str, scale: float) -> float:
        """One optimizer step of these parts; their gradient's norm."""
        weights = [weight for name in names for weight in self._open(name)]
        self.world.sum_gradients(weights)
        norm = nn.utils.clip_grad_norm_(weights, self.settings.updating.clip_norm).item()
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * scale
        if math.isfinite(norm) and norm > 0:  # where nothing is to be learned, momentum rests too
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _open(self, name: str) -> list[nn.Parameter]:
        if name not in self.weights:
            return []
        return [weight for weight in self.weights[name].parameters() if weight.requires_grad]


def _optimizer(settings: RlTraining, weights: nn.ModuleDict) -> torch.optim.AdamW:
    how = settings.updating
    rates = {POLICY: how.lr, VALUE_HEAD: VALUE_LR, PRM: settings.online and settings.online.lr}
    groups: list[dict[str, Any]] = []
    for name, part in weights.items():
        learning = [weight for weight in part.parameters() if weight.requires_grad]
        for is_matrix, decay in ((True, how.weight_decay), (False, 0.0)):
            chosen = [weight for weight in learning if (weight.ndim > 1) == is_matrix]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "full_lr": rates[name]})
    return torch.optim.AdamW(groups, lr=how.lr, betas=(0.9, how.beta2), fused=True)


def _parts(
    experiences: Sequence[Experience], questions: Sequence[str], count: int, order: random.Random
) -> list[list[Experience]]:
    """Minibatches: whole problems, dealt out at random; the chains in them that are ours."""
    problems: dict[str, list[Experience]] = {question: [] for question in questions}
    for one in experiences:
        problems[one.example.question].append(one)
    names = list(problems)
    order.shuffle(names)
    parts = [names[k::count] for k in range(count)]
    return [[one for name in part for one in problems[name]] for part in parts if part]
