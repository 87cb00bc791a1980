"""rung's scorers and policies in its_hub (github.com/Red-Hat-AI-Innovation-Team/its_hub).

its_hub shows chains as one text, steps joined by a separator; these adapters cut and join it.
Written against its_hub 1.2.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rung.core.aggregate import AGGREGATIONS
from rung.core.errors import RungError
from rung.core.protocols import Generator, Sampling, Scorer
from rung.core.types import Chain, Problem
from rung.search.best_of_n import value_of
from rung.search.growth import STOP
from rung.search.log import Piece
from rung.search.sampler import Order, sample

END = "<end>"
"""Stands behind the text of a chain that is at its end: give it to `StepGeneration` as its
``stop_token``."""


def as_process_reward_model(
    scorer: Scorer, *, by: str = "min", step_separator: str = "\n", end: str = END
) -> ProcessRewardModel:
    """The scorer as its_hub's ``AbstractProcessRewardModel``.

    Args:
        scorer: A PRM, an ORM or whatever satisfies `Scorer`.
        by: The aggregation that makes one score of a chain's.
        step_separator: ``StepGeneration``'s ``step_token``.
        end: Its ``stop_token``; it is taken off the text.

    Raises:
        RungError: its_hub is not installed.
    """
    _api().AbstractProcessRewardModel.register(ProcessRewardModel)
    return ProcessRewardModel(scorer, by, step_separator, end)


def as_language_model(
    generator: Generator,
    *,
    sampling: Sampling | None = None,
    step_separator: str = "\n",
    end: str = END,
) -> LanguageModel:
    """The policy as its_hub's ``AbstractLanguageModel``: one step a call where there is a `stop`.

    Args:
        generator: The policy.
        sampling: `max_tokens`, top-p and seed; the temperature is the one its_hub asks for.
        step_separator: ``StepGeneration``'s ``step_token``.
        end: Its ``stop_token``; it is put behind the last step of a chain.

    Raises:
        RungError: its_hub is not installed.
    """
    _api().AbstractLanguageModel.register(LanguageModel)
    return LanguageModel(generator, sampling or Sampling(), step_separator, end)


@dataclass(frozen=True, slots=True)
class ProcessRewardModel:
    """See `as_process_reward_model`."""

    scorer: Scorer
    by: str
    step_separator: str
    end: str

    def score(self, prompt_or_messages: Any, steps: Sequence[str]) -> list[float]:
        """One number for each text; 0 for a text that the scorer has nothing to say of."""
        problem = _problem(prompt_or_messages)
        chains = [_chain(problem, text, self.step_separator, self.end) for text in steps]
        scored = self.scorer.score(chains)
        return [value_of(found, AGGREGATIONS[self.by]) or 0.0 for found in scored]

    async def ascore(self, prompt_or_messages: Any, steps: Sequence[str]) -> list[float]:
        """`score`, as its_hub waits for it."""
        return self.score(prompt_or_messages, steps)


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """See `as_language_model`."""

    generator: Generator
    sampling: Sampling
    step_separator: str
    end: str
    _made: Counter[str] = field(default_factory=Counter[str])
    """How often a prefix was continued: it is continued in another way each time."""

    async def agenerate(self, messages: Any, stop: Any = None, **asked: Any) -> Any:
        """A message for a conversation, or a list of them for a list of conversations."""
        is_batch = bool(messages) and isinstance(messages[0], list)
        conversations: list[Any] = messages if is_batch else [messages]
        temperature = asked.get("temperature")
        if not isinstance(temperature, int | float):
            temperature = self.sampling.temperature
        until = "step" if stop else "end"
        sampling = replace(self.sampling, temperature=temperature, until=until)
        written = self._write([self._prefix(c) for c in conversations], sampling)
        return written if is_batch else written[0]

    async def agenerate_single(self, messages: Any, stop: Any = None, **asked: Any) -> Any:
        """A message for one conversation."""
        return await self.agenerate(messages, stop, **asked)

    def _prefix(self, conversation: Sequence[Any]) -> Chain:
        problem = _problem(conversation)
        said = [m.extract_text_content() for m in conversation if m.role == "assistant"]
        return _chain(problem, "".join(said), self.step_separator, self.end)

    def _write(self, prefixes: Sequence[Chain], sampling: Sampling) -> list[dict[str, str]]:
        distinct = {prefix.prefix_id: prefix for prefix in prefixes}
        counts = Counter(prefix.prefix_id for prefix in prefixes)
        by_first: dict[int, list[Order]] = {}
        for name, prefix in distinct.items():
            order = Order(prefix, self._made[name], counts[name], sampling)
            by_first.setdefault(order.first, []).append(order)
        self._made.update(counts)
        pieces: dict[str, list[Piece]] = {}
        for orders in by_first.values():
            for order, answer in zip(orders, sample(self.generator, orders), strict=True):
                pieces[order.prefix.prefix_id] = list(answer)
        return [self._message(pieces[prefix.prefix_id].pop(0)) for prefix in prefixes]

    def _message(self, piece: Piece) -> dict[str, str]:
        text = self.step_separator.join(step.text for step in piece.steps)
        text += self.end if piece.finish_reason == STOP else ""
        return {"role": "assistant", "content": text}


def _problem(prompt_or_messages: Any) -> Problem:
    """The question: the prompt, or all that the user and the system say."""
    if isinstance(prompt_or_messages, str):
        return Problem("its_hub", prompt_or_messages)
    is_wrapped = hasattr(prompt_or_messages, "to_chat_messages")
    messages = prompt_or_messages.to_chat_messages() if is_wrapped else prompt_or_messages
    asked = [m.extract_text_content() for m in messages if m.role != "assistant"]
    return Problem("its_hub", "\n\n".join(asked))


def _chain(problem: Problem, text: str, step_separator: str, end: str) -> Chain:
    steps = text.removesuffix(end).split(step_separator)
    return Chain.of(problem, [step for step in steps if step.strip()])


def _api() -> Any:
    try:
        return importlib.import_module("its_hub.api")
    except ModuleNotFoundError as error:
        raise RungError("this needs the package its_hub: pip install 'its-hub[lm]'") from error
