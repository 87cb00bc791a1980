"""`/v1/chat/completions` in OpenAI's shape: the question is searched, the answer is the chain.

`extra_body={"rung": {...}}` names search, scorer and budget (`rung.serve.searching.Options`). In a
stream the steps of the answer come as they become certain (`rung.serve.certain`), with their scores
under `rung`; a search tells its events there too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field

from rung.core.types import Chain, Problem, StepScores
from rung.search import SearchResult
from rung.serve.answers import as_events, as_json, event, service_of
from rung.serve.certain import SureStep
from rung.serve.messages import Message, question_of
from rung.serve.refusal import FAILURES
from rung.serve.searching import ONE, Draws, Options, Tokens, Wanted
from rung.serve.service import Service
from rung.serve.waiting import done_for

DONE = b"data: [DONE]\n\n"
router = APIRouter(responses=FAILURES, tags=["search"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """What a stream tells beside the text."""

    include_usage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(Draws):
    """What OpenAI's endpoint is asked, as far as rung can do it; the rest must be left out."""

    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=1024)]
    model: str
    """The policy's name."""
    max_completion_tokens: Tokens | None = None
    """The newer name of `max_tokens`."""
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    stop: None = None
    tools: None = None
    logprobs: Literal[False] | None = None
    rung: Options = field(default_factory=Options)
    """How to search."""


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step of the chosen chain."""

    text: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, and what it took."""

    search: str
    scorer: str | None
    value: float | None
    """What the rule that picked the chain says of it; None where nothing was picked."""
    answer: str | None
    steps: list[ShownStep]
    reason: str
    """Why the search ended: "done", or the budget that was reached."""
    tokens_sampled: int
    tokens_scored: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens. What was written counts, whether it was chosen or not."""

    prompt_tokens: int | None
    """None: the policy does not say."""
    completion_tokens: int
    """Sampled, over all chains of the search."""
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """The answer's text: the chosen chain."""

    role: Literal["assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The one answer."""

    index: int
    message: Said
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What OpenAI's endpoint answers, and what the search found."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    rung: Found
    object: Literal["chat.completion"] = "chat.completion"


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@router.post("/v1/chat/completions", response_model=ChatAnswer, responses=_STREAM)
async def chat(request: Request, body: ChatRequest) -> Response:
    """Answer a question by searching for a chain, or by writing one."""
    service = service_of(request)
    known = None if service.policy is None else service.policy.policy.name
    if body.model != known:
        raise HTTPException(404, f"there is no policy {body.model!r}; there is {known or 'none'}")
    problem = Problem("chat", question_of(body.messages))
    asked = service.wanted(problem, body.rung, body, body.max_completion_tokens)
    answer = _Answer(service, request, body, asked)
    return await as_events(answer.stream()) if body.stream else as_json(await answer.whole())


@dataclass(slots=True)
class _Answer:
    """One answer in the making."""

    service: Service
    request: Request
    body: ChatRequest
    wanted: Wanted
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> ChatAnswer:
        """All of it."""
        *_, result = [one async for one in self.service.search(self.request, self.wanted)]
        assert isinstance(result, SearchResult)
        said = Said("assistant", self._separator.join(step.text for step in _steps(result)))
        return ChatAnswer(
            id=self.id,
            created=self.created,
            model=self.body.model,
            choices=[Choice(index=0, message=said, finish_reason=_finish(result))],
            usage=await self._usage(result),
            rung=self._found(result),
        )

    async def stream(self) -> AsyncGenerator[bytes]:
        """Its pieces as they come, in OpenAI's chunks."""
        num_shown, is_begun = 0, False
        async for one in self.service.search(self.request, self.wanted):
            if not is_begun:
                yield self._chunk({"role": "assistant", "content": ""})
                is_begun = True
            if isinstance(one, SearchResult):
                async for chunk in self._end(one, num_shown):
                    yield chunk
            elif isinstance(one, SureStep):
                num_shown = one.place + 1
                yield self._step(one)
            elif self.wanted.options.search != ONE:
                yield self._chunk({}, rung=msgspec.to_builtins(one))
        yield DONE

    async def _end(self, result: SearchResult, num_shown: int) -> AsyncGenerator[bytes]:
        steps = _steps(result)
        for place in range(num_shown, len(steps)):
            yield self._step(SureStep(place, steps[place].text, steps[place].score))
        yield self._chunk({}, finish_reason=_finish(result), rung=self._found(result))
        if self.body.stream_options and self.body.stream_options.include_usage:
            yield self._chunk(None, usage=await self._usage(result))

    @property
    def _separator(self) -> str:
        assert self.service.policy is not None
        return self.service.policy.step_separator

    def _step(self, step: SureStep) -> bytes:
        before = self._separator if step.place else ""
        rung = {"event": "chosen", "step": step.place, "score": step.score}
        return self._chunk({"content": before + step.text}, rung=rung)

    def _chunk(self, delta: Any, *, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.body.model,
            "choices": [] if delta is None else [choice],
        }
        return event({**chunk, **more})

    async def _usage(self, result: SearchResult) -> Usage:
        policy = self.service.policy
        assert policy is not None
        job = policy.prompt_tokens(self.wanted.problem)
        prompt = await done_for(self.request, policy.worker, job)
        sampled = result.spent.tokens_sampled
        total = None if prompt is None else prompt + sampled
        return Usage(prompt_tokens=prompt, completion_tokens=sampled, total_tokens=total)

    def _found(self, result: SearchResult) -> Found:
        options = self.wanted.options
        scorer = self.service.scorer_for(options)
        chosen = None if result.chosen is None else result.chosen.chain
        return Found(
            search=options.search,
            scorer=None if scorer is None else scorer.scorer.name,
            value=None if options.search == ONE and scorer is None else result.value,
            answer=None if chosen is None else chosen.answer,
            steps=_steps(result),
            reason=result.reason,
            tokens_sampled=result.spent.tokens_sampled,
            tokens_scored=result.spent.tokens_scored,
            calls=result.spent.calls,
        )


def _steps(result: SearchResult) -> list[ShownStep]:
    if result.chosen is None:
        return []
    chain: Chain = result.chosen.chain
    scores: StepScores | None = result.chosen.scores_by()
    known = (None,) * len(chain.steps) if scores is None else scores.scores
    return [ShownStep(*pair) for pair in zip(chain.texts, known, strict=True)]


def _finish(result: SearchResult) -> Literal["stop", "length"]:
    return "stop" if result.is_finished else "length"
