"""Continues a batch of prompts with a causal LM, token by token. Knows nothing of chains.

B is the number of prompts, L of rows still being written, T tokens, V the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rung.generate.prompting import LENGTH, STOP

PAD = 0
"""Any id will do: padding is masked."""


class Drawing(Protocol):
    """How tokens are drawn; a `Sampling` and a `Completing` have it."""

    @property
    def temperature(self) -> float:
        """0 takes the likeliest token each time."""
        ...

    @property
    def top_p(self) -> float:
        """Draw from the likeliest tokens that together have this probability."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens a row may have."""
        ...


@dataclass(slots=True)
class Row:
    """What was written behind one prompt."""

    prompt: tuple[int, ...]
    room: int
    """Tokens that may be written."""
    draws_T: np.ndarray[Any, np.dtype[np.float64]]
    ids: list[int]
    num_tokens: int = 0
    """Tokens drawn: `ids`, and the one that ended the row."""
    finish_reason: str | None = None
    is_done: bool = False
    logprobs: list[dict[int, float]] = field(default_factory=list[dict[int, float]])
    """For each of `ids` the log-probabilities that were asked for, and its own."""

    def take(self, token: int, ends: Collection[int], at_stop: Callable[[list[int]], bool]) -> None:
        """Add a drawn token, and see whether the row is done with it."""
        self.num_tokens += 1
        if token in ends:
            self.is_done, self.finish_reason = True, STOP
            return
        self.ids.append(token)
        if at_stop(self.ids):
            self.is_done = True
        elif self.num_tokens == self.room:
            self.is_done, self.finish_reason = True, LENGTH


@torch.inference_mode()
def write(
    model: Any,
    prompts_B: Sequence[tuple[int, ...]],
    streams_B: Sequence[str],
    sampling: Drawing,
    *,
    context: int,
    ends: Collection[int],
    at_stop: Callable[[list[int]], bool],
    top_k: int | None = None,
    num_logprobs: int = 0,
    logprobs_of: Sequence[int] = (),
) -> list[Row]:
    """Write behind B prompts.

    Args:
        model: A transformers causal LM.
        prompts_B: Token ids; equal prompts go through the model once.
        streams_B: Names each row's own random numbers.
        sampling: Temperature, top-p and the most tokens.
        context: Tokens that a prompt and what is written behind it may have together.
        ends: Tokens that end a row; they are drawn but not kept.
        at_stop: Whether a row's ids so far are as far as it should go.
        top_k: Draw from so many of the likeliest tokens; None: from all.
        num_logprobs: For so many tokens at every place the log-probability is kept.
        logprobs_of: Tokens whose log-probability is kept too.
    """
    rows = [
        _start(prompt, stream, min(sampling.max_tokens, context - len(prompt)))
        for prompt, stream in zip(prompts_B, streams_B, strict=True)
    ]
    live = [row for row in rows if not row.is_done]
    if not live:
        return rows
    state = _State.begin(model, [row.prompt for row in live])
    while True:
        tokens_L = _pick(state.logits_LV, live, sampling, top_k)
        told_L = _logprobs(state.logits_LV, tokens_L, num_logprobs, logprobs_of)
        for row, token, told in zip(live, tokens_L.tolist(), told_L, strict=True):
            if not row.is_done:
                row.take(token, ends, at_stop)
                row.logprobs += told if len(row.ids) > len(row.logprobs) else ()
        left = [slot for slot, row in enumerate(live) if not row.is_done]
        if not left:
            return rows
        if 2 * len(left) <= len(live):
            live, tokens_L = [live[slot] for slot in left], tokens_L[left]
            state.keep(left)
        state.advance(tokens_L)


def ends_of(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens with which a causal LM ends a text."""
    named = [tokenizer.eos_token_id, model.generation_config.eos_token_id]
    flat = (token for ids in named for token in (ids if isinstance(ids, list) else [ids]))
    return frozenset(token for token in flat if token is not None)


def _start(prompt: tuple[int, ...], stream: str, room: int) -> Row:
    key = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=16).digest())
    draws_T = np.random.Generator(np.random.Philox(key=key)).random(max(room, 0))
    no_room = room <= 0
    return Row(
        prompt, room, draws_T, [], finish_reason=LENGTH if no_room else None, is_done=no_room
    )


@dataclass(slots=True)
class _State:
    """The model's keys and values for L rows, and its logits for their next tokens."""

    model: Any
    cache: Any
    mask_LT: Tensor | None
    """None where no row is padded: attention is twice as fast without a mask."""
    position_L1: Tensor
    logits_LV: Tensor

    @classmethod
    def begin(cls, model: Any, prompts_L: Sequence[tuple[int, ...]]) -> _State:
        """Run the distinct prompts, padded on the left, and spread them over their rows."""
        distinct = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts_L))}
        width, device = max(map(len, distinct)), model.device
        padded = [[PAD] * (width - len(prompt)) + list(prompt) for prompt in distinct]
        lengths_G1 = torch.tensor([[len(prompt)] for prompt in distinct], device=device)
        mask_GT = (torch.arange(width, device=device) >= width - lengths_G1).long()
        is_padded = bool((lengths_G1 < width).any())
        out = model(
            input_ids=torch.tensor(padded, device=device),
            attention_mask=mask_GT if is_padded else None,
            position_ids=(mask_GT.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        index_L = torch.tensor([distinct[prompt] for prompt in prompts_L], device=device)
        out.past_key_values.batch_select_indices(index_L)
        mask_LT = mask_GT[index_L] if is_padded else None
        position_L1 = lengths_G1[index_L] - 1
        return cls(model, out.past_key_values, mask_LT, position_L1, out.logits[index_L, -1])

    def keep(self, slots: Sequence[int]) -> None:
        """Drop all rows but these."""
        index = torch.tensor(slots, device=self.position_L1.device)
        self.cache.batch_select_indices(index)
        self.mask_LT = None if self.mask_LT is None else self.mask_LT[index]
        self.position_L1 = self.position_L1[index]

    def advance(self, tokens_L: Tensor) -> None:
        """Append one token to every row."""
        self.position_L1 = self.position_L1 + 1
        if self.mask_LT is not None:
            self.mask_LT = torch.nn.functional.pad(self.mask_LT, (0, 1), value=1)
        out = self.model(
            input_ids=tokens_L[:, None],
            attention_mask=self.mask_LT,
            position_ids=self.position_L1,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache, self.logits_LV = out.past_key_values, out.logits[:, -1]


def _logprobs(
    logits_LV: Tensor, tokens_L: Tensor, count: int, named: Sequence[int]
) -> list[list[dict[int, float]]]:
    """A dictionary a row, in a list: `count` likely tokens, the drawn and the named ones.

    Empty lists if none was asked for.
    """
    if not count and not named:
        return [[] for _ in tokens_L]
    logprobs_LV = torch.log_softmax(logits_LV.float(), -1)
    top_LK = logprobs_LV.topk(min(count, logprobs_LV.shape[-1]), -1).indices
    named_LK = torch.tensor(named, dtype=torch.long, device=tokens_L.device)
    named_LK = named_LK.expand(len(tokens_L), -1)
    ids_LK = torch.cat([tokens_L[:, None], top_LK, named_LK], -1)
    values_LK = logprobs_LV.gather(-1, ids_LK)
    rows = zip(ids_LK.tolist(), values_LK.tolist(), strict=True)
    return [[dict(zip(ids, values, strict=True))] for ids, values in rows]


def _pick(logits_LV: Tensor, rows_L: Sequence[Row], sampling: Drawing, top_k: int | None) -> Tensor:
    """The next token of each row: by inverting the distribution at the row's next draw."""
    if sampling.temperature == 0:
        return logits_LV.argmax(-1)
    logits_LV = logits_LV.float()
    if top_k is not None:
        least_L1 = logits_LV.topk(min(top_k, logits_LV.shape[-1]), -1).values[:, -1:]
        logits_LV = logits_LV.masked_fill(logits_LV < least_L1, -torch.inf)
    probs_LV = torch.softmax(logits_LV / sampling.temperature, -1)
    if sampling.top_p < 1:
        probs_LV = _nucleus(probs_LV, sampling.top_p)
    # Rows that are done stay in the batch for a while; what is drawn for them is thrown away.
    draws = [0.0 if row.is_done else row.draws_T[row.num_tokens] for row in rows_L]
    upto_LV = probs_LV.cumsum(-1, dtype=torch.float64)
    draws_L1 = torch.tensor(draws, device=upto_LV.device, dtype=torch.float64)[:, None]
    tokens_L = torch.searchsorted(upto_LV, draws_L1 * upto_LV[:, -1:], right=True)[:, 0]
    return tokens_L.clamp(max=logits_LV.shape[-1] - 1)


def _nucleus(probs_LV: Tensor, top_p: float) -> Tensor:
    """Zero all but the likeliest tokens that together reach `top_p` (arXiv 1904.09751)."""
    sorted_LV, order_LV = probs_LV.sort(-1, descending=True)
    is_beyond_LV = sorted_LV.cumsum(-1) - sorted_LV >= top_p
    return torch.zeros_like(probs_LV).scatter(-1, order_LV, sorted_LV.masked_fill(is_beyond_LV, 0))
