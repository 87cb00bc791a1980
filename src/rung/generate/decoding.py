"""Continues a batch of prompts with a causal LM, token by token. Knows nothing of chains.

B is the number of prompts, L of rows still being written, T tokens, V the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rung.generate.drawing import Drawing, pick
from rung.generate.prompting import LENGTH, STOP
from rung.model.engine import BATCH_TOKENS, PrefixEngine, next_logits
from rung.model.growing import GrowingRows
from rung.model.memory import PrefixMemory
from rung.model.tree_attention import on_token_trees

ENTER_FROM = 4
"""Rows enter when this part of all places is free: running few prompts at a time is slow."""


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
    end: int | None = None
    """The token that ended the row."""
    logprobs: list[dict[int, float]] = field(default_factory=list[dict[int, float]])
    """For each of `ids` the log-probabilities that were asked for, and its own."""
    drawn_logprobs: list[float] = field(default_factory=list[float])
    """Of each token that was drawn, under the model itself, if they were asked for."""

    def take(self, token: int, ends: Collection[int], at_stop: Callable[[list[int]], bool]) -> None:
        """Add a drawn token, and see whether the row is done with it."""
        self.num_tokens += 1
        if token in ends:
            self.is_done, self.finish_reason, self.end = True, STOP, token
            return
        self.ids.append(token)
        if at_stop(self.ids):
            self.is_done = True
        elif self.num_tokens == self.room:
            self.is_done, self.finish_reason = True, LENGTH


class Writer:
    """A causal LM that writes behind prompts, and keeps what it has read and written for others.

    Rows that are done leave at once, and others enter. Weights that change between two calls are
    seen, and nothing is kept then.

    Args:
        model: A transformers causal LM, on its device.
        most_rows: Rows written side by side.
        max_kept_bytes: Keys and values that are kept between calls.
    """

    def __init__(self, model: Any, *, most_rows: int, max_kept_bytes: int) -> None:
        self._model, self._most_rows = model, most_rows
        self.memory = PrefixMemory(max_bytes=max_kept_bytes, keeps_unheld=True)
        self._weights: object = None
        self._computed = 0

    @property
    def computed(self) -> int:
        """Tokens that went through the model so far, those of prompts too."""
        return self._computed

    @torch.inference_mode()
    def write(
        self,
        prompts_B: Sequence[tuple[int, ...]],
        streams_B: Sequence[str],
        how: Drawing,
        *,
        context: int,
        ends: Collection[int],
        at_stop: Callable[[list[int]], bool],
        top_k: int | None = None,
        num_logprobs: int = 0,
        logprobs_of: Sequence[int] = (),
        drawn_logprobs: bool = False,
        keeps_written: bool = True,
    ) -> list[Row]:
        """Write behind B prompts.

        Args:
            prompts_B: Token ids; what they share goes through the model once.
            streams_B: Names each row's own random numbers.
            how: Temperature, top-p and the most tokens.
            context: Tokens that a prompt and what is written behind it may have together.
            ends: Tokens that end a row; they are drawn but not kept.
            at_stop: Whether a row's ids so far are as far as it should go.
            top_k: Draw from so many of the likeliest tokens; None: from all.
            num_logprobs: For so many tokens at every place the log-probability is kept.
            logprobs_of: Tokens whose log-probability is kept too.
            drawn_logprobs: Keep the drawn tokens' own log-probabilities.
            keeps_written: Prompts to come begin with what is written here.
        """
        rows = [
            _start(prompt, stream, min(how.max_tokens, context - len(prompt)))
            for prompt, stream in zip(prompts_B, streams_B, strict=True)
        ]
        waiting = deque(row for row in rows if not row.is_done)
        self._look_at_weights()
        self._model.eval()
        with on_token_trees(self._model):
            engine = PrefixEngine(
                self._model,
                batch_tokens=BATCH_TOKENS[self._model.device.type],
                memory=self.memory,
                outputs=next_logits,
            )
            try:
                for logits_LV, live in self._steps(engine, waiting, keeps_written=keeps_written):
                    draws_L = [row.draws_T[row.num_tokens] for row in live]
                    tokens_L = pick(logits_LV, draws_L, how, top_k)
                    told_L = _logprobs(logits_LV, tokens_L, num_logprobs, logprobs_of)
                    drawn_L = _drawn_logprobs(logits_LV, tokens_L, drawn_logprobs)
                    drawn = zip(live, tokens_L.tolist(), told_L, drawn_L, strict=True)
                    for row, token, told, logprob in drawn:
                        row.take(token, ends, at_stop)
                        row.drawn_logprobs += logprob
                        row.logprobs += told if len(row.ids) > len(row.logprobs) else ()
            except BaseException:  # half-written keys must not be taken for whole ones
                self.memory.forget()
                raise
            self._computed += engine.usage.computed
        return rows

    def _steps(
        self, engine: PrefixEngine, waiting: deque[Row], *, keeps_written: bool
    ) -> Iterator[tuple[Tensor, list[Row]]]:
        """The logits for the next tokens of all rows that are being written, until none is left.

        Whoever takes them gives each row a token.
        """
        growing, live = GrowingRows(engine), list[Row]()
        logits: list[Tensor] = []
        while waiting or live:
            room = self._most_rows - len(live)
            if waiting and ENTER_FROM * room >= self._most_rows:
                entering = [waiting.popleft() for _ in range(min(room, len(waiting)))]
                logits.append(growing.enter([row.prompt for row in entering]))
                live += entering
            yield torch.cat(logits), live
            left = [slot for slot, row in enumerate(live) if not row.is_done]
            if len(left) < len(live):
                done = {slot: row for slot, row in enumerate(live) if row.is_done}
                kept = done if keeps_written else {}
                growing.keep(left, {slot: (*row.prompt, *row.ids) for slot, row in kept.items()})
                live = [live[slot] for slot in left]
            logits = []
            if live:
                tokens = torch.tensor([row.ids[-1] for row in live], device=self._model.device)
                logits = [growing.advance(tokens)]

    def _look_at_weights(self) -> None:
        weights = [(p.data_ptr(), _version(p)) for p in self._model.parameters()]
        if weights != self._weights:
            self.memory.forget()
        self._weights = weights


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


def _version(weight: Tensor) -> int:
    """How often a tensor has been written to, where torch counts it."""
    return 0 if weight.is_inference() else weight._version


def _logprobs(
    logits_LV: Tensor, tokens_L: Tensor, count: int, named: Sequence[int]
) -> list[list[dict[int, float]]]:
    """A dictionary a row, in a list: `count` likely tokens, the drawn and the named ones.

    Empty lists if none was asked for.
    """
    if not count and not named:
        return [[] for _ in range(len(tokens_L))]
    logprobs_LV = torch.log_softmax(logits_LV.float(), -1)
    top_LK = logprobs_LV.topk(min(count, logprobs_LV.shape[-1]), -1).indices
    named_LK = torch.tensor(named, dtype=torch.long, device=tokens_L.device)
    named_LK = named_LK.expand(len(tokens_L), -1)
    ids_LK = torch.cat([tokens_L[:, None], top_LK, named_LK], -1)
    values_LK = logprobs_LV.gather(-1, ids_LK)
    rows = zip(ids_LK.tolist(), values_LK.tolist(), strict=True)
    return [[dict(zip(ids, values, strict=True))] for ids, values in rows]


def _drawn_logprobs(logits_LV: Tensor, tokens_L: Tensor, is_asked: bool) -> list[list[float]]:
    """A row's drawn token's log-probability, in a list; empty lists if they are not asked for."""
    if not is_asked:
        return [[] for _ in range(len(tokens_L))]
    logits_LV = logits_LV.float()
    drawn_L1 = logits_LV.gather(-1, tokens_L[:, None]) - logits_LV.logsumexp(-1, keepdim=True)
    return drawn_L1.tolist()
