"""How servers are asked to complete a prompt of token ids, and what they answer: one API each.

OpenAI's own completions speak of tokens by their text, from which no id can be told; both of these
give ids, the log-probabilities of the likeliest by their ids, and the stop string that ended it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from rung.core.errors import RungError
from rung.core.protocols import Completing, Completion

MANY_LOGPROBS = 1000
"""Of a server that can't be asked for certain tokens: words that a judge chooses between are among
so many."""
_BY_ID = "token_id:"


class Request(NamedTuple):
    """One completion that is wanted."""

    model: str
    ids: list[int]
    seed: int
    max_tokens: int


class CompletionApi(NamedTuple):
    """One API: `completion(answer)` raises `RungError` where ids are missing."""

    path: str
    answer: type[Any]
    body: Callable[[Request, Completing], Mapping[str, Any]]
    completion: Callable[[Any], Completion]


class _VllmLogprobs(msgspec.Struct):
    top_logprobs: list[dict[str, float]] | None = None


class _Choice(msgspec.Struct):
    text: str
    token_ids: list[int] | None = None
    logprobs: _VllmLogprobs | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    """The stop string or the stop token; None where the end token or `max_tokens` ended it."""


class _VllmAnswer(msgspec.Struct):
    choices: list[_Choice]


def _vllm_body(request: Request, how: Completing) -> Mapping[str, Any]:
    told = {
        "model": request.model,
        "prompt": request.ids,
        "seed": request.seed,
        "max_tokens": request.max_tokens,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "top_k": how.top_k,
        "stop": list(how.stop) or None,
        "logprobs": how.num_logprobs or None,
        # vLLM gives these alone then; servers that don't know the field give the likeliest
        "logprob_token_ids": list(how.logprobs_of) or None,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "skip_special_tokens": False,
    }
    return {name: value for name, value in told.items() if value is not None}


def _vllm_completion(answer: _VllmAnswer) -> Completion:
    if len(answer.choices) != 1:
        raise RungError(f"it gave {len(answer.choices)} answers to one prompt")
    [choice] = answer.choices
    if choice.token_ids is None:
        raise RungError("it gives no token ids, which this model's scores are read by")
    found = choice.logprobs.top_logprobs if choice.logprobs else None
    top = tuple({_id(key): value for key, value in row.items()} for row in found or ())
    stop = choice.stop_reason if isinstance(choice.stop_reason, str) else None
    is_cut = choice.finish_reason == "length"
    reason: Literal["stop", "length"] = "length" if is_cut else "stop"
    # what ended it is a token without text, unless it was a stop string or the limit
    end = None if is_cut or stop is not None else -1
    return Completion(choice.text, tuple(choice.token_ids[:end]), top[:end], stop, reason)


def _id(key: str) -> int:
    number = key.removeprefix(_BY_ID)
    if number == key or not number.isdecimal():
        raise RungError(f"it names tokens by their text ({key!r}), expected their ids")
    return int(number)


class _Likely(msgspec.Struct):
    id: int
    logprob: float


class _Drawn(msgspec.Struct):
    id: int
    top_logprobs: list[_Likely]


class _LlamaAnswer(msgspec.Struct):
    content: str
    tokens: list[int]
    stop_type: str
    """"eos", "word" or "limit"."""
    stopping_word: str = ""
    completion_probabilities: list[_Drawn] = []
    """A row a token; the server leaves out those of a stop string, and of all tokens that make one
    character but the last."""


def _llama_body(request: Request, how: Completing) -> Mapping[str, Any]:
    return {
        "prompt": request.ids,
        "seed": request.seed,
        "n_predict": request.max_tokens,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "top_k": how.top_k or 0,
        # in the order of everybody else, and without a min-p of its own
        "samplers": ["temperature", "top_k", "top_p"],
        "stop": list(how.stop),
        "n_probs": max(how.num_logprobs, MANY_LOGPROBS if how.logprobs_of else 0),
        "return_tokens": True,
    }


def _llama_completion(answer: _LlamaAnswer) -> Completion:
    end = -1 if answer.stop_type == "eos" else None
    ids = answer.tokens[:end]
    return Completion(
        answer.content,
        tuple(ids),
        _rows_of(ids, answer.completion_probabilities),
        answer.stopping_word if answer.stop_type == "word" else None,
        "length" if answer.stop_type == "limit" else "stop",
    )


def _rows_of(ids: Sequence[int], drawn: Sequence[_Drawn]) -> tuple[Mapping[int, float], ...]:
    """A row for each token, empty where it was left out; none at all where none was asked for."""
    if not drawn:
        return ()
    rows: list[Mapping[int, float]] = []
    left = deque(drawn)
    for token in ids:
        is_told = bool(left) and left[0].id == token
        likely = left.popleft().top_logprobs if is_told else []
        rows.append({one.id: one.logprob for one in likely})
    return tuple(rows)


VLLM = CompletionApi("/v1/completions", _VllmAnswer, _vllm_body, _vllm_completion)
LLAMA_CPP = CompletionApi("/completion", _LlamaAnswer, _llama_body, _llama_completion)
"""The server's own, which tells more than its `/v1/completions`."""
