"""A policy behind OpenAI's completions and chat completions, whose tokens are written by hand."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from vllm_stand_in import Reply

MOST_TOKENS = 2**12
"""Of an endless script that are there."""
END = None
"""The token that ends a text; a script without it goes on for ever."""
Script = Callable[[str, int], Sequence[str | None]]
"""From the text so far and the seed to the tokens that come next."""


class Written(NamedTuple):
    text: str
    tokens: int
    finish_reason: str
    stop: str | None


def logprob(token: str | None) -> float:
    """What the policy says of each token that it writes."""
    return -0.5 if token is END else -0.1 * len(token)


def logprobs(tokens: Sequence[str | None], body: Any) -> dict[str, Any]:
    """As completions or chats tell them, where they are asked for."""
    if not body.get("logprobs"):
        return {}
    names = ["<|end|>" if token is END else token for token in tokens]
    values = list(map(logprob, tokens))
    if "messages" in body:
        pairs = zip(names, values, strict=True)
        return {"logprobs": {"content": [{"token": t, "logprob": p} for t, p in pairs]}}
    return {"logprobs": {"tokens": names, "token_logprobs": values}}


def write(tokens: Sequence[str | None], body: Any) -> Written:
    """As engines do it: up to the end, a stop string or the most tokens."""
    text = ""
    for count, token in enumerate(tokens, start=1):
        if token is END:
            return Written(text, count, "stop", None)
        text += token
        for stop in body.get("stop", ()):
            if stop in text:
                return Written(text.split(stop)[0], count, "stop", stop)
        if count == body["max_tokens"]:
            return Written(text, count, "length", None)
    raise AssertionError("the script is too short")


def so_far(body: Any) -> str:
    """What the policy goes on with: the prompt, or the turns one below the other."""
    if "prompt" in body:
        return body["prompt"]
    return "\n".join(turn["content"] for turn in body["messages"])


def policy(
    script: Script, *, tells: bool = True, counts: bool = True, pause_s: float = 0.0
) -> Callable[[Any, int], Reply]:
    """Replies of a server that tells what ended a text (as vLLM does) and counts, or doesn't.

    Where `max_tokens` is missing a stream has no end.
    """

    def reply(body: Any, _: int) -> Reply:
        tokens = tuple(islice(script(so_far(body), body["seed"]), MOST_TOKENS))
        if body.get("stream"):
            return Reply(_stream(tokens, body, pause_s))
        written = write(tokens, body)
        said = {"message": {"content": written.text}} if "messages" in body else {}
        choice = {"text": written.text, "finish_reason": written.finish_reason, **said}
        choice |= {"stop_reason": written.stop} if tells else {}
        choice |= logprobs(list(islice(tokens, written.tokens)), body)
        usage = {"usage": {"completion_tokens": written.tokens}} if counts else {}
        return Reply({"choices": [choice], **usage})

    return reply


def _stream(tokens: Sequence[str | None], body: Any, pause_s: float) -> Iterator[bytes]:
    is_chat = "messages" in body
    if is_chat:
        yield event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    for count, token in enumerate(tokens, start=1):
        time.sleep(pause_s)
        is_over = token is END or count == body.get("max_tokens")
        said = {"delta": {"content": token or ""}} if is_chat else {"text": token or ""}
        reason = ("stop" if token is END else "length") if is_over else None
        told = logprobs([token], body)
        yield event({"choices": [{**said, **told, "finish_reason": reason}]})
        if is_over:
            yield event({"choices": [], "usage": {"completion_tokens": count}})
            break
    yield b"data: [DONE]\n\n"


def event(piece: Any) -> bytes:
    return b"data: " + json.dumps(piece).encode() + b"\n\n"
