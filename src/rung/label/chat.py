"""Models that answer conversations: one behind an OpenAI-compatible server, or one that runs here.

B is the number of conversations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

from rung.core.at_once import as_done
from rung.core.http import Patience, RefusedError, ask_json
from rung.core.protocols import Completer, Completing

BATCH = 16
REFUSALS = (400, 403, 413, 422)
"""What a server answers to a conversation that is too long for it, or that its filter stops."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


class Asked(NamedTuple):
    """A conversation that wants its next turn; votes on one conversation differ in their number."""

    messages: tuple[Message, ...]
    vote: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What a model answered."""

    text: str
    prompt_tokens: int | None = None
    """None when the server does not count."""
    completion_tokens: int | None = None
    finish_reason: str | None = None
    refusal: str | None = None
    """The model's or the server's words when there is no answer because it won't."""
    is_paid: bool = True
    """False for a conversation that the server turned away: it is asked again another time."""


class ChatModel(Protocol):
    """Answers conversations."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def fingerprint(self) -> Any:
        """All that an answer depends on besides the conversation, as JSON."""
        ...

    def replies(self, asked_B: Sequence[Asked]) -> Iterator[tuple[int, Reply]]:
        """Places in `asked_B` with their replies, as they arrive.

        Raises:
            RungError: The model can't be asked. Replies that were under way are given first.
        """
        ...


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatServer:
    """A `ChatModel` behind the chat completions of OpenAI's API, whoever serves them."""

    url: str
    """The base, as ``http://localhost:8000/v1``."""
    name: str
    key: str | None = field(default=None, repr=False)
    temperature: float | None = 0.0
    """None leaves it to the server."""
    max_tokens: int = 4096
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request; None takes a field out."""
    at_once: int = 8
    """Requests under way together."""
    patience: Patience = field(default_factory=Patience)

    @property
    def fingerprint(self) -> Any:
        """The server, the model and the sampling. Not the key."""
        return [self.url, self._body(())]

    def replies(self, asked_B: Sequence[Asked]) -> Iterator[tuple[int, Reply]]:
        """Replies as they arrive; after a failure those under way are waited for, then it is said.

        Raises:
            UnavailableError: The server fails time after time.
            RungError: It takes not this key, or has no such model.
        """
        pairs = as_done(
            enumerate(asked_B), lambda numbered: self._ask(numbered[1].messages), self.at_once
        )
        for (place, _), reply in pairs:
            yield place, reply

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        turns = [message._asdict() for message in messages]
        body = {"model": self.name, "messages": turns, "max_tokens": self.max_tokens}
        body |= {"temperature": self.temperature, **self.extra}
        return {name: value for name, value in body.items() if value is not None}

    def _ask(self, messages: Sequence[Message]) -> Reply:
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        url, path = self.url.rstrip("/"), "/chat/completions"
        try:
            body = self._body(messages)
            chat = ask_json(url, path, body, _Chat, self.patience, headers=headers)
        except RefusedError as error:
            if error.status not in REFUSALS:
                raise
            return Reply("", finish_reason="refused", refusal=str(error), is_paid=False)
        usage = chat.usage or _Usage()
        choice = chat.choices[0] if chat.choices else _Choice(_Said())
        refusal = choice.message.refusal
        if refusal is None and choice.finish_reason == "content_filter":
            refusal = "the content filter stopped it"
        return Reply(
            choice.message.content or "",
            usage.prompt_tokens,
            usage.completion_tokens,
            choice.finish_reason,
            refusal,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChat:
    """A `ChatModel` on any `Completer`."""

    completer: Completer
    show: Callable[[Sequence[Message]], str]
    """The prompt of a conversation: the tokenizer's chat template."""
    weights_hash: str
    temperature: float = 0.0
    max_tokens: int = 1024
    count: Callable[[str], int] | None = None
    """Tokens of a prompt."""
    batch: int = BATCH
    """Conversations completed together; a kill loses at most these."""

    @property
    def name(self) -> str:
        """The completer's name."""
        return self.completer.name

    @property
    def fingerprint(self) -> Any:
        """The weights and the sampling."""
        return [self.weights_hash, self.temperature, self.max_tokens]

    def replies(self, asked_B: Sequence[Asked]) -> Iterator[tuple[int, Reply]]:
        """Replies, batch by batch; every vote has a seed of its own."""
        for vote in sorted({asked.vote for asked in asked_B}):
            how = Completing(max_tokens=self.max_tokens, temperature=self.temperature, seed=vote)
            places = [k for k, asked in enumerate(asked_B) if asked.vote == vote]
            for start in range(0, len(places), self.batch):
                chosen = places[start : start + self.batch]
                prompts = [self.show(asked_B[k].messages) for k in chosen]
                written = self.completer.complete(prompts, how)
                for place, prompt, done in zip(chosen, prompts, written, strict=True):
                    num_prompt = None if self.count is None else self.count(prompt)
                    num_new = len(done.token_ids)
                    yield place, Reply(done.text, num_prompt, num_new, done.finish_reason)
