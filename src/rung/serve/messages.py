"""Messages in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import HTTPException
from pydantic import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A piece of a message."""

    type: Literal["text"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation: text, in one piece or several."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[tuple[TextPart, ...], Field(min_length=1)]


def text_of(message: Message) -> str:
    """A turn's text."""
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


def question_of(messages: Sequence[Message]) -> str:
    """The question of a conversation: its texts, one below the other.

    Raises:
        HTTPException: 400: no text, or a turn of an assistant: rung answers one question.
    """
    if any(message.role == "assistant" for message in messages):
        raise HTTPException(
            400, "messages hold an assistant's turn; rung answers one question: send it alone"
        )
    question = "\n\n".join(text for message in messages if (text := text_of(message).strip()))
    if not question:
        raise HTTPException(400, "messages hold no text")
    return question
