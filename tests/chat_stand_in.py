"""Replies in the shape of an OpenAI-compatible server's chat completions."""

from typing import Any

from vllm_stand_in import Reply


def said(text: str | None, *, finish_reason: str = "stop", **message: Any) -> Reply:
    return Reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, **message},
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )
