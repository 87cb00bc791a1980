"""`/pooling`: rows of logits in vLLM's shape, so that its clients can ask a server of rung.

Of vLLM's requests these are known: `input` as token ids or text, one or several, or `messages`;
`task` "token_classify"; `use_activation`; `encoding_format` "float". A row a token comes back. What
else there is in a request is passed over, as vLLM does.
Source: https://docs.vllm.ai/en/latest/models/pooling_models/
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field

from rung.serve.answers import as_json, service_of
from rung.serve.messages import Message, text_of
from rung.serve.refusal import FAILURES
from rung.serve.shared_scorer import SharedScorer
from rung.serve.waiting import done_for

if TYPE_CHECKING:
    from rung.score.pooling import Pooling

MAX_INPUTS = 1024
Rows = list[list[float]]
router = APIRouter(responses=FAILURES, tags=["scoring"])
Ids = Annotated[list[int], Field(min_length=1, max_length=2**20)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingRequest:
    """What vLLM's endpoint is asked."""

    model: str | None = None
    input: (
        Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=MAX_INPUTS)]
        | str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)]
        | None
    ) = None
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=1024)] | None = None
    """A conversation in place of an input, shown by the model's chat template."""
    task: Literal["token_classify"] | None = None
    use_activation: bool | None = None
    """Probabilities in place of logits, as vLLM gives them unless it is told otherwise."""
    encoding_format: Literal["float"] = "float"
    add_special_tokens: bool = True
    add_generation_prompt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """The rows of one input."""

    index: int
    data: list[list[float]]
    object: str = "pooling"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingUsage:
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None
    completion_tokens_details: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingAnswer:
    """What vLLM's endpoint answers."""

    id: str
    created: int
    model: str
    data: list[Pooled]
    usage: PoolingUsage
    object: str = "list"


@router.post("/pooling", response_model=PoolingAnswer)
async def pooling(request: Request, body: PoolingRequest) -> Response:
    """Give the logits of a reward model behind every token, as vLLM's endpoint does."""
    service = service_of(request)
    shared = service.scorer(body.model)
    pool = service.pooling.get(shared.scorer.name)
    if pool is None:
        raise HTTPException(400, f"{shared.scorer.name} has no logits here; POST to /v1/score")
    ids_BT = await _ids(request, body, shared, pool)
    for ids in ids_BT:
        pool.check(ids)
    rows_B: list[Rows] = []
    for job in shared.pooled(ids_BT):
        rows_B += await done_for(request, shared.worker, job)
    read = _activated if body.use_activation in (None, True) else _as_they_are
    num_tokens = sum(map(len, ids_BT))
    answer = PoolingAnswer(
        id=f"pooling-{uuid.uuid4().hex[:16]}",
        created=int(time.time()),
        model=shared.scorer.name,
        data=[Pooled(index=k, data=read(rows)) for k, rows in enumerate(rows_B)],
        usage=PoolingUsage(prompt_tokens=num_tokens, total_tokens=num_tokens),
    )
    return as_json(answer)


async def _ids(
    request: Request, body: PoolingRequest, shared: SharedScorer, pool: Pooling
) -> list[Sequence[int]]:
    """The inputs in tokens. The tokenizer belongs to the scorer's thread."""
    if (body.input is None) == (body.messages is None):
        raise HTTPException(400, "expected either input or messages")
    given: Any = body.input
    if isinstance(given, list) and not isinstance(given[0], str):
        return [given] if isinstance(given[0], int) else given
    texts: list[str] = [given] if isinstance(given, str) else given
    tokenizer: Any = pool.tokenizer

    def encode() -> list[Sequence[int]]:
        if body.messages is not None:
            if not tokenizer.chat_template:
                raise HTTPException(400, "the model has no chat template; give input")
            turns = [{"role": turn.role, "content": text_of(turn)} for turn in body.messages]
            prompt = body.add_generation_prompt
            return [list(_chat(tokenizer, turns, prompt))]
        return tokenizer(texts, add_special_tokens=body.add_special_tokens)["input_ids"]

    return await done_for(request, shared.worker, shared.call(encode))


def _chat(tokenizer: Any, turns: list[dict[str, str]], prompt: bool) -> list[int]:
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _as_they_are(rows_TL: Rows) -> Rows:
    return rows_TL


def _activated(rows_TL: Rows) -> Rows:
    """VLLM's activation: the sigmoid of one logit, the softmax of several."""
    logits_TL = np.array(rows_TL)
    if logits_TL.shape[1] == 1:
        return (0.5 * (1 + np.tanh(0.5 * logits_TL))).tolist()
    mass_TL = np.exp(logits_TL - logits_TL.max(axis=1, keepdims=True))
    return (mass_TL / mass_TL.sum(axis=1, keepdims=True)).tolist()
