"""The policy gradient on packed trees: a problem's chains share the tokens that they share.

Shape letters: B chains, K tokens that a policy drew, D width, V vocabulary, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rung.generate import TokenChain
from rung.train.batches import Bundle, bundles_of, collate, plan_batches
from rung.train.examples import Example

MOST_WEIGHT = 2.0
"""See `Experience.weights_K`; the cap of the paper."""


class Reading(NamedTuple):
    """What a causal LM says of drawn tokens."""

    logprobs_K: Tensor
    hidden_KD: Tensor | None
    """The last layer's states where each token was drawn from, if they were asked for."""


@dataclass(frozen=True, slots=True)
class Experience:
    """A chain to learn from."""

    example: Example
    first_of_step: tuple[int, ...]
    """For each step its first token, as an index into the drawn ones."""
    step_of_K: Tensor
    """Which step each token belongs to."""
    old_K: Tensor
    """Each token's log-probability under the learner when it was drawn."""
    drawn_K: Tensor
    """The same under what drew it."""

    @property
    def weights_K(self) -> Tensor:
        """By what each token's advantage counts, where another engine drew it.

        Its probability under the learner over that under the engine, at most `MOST_WEIGHT`:
        truncated importance sampling, token by token (Yao et al., "Your Efficient RL Framework
        Secretly Brings You Off-Policy RL Training", https://fengyao.notion.site/off-policy-rl).
        1 where the learner itself wrote.
        """
        return torch.exp(self.old_K - self.drawn_K).clamp(max=MOST_WEIGHT)


class Told(NamedTuple):
    """What an update is told of a chain's tokens."""

    advantages_K: Tensor
    old_K: Tensor
    reference_K: Tensor


class Measured(NamedTuple):
    """Sums over tokens."""

    loss: Tensor
    """To be divided by the number of chains."""
    clipped: int
    """Tokens whose ratio was beyond the clip, where the advantage pulled further."""


def experience(written: TokenChain) -> Experience:
    """A chain as an example whose targets are its drawn tokens."""
    ids = (*written.prompt, *written.ids)
    reads = tuple(range(len(written.prompt) - 1, len(ids) - 1))
    steps = list(written.steps)
    first = {step: k for k, step in reversed(list(enumerate(steps)))}
    num_steps = max(1, len(written.chain.steps))
    # a step without a token of its own is read where the next one begins
    places, following = list[int](), len(steps) - 1
    for step in reversed(range(num_steps)):
        following = first.get(step, following)
        places.append(following)
    drawn_K = torch.tensor(written.logprobs)
    return Experience(
        Example(ids[:-1], reads, written.ids, written.chain.problem.root_id),
        tuple(reversed(places)),
        torch.tensor(steps, dtype=torch.long),
        drawn_K,
        drawn_K,
    )


def gap(experiences: Sequence[Experience]) -> float:
    """How far the learner's log-probabilities are from those of what drew: nats a token."""
    return float(torch.cat([one.old_K - one.drawn_K for one in experiences]).abs().mean())


def batches_of(
    experiences: Sequence[Experience], batch_tokens: int
) -> tuple[list[Bundle], list[list[int]]]:
    """Packed chains, and which bundles are run together."""
    examples = [one.example for one in experiences]
    bundles = bundles_of(examples, batch_tokens=batch_tokens, share=True)
    return bundles, plan_batches(range(len(bundles)), bundles, batch_tokens)


def read(
    model: Any, bundles: Sequence[Bundle], device: torch.device, *, hidden: bool = False
) -> Reading:
    """Run bundles; K tokens, example by example."""
    batch = collate(bundles, target_type=torch.int64, device=device)
    told = model(**batch.tree.inputs, logits_to_keep=batch.rows_K, output_hidden_states=hidden)
    logits_KV = told.logits[0].float()
    drawn_K = logits_KV.gather(-1, batch.targets_K[:, None])[:, 0]
    states_KD = told.hidden_states[-1][0, batch.rows_K] if hidden else None
    return Reading(drawn_K - logits_KV.logsumexp(-1), states_KD)


@torch.no_grad()
def read_all(
    model: Any,
    experiences: Sequence[Experience],
    batch_tokens: int,
    device: torch.device,
    of_reading: Callable[[Reading], Tensor] = lambda reading: reading.logprobs_K,
    *,
    hidden: bool = False,
) -> list[Tensor]:
    """For each chain what `of_reading` makes of its tokens (K first), on the CPU."""
    bundles, batches = batches_of(experiences, batch_tokens)
    found: dict[int, Tensor] = {}
    for batch in batches:
        chosen = [bundles[i] for i in batch]
        examples = [example for bundle in chosen for example in bundle.examples]
        values = of_reading(read(model, chosen, device, hidden=hidden)).cpu()
        parts = values.split([len(example.reads) for example in examples])
        found |= {id(example): part for example, part in zip(examples, parts, strict=True)}
    return [found[id(one.example)] for one in experiences]


def policy_loss(logprobs_K: Tensor, told: Told, *, clip: float, kl: float) -> Measured:
    """The clipped policy gradient's loss, summed over tokens, and the divergence from a reference.

    PPO's surrogate (arXiv 1707.06347, equation 7): the lesser of ratio * advantage and the same
    with the ratio clipped to 1 +- clip. Divided by the number of chains, and before the policy has
    moved, its gradient is the policy gradient: sums over tokens are not averaged over a chain's
    length (GRPO does), so long chains weigh as much a token as short ones (Dr. GRPO, arXiv
    2503.20783).

    The divergence is half the squared log-ratio of each token. On chains of the policy itself its
    gradient is that of KL(policy, reference); that of GRPO's estimator k3, put into a loss, is not
    (http://joschu.net/blog/kl-approx.html names the estimators k2 and k3).
    """
    ratio_K = torch.exp(logprobs_K - told.old_K)
    clipped_K = ratio_K.clamp(1 - clip, 1 + clip)
    plain_K, least_K = ratio_K * told.advantages_K, clipped_K * told.advantages_K
    gain = torch.minimum(plain_K, least_K).sum()
    divergence = 0.5 * (logprobs_K - told.reference_K).square().sum()
    return Measured(kl * divergence - gain, int((least_K < plain_K).sum()))


def joined(bundles: Sequence[Bundle], told: Mapping[int, Told], device: torch.device) -> Told:
    """What is told of bundles' chains, in the order in which they are read."""
    parts = [told[id(example)] for bundle in bundles for example in bundle.examples]
    return Told(*(torch.cat(values).to(device) for values in zip(*parts, strict=True)))


def divergence(old_K: Tensor, reference_K: Tensor) -> float:
    """Nats from the reference, summed over a chain's tokens: k3, which is never below 0."""
    ratio_K = reference_K - old_K
    return float((torch.exp(ratio_K) - 1 - ratio_K).sum())
