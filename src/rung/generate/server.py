"""A `Generator` behind any server with OpenAI's API: completions or chat completions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

from rung.core.at_once import as_done
from rung.core.http import Patience, RefusedError
from rung.core.protocols import Sampling
from rung.core.templates import filled
from rung.core.types import Chain, Problem
from rung.generate.openai_api import Endpoint, Piece, Reading
from rung.generate.prompting import (
    LENGTH,
    STOP,
    Wanted,
    Written,
    continued,
    holds_step,
    no_answer,
    seed_of,
    text_of,
    wanted,
)
from rung.generate.written_log import WrittenLog, key_of

AT_ONCE = 32
CONTINUE_PROMPT = """{question}

Here is the beginning of the answer. Write what comes next, and only that:

{steps}"""
GOING_ON = {"add_generation_prompt": False, "continue_final_message": True}
"""How vLLM, SGLang and llama.cpp's own server are asked to go on with the last message."""
_TOO_LONG = re.compile(r"context.{0,20}(length|size|window)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGenerator:
    """A policy behind a server: `ServerGenerator(url="http://localhost:8000/v1", name="m")`.

    Every continuation is a request of its own, with a seed of its own, derived as
    `TransformersGenerator` names its random numbers; so a server that keeps to seeds writes the
    same again.

    A step ends at the step separator. A server that tells what ended a text (vLLM, SGLang) gets
    the separator as a stop string. Any other is asked for a stream that is cut off behind the
    separator, for without a stop string "stop" means that the policy ended the chain. Which of
    the two it is, the first answer tells.

    A chat that goes on with an answer is asked for a stream, too, until the server is known to
    tell: llama.cpp's whole answers repeat what they go on with, its streams do not.

    Tokens are counted by the server. Of a stream that was cut off they are the pieces that had
    come: a token each with the servers that we know, fewer where a server gathers tokens. Where
    nothing is known, `num_tokens` is None.

    Log-probabilities are the server's; vLLM's are the model's own, before temperature and top-p.
    Where a server leaves out the separator's or the end's, so do the sums.

    The server tokenizes the prompt as one text, where `TransformersGenerator` tokenizes each step
    alone.
    """

    url: str
    """The base, as ``http://localhost:8000/v1``."""
    name: str
    """The model's name on the server, and the policy's."""
    chat: bool = False
    """Ask the chat completions: the question is a user's message, the steps so far the beginning
    of the answer."""
    steps_in: Literal["answer", "question"] = "answer"
    """Where a chat's steps so far stand. "answer": in a message of the assistant that is gone on
    with (vLLM, SGLang, llama.cpp's own server). "question": in the user's message, by
    `continue_prompt`, for servers that don't go on with a message; the policy then reads an
    instruction that it did not have for the first step."""
    continue_prompt: str = CONTINUE_PROMPT
    """With {question} and {steps}."""
    key: str | None = field(default=None, repr=False)
    extract_answer: Callable[[str], str | None] = no_answer
    """Finds the final answer in the text of a chain that is at its end."""
    show: Callable[[Problem], str] | None = None
    """A problem's text; by default its question."""
    question_separator: str = "\n"
    """Not for chats."""
    step_separator: str = "\n"
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request; None takes a field out."""
    at_once: int = AT_ONCE
    """Requests under way together."""
    patience: Patience = field(default_factory=Patience)
    log: WrittenLog | None = None
    """Has every continuation as soon as it is written, and those it has are not asked for: what a
    call that failed had finished is kept. With a log, `sample` is for one thread at a time."""
    _tells: list[bool] = field(default_factory=list[bool], init=False, repr=False, compare=False)
    """Whether the server tells what ended a text; empty until it is known."""

    @property
    def writes_inside_steps(self) -> bool:
        """Completions go on with any text; chat templates may strip an answer that is begun."""
        return not self.chat

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each of B prefixes `n` ways.

        A chain's `source` tells how the writing ended ("stop": by itself, "length": cut off by
        `max_tokens`, the context or a filter, None: the one step is written).

        Raises:
            UnavailableError: The server fails time after time.
            RungError: It refuses, or answers in another shape.
        """
        chains = wanted(prefixes, n, sampling.seed)
        made = self._logged(chains, sampling)
        left = [one for one in chains if one.place not in made]
        num_first = 1 if not self._tells and sampling.until == "step" else 0
        for some in (left[:num_first], left[num_first:]):
            for one, written in self._written(some, sampling):
                made[one.place] = written
                if self.log is not None:
                    self.log.put(self._key(one, sampling), written)
        done = [self._chain(one, made[one.place], sampling) for one in chains]
        return [done[k * n : (k + 1) * n] for k in range(len(prefixes))]

    def _logged(self, chains: Sequence[Wanted], sampling: Sampling) -> dict[int, Written]:
        """What was written before, by its place."""
        if self.log is None:
            return {}
        found = {one.place: self.log.get(self._key(one, sampling)) for one in chains}
        return {place: written for place, written in found.items() if written is not None}

    def _key(self, one: Wanted, sampling: Sampling) -> str:
        how = [sampling.until, sampling.inside_step, self.step_separator, self.chat, self.extra]
        return key_of([self.url, self._body(one, sampling), how])

    def _written(
        self, chains: Sequence[Wanted], sampling: Sampling
    ) -> Iterator[tuple[Wanted, Written]]:
        """What is written, as it comes (see `as_done`)."""
        return as_done(chains, lambda one: self._write(one, sampling), self.at_once)

    def _chain(self, one: Wanted, written: Written, sampling: Sampling) -> Chain:
        return continued(
            one.prefix,
            written,
            sampling,
            policy=self.name,
            separator=self.step_separator,
            extract_answer=self.extract_answer,
        )

    def _write(self, one: Wanted, sampling: Sampling) -> Written:
        """Where the prompt leaves no room for `max_tokens`, half as many are asked for."""
        while sampling.max_tokens > 0:
            try:
                return self._ask(one, sampling)
            except RefusedError as error:
                if not _TOO_LONG.search(str(error)):
                    raise
                sampling = replace(sampling, max_tokens=sampling.max_tokens // 2)
        return Written("", LENGTH, 0)

    def _ask(self, one: Wanted, sampling: Sampling) -> Written:
        if self._goes_on(one.prefix) and self._tells != [True]:
            return self._streamed(one, sampling)
        if sampling.until == "end":
            reading = Reading()
            reading.take(self._endpoint.ask(self._body(one, sampling)))
            return reading.written(reading.reason or LENGTH)
        written = None if self._tells == [False] else self._stopped(one, sampling)
        return self._streamed(one, sampling) if written is None else written

    def _goes_on(self, prefix: Chain) -> bool:
        """It is a chat that goes on with an answer."""
        return self.chat and self.steps_in == "answer" and bool(prefix.steps)

    def _stopped(self, one: Wanted, sampling: Sampling) -> Written | None:
        """A step by a stop string; None where the server does not tell what ended a text.

        A separator behind blank text ends no step, so the server is asked to go on.
        """
        separator, so_far = self.step_separator, Reading()
        for turn in count():
            room = replace(sampling, max_tokens=sampling.max_tokens - (so_far.usage or turn))
            if room.max_tokens <= 0:
                return so_far.written(LENGTH)
            body = self._body(one, room, so_far.text, turn)
            answer = self._endpoint.ask({**body, "stop": [separator]})
            is_stopped = answer.choices[0].is_stopped_by(separator)
            if answer.choices[0].reason == STOP:
                self._tells[:] = [is_stopped is not None]
            if is_stopped is None:
                return None
            so_far.go_on(answer, separator if is_stopped else "")
            if not is_stopped:
                return so_far.written(so_far.reason or LENGTH)
            if self._holds_step(so_far, sampling):
                return so_far.written(None)
        raise AssertionError("unreachable: the turns do not end")

    def _streamed(self, one: Wanted, sampling: Sampling) -> Written:
        """By a stream, which is left when the step is there that was asked for."""

        def read(pieces: Iterator[Piece]) -> Written:
            reading = Reading()
            for piece in pieces:
                reading.take(piece)
                if self._is_enough(reading, sampling):
                    is_step = self._holds_step(reading, sampling)
                    return reading.written(None if is_step else LENGTH)
            reading.check_end()
            return reading.written(reading.reason)

        return self._endpoint.read(self._body(one, sampling), read)

    def _is_enough(self, reading: Reading, sampling: Sampling) -> bool:
        """There is the step, or more than was asked for."""
        return self._holds_step(reading, sampling) or reading.pieces > sampling.max_tokens

    def _holds_step(self, reading: Reading, sampling: Sampling) -> bool:
        """There is the step, where one was asked for."""
        return sampling.until == "step" and holds_step(
            reading.text, self.step_separator, inside_step=sampling.inside_step
        )

    @property
    def _endpoint(self) -> Endpoint:
        path = "/chat/completions" if self.chat else "/completions"
        return Endpoint(self.url, path, self.key, self.extra, self.patience)

    def _body(
        self, one: Wanted, sampling: Sampling, begun: str = "", turn: int = 0
    ) -> dict[str, Any]:
        """A request to go on behind a prefix and what is `begun`, the `turn`-th for one step."""
        shown = self._conversation if self.chat else self._prompt
        steps = text_of(one.prefix, self.step_separator, inside_step=sampling.inside_step)
        body = {"model": self.name, **shown(one.prefix, steps + begun)}
        body |= {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
        body |= {"top_p": sampling.top_p}
        if sampling.logprobs:
            body |= {"logprobs": True if self.chat else 1}
        body |= {"seed": seed_of(f"{one.stream} {turn}" if turn else one.stream)}
        return body

    def _prompt(self, prefix: Chain, steps: str) -> dict[str, Any]:
        return {"prompt": self._question(prefix.problem) + self.question_separator + steps}

    def _conversation(self, prefix: Chain, steps: str) -> dict[str, Any]:
        question = self._question(prefix.problem)
        if steps and self.steps_in == "question":
            question = filled(self.continue_prompt, question=question, steps=steps)
        messages = [{"role": "user", "content": question}]
        if not steps or self.steps_in == "question":
            return {"messages": messages}
        return {"messages": [*messages, {"role": "assistant", "content": steps}], **GOING_ON}

    def _question(self, problem: Problem) -> str:
        return problem.question if self.show is None else self.show(problem)
