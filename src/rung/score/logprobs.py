"""Log-probabilities of tokens under a causal LM, each distinct prefix run once.

Shape letters: K positions that are read, D width, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rung.model.device import pick_device
from rung.model.engine import BATCH_TOKENS, PrefixEngine, Request
from rung.model.families.label_head import lm_head
from rung.model.foreign import Foreign, open_foreign
from rung.model.memory import PrefixMemory
from rung.model.reader import move_trunk
from rung.score.reward import Precision, dtype_for, opening_dtype

HEAD_ROWS = 512
"""Positions whose logits are there at one time: a vocabulary of 150,000 in fp32 takes 0.3 GB."""


class Asked(NamedTuple):
    """Ids, the positions in them whose next token's log-probability is wanted, a name to hold."""

    ids: tuple[int, ...]
    places: Sequence[int]
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class LogProbs:
    """A causal LM that gives log-probabilities of tokens, each distinct prefix run once."""

    trunk: Any
    head_VD: Tensor
    batch_tokens: int
    engine: PrefixEngine

    def fresh(self, max_kept_bytes: int | None) -> LogProbs:
        """The same model with nothing kept, which may keep so much."""
        memory = PrefixMemory(max_bytes=max_kept_bytes)
        engine = PrefixEngine(self.trunk, batch_tokens=self.batch_tokens, memory=memory)
        return replace(self, engine=engine)

    def of(self, asked: Sequence[Asked]) -> list[float]:
        """What was asked for, in fp32, in order: at place p log P(ids[p + 1] | ids[: p + 1])."""
        requests = [Request(ids, tuple(places), hold) for ids, places, hold in asked]
        features_KD = self.engine.features(requests)
        targets = [ids[place + 1] for ids, places, _ in asked for place in places]
        targets_K = torch.tensor(targets, dtype=torch.long, device=features_KD.device)
        chunks = zip(features_KD.split(HEAD_ROWS), targets_K.split(HEAD_ROWS), strict=True)
        return [value for states, tokens in chunks for value in self._chunk(states, tokens)]

    @torch.inference_mode()
    def _chunk(self, states_KD: Tensor, tokens_K: Tensor) -> list[float]:
        logits_KV = (states_KD.to(self.head_VD.dtype) @ self.head_VD.T).float()
        chosen_K = logits_KV.gather(-1, tokens_K[:, None])[:, 0]
        return (chosen_K - logits_KV.logsumexp(-1)).tolist()


def open_logprobs(
    folder: Path, batch_tokens: int | None, precision: Precision, trust_pickle: bool
) -> tuple[LogProbs, Foreign]:
    """Open a causal LM, on the GPU where there is one (see `load_scorer`).

    Raises:
        RungError: A file is missing or damaged.
    """
    device = pick_device()
    opening = opening_dtype(folder, precision, device)
    lm = open_foreign(folder, dtype=opening, trust_pickle=trust_pickle)
    dtype = dtype_for(precision, lm.trunk, device)
    move_trunk(lm.trunk, device, dtype)
    budget = batch_tokens or BATCH_TOKENS[device.type]
    engine = PrefixEngine(lm.trunk, batch_tokens=budget)
    head_VD = lm_head(lm).to(device=device, dtype=dtype)
    return LogProbs(lm.trunk, head_VD, budget, engine), lm
