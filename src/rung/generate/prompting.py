"""How a chain is shown to a policy, and how what it writes is read back: the same for every engine.

The prompt is the question, the question separator, and each step so far with the step separator.
What the policy writes is cut into steps at the step separator; blank pieces make no steps.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap, zip_longest
from typing import Any, NamedTuple

from rung.core.protocols import Sampling
from rung.core.types import Chain, Problem, Provenance, Step

STOP, LENGTH = "stop", "length"
KEPT_PIECES = 2**16
CONTEXT_TOKENS = 4
"""So many tokens before it decide how a token is spelled."""


class Wanted(NamedTuple):
    """One chain to write."""

    place: int
    """Which of all chains of the call."""
    prefix: Chain
    stream: str
    """Names the chain's own random numbers."""


class Drawn(NamedTuple):
    """A token that was drawn."""

    text: str
    """What it adds to the text; "" where only a later token makes a character whole."""
    logprob: float | None
    """Under the policy itself, at temperature 1."""


class Written(NamedTuple):
    """What a policy wrote behind a prefix, and how it ended."""

    text: str
    finish_reason: str | None
    """"stop": by itself, "length": cut off by `max_tokens` or the context, None: the one step
    that was asked for is written."""
    num_tokens: int | None
    drawn: tuple[Drawn, ...] | None = None
    """Its tokens, where their log-probabilities are kept; the one that ended it too."""


def no_answer(text: str) -> str | None:
    """Find no final answer."""
    return None


def wanted(prefixes: Sequence[Chain], n: int, seed: int) -> list[Wanted]:
    """The chains of a call, `n` for each prefix in turn.

    Every chain has random numbers of its own, named by the seed, its prefix and how many chains
    of that prefix come before it in the call. So a prefix that is given twice is continued in
    different ways.
    """
    seen = Counter[str]()
    chains: list[Wanted] = []
    for prefix in prefixes:
        key = prefix.prefix_id
        for _ in range(n):
            chains.append(Wanted(len(chains), prefix, f"{seed} {key} {seen[key]}"))
            seen[key] += 1
    return chains


def seed_of(stream: str) -> int:
    """The seed of a chain's random numbers, for engines that draw them themselves: 31 bits."""
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=4).digest()) >> 1


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts in tokens: every piece is tokenized alone, as `rung train policy` shows chains."""

    tokenizer: Any
    show: Callable[[Problem], str] | None
    """The prompt's text for a problem, chat markup and all; None: its question."""
    question_separator: str
    step_separator: str
    _ids: dict[str, list[int]] = field(
        default_factory=dict[str, list[int]], init=False, repr=False, compare=False
    )
    """Token ids of pieces: a search shows the same steps again and again."""
    _added: dict[tuple[int, ...], str] = field(
        default_factory=dict[tuple[int, ...], str], init=False, repr=False, compare=False
    )
    """What the last tokens add to those before them, which are at most CONTEXT_TOKENS."""

    def ids(self, prefix: Chain, *, inside_step: bool = False) -> tuple[int, ...]:
        """The prompt for what comes behind a prefix, or inside its last step."""
        separator = self._encode(self.step_separator)
        steps = [token for step in prefix.steps for token in self._encode(shown(step)) + separator]
        steps = steps[: len(steps) - len(separator)] if inside_step else steps
        if self.show is not None:  # markup holds special tokens, a start token among them
            text = self.show(prefix.problem)
            return (*self.tokenizer.encode(text, add_special_tokens=False), *steps)
        bos: int | None = self.tokenizer.bos_token_id
        question = self._encode(prefix.problem.question) + self._encode(self.question_separator)
        return (*([] if bos is None else [bos]), *question, *steps)

    def decode(self, ids: Sequence[int], behind: Sequence[int] = ()) -> str:
        """What was written, without the names of special tokens.

        Args:
            ids: The tokens that were written.
            behind: What they go on from inside a step: many tokenizers leave out a space where a
                text begins.
        """
        before = self._decode(behind)
        return self._decode([*behind, *ids])[len(before) :]

    def drawn(
        self, ids: Sequence[int], logprobs: Sequence[float], behind: Sequence[int] = ()
    ) -> tuple[Drawn, ...]:
        """Tokens with their texts; `logprobs` may have one more, for a token that is not shown."""
        texts = list[str]()
        context = [*behind[-CONTEXT_TOKENS:]]
        begin = len(context)
        for token in ids:
            context.append(token)
            text = self._adds(context, begin)
            is_whole = not text.endswith("\ufffd")  # which stands for a part of a character
            texts.append(text if is_whole else "")
            begin = len(context) if is_whole else begin
        return tuple(starmap(Drawn, zip_longest(texts, logprobs, fillvalue="")))

    def _adds(self, context: Sequence[int], begin: int) -> str:
        """What the tokens from `begin` on add to the text."""
        first = max(0, begin - CONTEXT_TOKENS)
        key = (begin - first, *context[first:])
        if key not in self._added:
            if len(self._added) >= KEPT_PIECES:
                self._added.clear()
            self._added[key] = self.decode(context[begin:], context[first:begin])
        return self._added[key]

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _encode(self, text: str) -> list[int]:
        if text not in self._ids:
            if len(self._ids) >= KEPT_PIECES:
                self._ids.clear()
            encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
            self._ids[text] = list(encoded["input_ids"])
        return self._ids[text]


def shown(step: Step) -> str:
    """A step's text, and below it what its tool gave."""
    return step.text if step.observation is None else f"{step.text}\n{step.observation}"


def text_of(prefix: Chain, separator: str, *, inside_step: bool = False) -> str:
    """The steps of a prefix, a separator behind each, or behind all but an unfinished last one."""
    text = "".join(shown(step) + separator for step in prefix.steps)
    return text[: len(text) - len(separator)] if inside_step else text


def holds_step(text: str, separator: str, *, inside_step: bool = False) -> bool:
    """Whether a step has been written and its separator behind it; blank text is no step."""
    if inside_step:
        return separator in text
    head, *rest = text.lstrip().split(separator)
    return bool(rest) and bool(head.strip())


def continued(
    prefix: Chain,
    written: Written,
    sampling: Sampling,
    *,
    policy: str,
    separator: str,
    extract_answer: Callable[[str], str | None] = no_answer,
) -> Chain:
    """The prefix with the written steps behind it, one step where one was asked for.

    Inside a step, the prefix's last step is the longer one. A chain that is at its end gets its
    final answer.
    """
    before, text = prefix.steps, written.text
    if sampling.inside_step:
        before, text = before[:-1], before[-1].text + text
    pieces = [piece for piece in text.split(separator) if piece.strip()]
    if sampling.until == "step":  # a token may reach beyond the separator
        pieces = pieces[:1]
    source = Provenance(
        policy=policy,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        finish_reason=written.finish_reason,
        num_tokens=written.num_tokens,
        step_logprobs=_logprobs(prefix, written, len(pieces), separator, sampling),
    )
    chain = Chain(prefix.problem, (*before, *map(Step, pieces)), source=source)
    if sampling.until == "step" and written.finish_reason != STOP:
        return chain
    return replace(chain, answer=extract_answer(separator.join(chain.texts)))


def _logprobs(
    prefix: Chain, written: Written, num_new: int, separator: str, sampling: Sampling
) -> tuple[float | None, ...] | None:
    """Of all steps: the prefix's own, then those of the new ones, or of the longer one."""
    if not sampling.logprobs:
        return None
    before = (prefix.source or Provenance()).logprobs_for(len(prefix.steps))
    if not sampling.inside_step:
        return (*before, *_sums(written.drawn, num_new, separator, "", 0.0))
    begun, first = prefix.steps[-1].text, before[-1]
    return (*before[:-1], *_sums(written.drawn, num_new, separator, begun, first))


def steps_of_tokens(
    texts: Iterable[str], num_steps: int, separator: str, *, rest: str = ""
) -> list[int] | None:
    """Which of the new steps each drawn token belongs to, from 0.

    A token belongs to the step that it completes, or in which it stands; a blank piece's tokens
    belong to the step behind it, the end to the last step. Where nothing but blank text was
    written there are no steps, and all tokens are of step 0. None if the tokens don't show where
    the steps end.

    Args:
        texts: What each token adds to the text.
        num_steps: Steps that were read from the text.
        separator: Between steps.
        rest: The text of the first step before the first token.
    """
    places, done, last = list[int](), 0, max(0, num_steps - 1)
    for text in texts:
        places.append(min(done, last))
        *whole, rest = (rest + text).split(separator)
        done += sum(1 for piece in whole if piece.strip())
    return None if done < last else places


def _sums(
    drawn: Sequence[Drawn] | None, num_steps: int, separator: str, rest: str, first: float | None
) -> list[float | None]:
    """The tokens' log-probabilities, by step; the first step has the text `rest` and `first`."""
    texts = (token.text for token in drawn or ())
    places = steps_of_tokens(texts, num_steps, separator, rest=rest)
    if drawn is None or num_steps == 0 or places is None:
        return [None] * num_steps
    logprobs: list[list[float | None]] = [[first], *([] for _ in range(num_steps - 1))]
    for place, token in zip(places, drawn, strict=True):
        logprobs[place].append(token.logprob)
    return [
        None if None in some else math.fsum(x for x in some if x is not None) for some in logprobs
    ]
