"""Scores chains with a reward model that `rung train` wrote: PRM or ORM.

B is the number of chains, T tokens, K the positions that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rung.core.errors import RungError
from rung.core.types import Chain, StepScores
from rung.model import (
    LoadedRewardModel,
    Rendered,
    load_reward_model,
    render_all,
    weights_hash,
)
from rung.score.batching import covering, token_batches

Precision = Literal["auto", "fp32", "bf16"]
MAX_BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
"""By device. On a CPU larger batches leave the cache: SmolLM2-135M in bf16 scored 1,611 tokens a
core second at 1,024 and 1,221 at 2,048."""
BF16_FROM_PARAMETERS = 20_000_000
"""Below, bf16 saves no time worth its rounding."""
PAD = 0
"""Any id will do: padding stands on the right, where causal attention never looks."""


@dataclass(frozen=True, slots=True)
class RewardScorer:
    """A `Scorer` on a reward model.

    A PRM scores every step, an ORM the last one. Equal chains and shared beginnings go through
    the model once. A score doesn't depend on what else is scored, up to rounding: 1e-5 in fp32,
    0.02 in bf16.
    """

    name: str
    weights_hash: str
    loaded: LoadedRewardModel
    max_batch_tokens: int

    @property
    def kind(self) -> Literal["prm", "orm"]:
        """Whether every step has a score or only the last."""
        return self.loaded.reading.kind

    @property
    def runs_in(self) -> str:
        """The device and the number type of the trunk."""
        trunk = self.loaded.model.trunk
        return f"{trunk.device.type} {trunk.dtype}"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score B chains; steps beyond the model's context have score None.

        Raises:
            RungError: The model gives something that is not a number.
        """
        covers = [chains[index] for index in covering(chains)]
        rendered = render_all(covers, self.loaded.tokenizer, self.loaded.reading)
        lengths = [_length(r) for r in rendered]
        found: dict[str, float] = {}
        for batch in token_batches(lengths, self.max_batch_tokens):
            for index, scores in zip(batch, self._run([rendered[k] for k in batch]), strict=True):
                steps = covers[index].steps
                found.update((step.id, score) for step, score in zip(steps, scores, strict=False))
        return [self._step_scores(chain, found) for chain in chains]

    def _step_scores(self, chain: Chain, found: dict[str, float]) -> StepScores:
        scores = tuple(found.get(step.id) for step in chain.steps)
        if self.kind == "orm":
            scores = (None,) * (len(scores) - 1) + scores[-1:]
        return StepScores(scores, self.name, self.weights_hash)

    @torch.inference_mode()
    def _run(self, rendered_B: Sequence[Rendered]) -> list[list[float]]:
        """The scores of each chain's steps that fit the context, in order."""
        ends_B = [_read_ends(rendered) for rendered in rendered_B]
        if not any(ends_B):
            return [[] for _ in rendered_B]
        rows_K = [row for row, ends in enumerate(ends_B) for _ in ends]
        cols_K = [end for ends in ends_B for end in ends]
        scores_K = iter(self._scores_at(_pad(rendered_B), rows_K, cols_K))
        return [[next(scores_K) for _ in ends] for ends in ends_B]

    def _scores_at(self, ids_BT: Tensor, rows_K: list[int], cols_K: list[int]) -> list[float]:
        model = self.loaded.model
        device = model.score.weight.device
        features_KD = model.features(ids_BT.to(device))[rows_K, cols_K]
        # The head runs in fp32: in bf16 so few logits differ that steps would tie.
        scores_K = torch.sigmoid(model.score(features_KD.float()).squeeze(-1))
        if not scores_K.isfinite().all():
            raise RungError(f"the scorer {self.name} gives scores that are not numbers")
        return scores_K.tolist()


def load_scorer(
    folder: str | Path,
    *,
    name: str | None = None,
    max_batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> RewardScorer:
    """Open a checkpoint for scoring, on the GPU where there is one.

    Args:
        folder: A checkpoint of `rung train prm` or `rung train orm`.
        name: The scorer's name; the folder's by default.
        max_batch_tokens: Tokens in one batch, padding included; by default what suits the device.
        precision: "fp32", "bf16", or "auto": bf16 for models from 20M parameters on hardware
            that multiplies in bf16, else fp32. The head always runs in fp32.

    Raises:
        RungError: A file of the checkpoint is missing or damaged, or the budget is not positive.
    """
    if max_batch_tokens is not None and max_batch_tokens < 1:
        raise RungError(f"max_batch_tokens is {max_batch_tokens}, expected at least 1")
    path = Path(folder)
    loaded = load_reward_model(path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded.model.to(device)
    loaded.model.trunk.to(_dtype(precision, loaded, device))
    budget = max_batch_tokens or MAX_BATCH_TOKENS[device.type]
    return RewardScorer(name or path.resolve().name, weights_hash(path), loaded, budget)


def _dtype(precision: Precision, loaded: LoadedRewardModel, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    num_parameters = sum(weight.numel() for weight in loaded.model.parameters())
    is_worth_it = num_parameters >= BF16_FROM_PARAMETERS and _multiplies_bf16(device)
    return torch.bfloat16 if is_worth_it else torch.float32


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in known)


def _read_ends(rendered: Rendered) -> list[int]:
    return [end for end in rendered.step_ends if end is not None]


def _length(rendered: Rendered) -> int:
    """Tokens to run: none behind the last step that is read."""
    return max(_read_ends(rendered), default=-1) + 1


def _pad(rendered_B: Sequence[Rendered]) -> Tensor:
    rows = [rendered.ids[: _length(rendered)] for rendered in rendered_B]
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
