"""What writes a round's chains: the learning model itself, or vLLM with the learner's weights.

vLLM runs in the learner's own process. Before each round and each look it is given the weights as
they are then, from memory to memory, and forgets what older ones have read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem
from rung.generate import TokenChain, TransformersGenerator, VllmGenerator, open_vllm
from rung.model.gguf import causal_lm_folder
from rung.rl.settings import RlTraining
from rung.score.reward import dtype_for
from rung.train.trainable import saved_weights


class RoundWriter(Protocol):
    """Writes chains with the weights that the learner has."""

    @property
    def is_learner(self) -> bool:
        """Whether its log-probabilities are the learner's own, to the last bit."""
        ...

    def renew(self) -> None:
        """Take the learner's weights as they are now, and forget what came before.

        A run that is gone on with then has the same batches.

        Raises:
            RungError: They can't be taken.
        """
        ...

    def sample_tokens(
        self, prefixes: Sequence[Chain], n: int, sampling: Sampling
    ) -> list[list[TokenChain]]:
        """Continue each of B prefixes to the end, `n` ways, with the tokens' log-probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class OwnWriter:
    """The learning model writes."""

    generator: TransformersGenerator
    """Over the very model that learns."""

    @property
    def is_learner(self) -> bool:
        """It is."""
        return True

    def renew(self) -> None:
        """Forget kept prefixes."""
        self.generator.forget()

    def sample_tokens(
        self, prefixes: Sequence[Chain], n: int, sampling: Sampling
    ) -> list[list[TokenChain]]:
        """See `RoundWriter`."""
        return self.generator.sample_tokens(prefixes, n, sampling)


@dataclass(frozen=True, slots=True)
class VllmWriter:
    """vLLM writes, in this process."""

    generator: VllmGenerator
    policy: Any
    """The causal LM that learns, with adapters or without; they are handed over merged."""

    @property
    def is_learner(self) -> bool:
        """Another engine rounds otherwise."""
        return False

    def renew(self) -> None:
        """Hand the learner's weights over."""
        with torch.no_grad():
            self.generator.load_weights(saved_weights(self.policy))

    def sample_tokens(
        self, prefixes: Sequence[Chain], n: int, sampling: Sampling
    ) -> list[list[TokenChain]]:
        """See `RoundWriter`."""
        return self.generator.sample_tokens(prefixes, n, sampling)


def open_writer(
    settings: RlTraining, own: TransformersGenerator, problems: Sequence[Problem]
) -> RoundWriter:
    """What `settings` let write.

    Args:
        settings: The run's; what they allow a chain is within the context.
        own: The learning model as a generator.
        problems: All that chains are wanted for.

    Raises:
        MissingExtraError: vLLM is not installed.
        RungError: It can't open the policy.
    """
    if settings.writing.generator == "transformers":
        return OwnWriter(own)
    dtype, most = dtype_for("auto", own.model, own.model.device), settings.updating.max_tokens
    llm = open_vllm(
        causal_lm_folder(settings.policy),
        in_process=True,
        load_format="dummy",  # what is not handed over shows at once
        dtype=str(dtype).removeprefix("torch."),
        max_model_len=max(_longest(own, problem, most) for problem in problems),
        max_num_seqs=settings.updating.max_batch_chains,
        gpu_memory_utilization=settings.writing.memory_share,
    )
    generator = VllmGenerator(
        llm,
        own.name,
        extract_answer=own.extract_answer,
        question_separator=own.question_separator,
        step_separator=own.step_separator,
    )
    return VllmWriter(generator, own.model)


def _longest(own: TransformersGenerator, problem: Problem, most: int) -> int:
    """Tokens that a problem and a chain for it may have."""
    return own.prompt_tokens(problem) + min(most, own.room(Chain(problem, ())))
