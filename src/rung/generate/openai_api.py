"""What servers with OpenAI's API answer to (chat) completions, whole or streamed, read as text.

OpenAI's answers do not tell whether the model ended its text itself or a stop string did: both
are "stop". vLLM tells in `stop_reason` and SGLang in `matched_stop`: the stop string, or the
number of a token, or null. OpenAI, llama.cpp's servers and Ollama do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import starmap
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET

from rung.core.http import PassingError, Patience, ask_events, ask_json
from rung.generate.prompting import LENGTH, STOP, Drawn, Written

R = TypeVar("R")
_ENDED = ("stop", "eos_token")
"""OpenAI's word and Text Generation Inference's. All others are ways to be cut off."""


class _Said(msgspec.Struct):
    content: str | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float | None = None


class _Logprobs(msgspec.Struct):
    """As completions give them, in two lists, or as chats do (and llama.cpp's completions)."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    content: list[_Token] | None = None

    @property
    def drawn(self) -> list[Drawn]:
        """The tokens."""
        if self.content is not None:
            return [Drawn(one.token, one.logprob) for one in self.content]
        return list(starmap(Drawn, zip(self.tokens or (), self.token_logprobs or (), strict=False)))


class Choice(msgspec.Struct):
    """What was written, or the next piece of it."""

    text: str | None = None
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = UNSET
    matched_stop: Any = UNSET
    logprobs: _Logprobs | None = None

    @property
    def says(self) -> str:
        """Its text."""
        said = self.message or self.delta
        return (self.text if said is None else said.content) or ""

    @property
    def reason(self) -> str | None:
        """As a chain's source says it: "stop", "length", or None while it goes on."""
        if self.finish_reason is None:
            return None
        return STOP if self.finish_reason in _ENDED else LENGTH

    def is_stopped_by(self, stop: str) -> bool | None:
        """Whether the stop string ended it; None where the server does not tell."""
        if self.reason != STOP:
            return False
        told = [said for said in (self.stop_reason, self.matched_stop) if said is not UNSET]
        if stop in told:
            return True
        is_known = bool(told) and all(said is None or isinstance(said, int) for said in told)
        return False if is_known else None


class _Usage(msgspec.Struct):
    completion_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Piece(msgspec.Struct):
    """An event of a stream; the last may have the usage and no choice."""

    choices: list[Choice] = []
    usage: _Usage | None = None
    error: Any = None


class Whole(msgspec.Struct):
    """An answer in one piece."""

    choices: Annotated[list[Choice], msgspec.Meta(min_length=1)]
    usage: _Usage | None = None


@dataclass(slots=True)
class Reading:
    """An answer, as far as it has come."""

    text: str = ""
    reason: str | None = None
    pieces: int = 0
    """Of a stream that have text."""
    usage: int | None = None
    drawn: list[Drawn] = field(default_factory=list[Drawn])
    """Tokens, where the server gives their log-probabilities."""

    def take(self, answer: Piece | Whole) -> str:
        """Add what has come now, and return its text.

        Raises:
            PassingError: A stream tells of an error.
        """
        if isinstance(answer, Piece) and answer.error is not None:
            raise PassingError(f"the server breaks off: {answer.error}")
        if answer.usage is not None and answer.usage.completion_tokens is not None:
            self.usage = answer.usage.completion_tokens
        if not answer.choices:
            return ""
        choice = answer.choices[0]
        self.reason = choice.reason or self.reason
        self.text += choice.says
        self.drawn += () if choice.logprobs is None else choice.logprobs.drawn
        self.pieces += isinstance(answer, Piece) and choice.says != ""
        return choice.says

    def check_end(self) -> None:
        """A stream that says no reason for its end was broken off (llama-cpp-python does so).

        Raises:
            PassingError: There is none.
        """
        if self.reason is None:
            raise PassingError("the stream ends without a reason")

    def go_on(self, answer: Whole, stop: str) -> None:
        """Add the answer to a request to go on, which a stop string ended (or ""), and its count.

        Where the server does not count, nothing is counted.
        """
        before = self.usage
        self.usage = None
        self.take(answer)
        if before is not None and self.usage is not None:
            self.usage += before
        self.text += stop

    def written(self, finish_reason: str | None) -> Written:
        """All of it. What the server does not count is counted by a stream's pieces.

        A piece is a token with the servers that we know, several where a server gathers them.
        """
        num_tokens = self.usage if self.usage is not None else self.pieces or None
        return Written(self.text, finish_reason, num_tokens, tuple(self.drawn) or None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where completions or chat completions are asked for. Safe to call from several threads.

    Errors are those of `rung.core.http.ask_json`.
    """

    url: str
    """The base, as ``http://localhost:8000/v1``."""
    path: str
    key: str | None = field(repr=False)
    extra: Mapping[str, Any]
    """Further fields of each request; None takes a field out."""
    patience: Patience

    def ask(self, body: Mapping[str, Any]) -> Whole:
        """A whole answer."""
        asked = self._asked(body)
        url, headers = self.url.rstrip("/"), self._headers
        return ask_json(url, self.path, asked, Whole, self.patience, headers=headers)

    def read(self, body: Mapping[str, Any], read: Callable[[Iterator[Piece]], R]) -> R:
        """What `read` makes of a stream; it is begun anew where the stream breaks."""
        asked = self._asked(body, stream=True)
        url, headers = self.url.rstrip("/"), self._headers
        return ask_events(url, self.path, asked, Piece, read, self.patience, headers=headers)

    def _asked(self, body: Mapping[str, Any], *, stream: bool = False) -> dict[str, Any]:
        how = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        asked = {**body, **how, **self.extra}
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def _headers(self) -> dict[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
