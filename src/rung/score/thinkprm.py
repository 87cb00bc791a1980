"""ThinkPRM (arXiv 2504.16828): a thought on a whole prefix, and then whether it is correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Never

from rung.core.errors import RungError
from rung.core.protocols import Completer, Completing
from rung.core.types import Chain, Problem, StepScores
from rung.model.families.texts import chat, plain_text, shown
from rung.score import prompts
from rung.score.generative import (
    MOST_KEPT,
    NUM_LOGPROBS,
    check_at_least_1,
    mean_known,
    preferred,
)

DECISION_RESERVE = 20
"""Tokens that the authors keep free for the decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkPRM:
    """A `Scorer` on launch/ThinkPRM-1.5B, -7B or -14B.

    The model thinks about a prefix, then is asked whether it is correct: a score is the softmax
    over the log-probabilities of " yes" and " no" there, and the mean over `num_samples` thoughts.
    So a chain of S steps takes S thoughts, or one, of the whole chain, with kind "orm".

    Where a completer can't give both log-probabilities, the missing one counts as the least it
    gives; the authors force each word in turn.
    """

    completer: Completer
    tokenizer: Any
    """The model's: its chat template makes the prompts."""
    name: str
    weights_hash: str | None = None
    """None where the weights are not at hand."""
    kind: Literal["prm", "orm"] = "prm"
    """Score every step, or the last alone, as the value of the whole chain."""
    names_steps: bool = True
    """Show steps as "Step i: ..." and end a thought that goes on to a step beyond the last (the
    authors' `process_verifier`, as in their searches). Without, a step is a line."""
    num_samples: int = 1
    rounds: int = 1
    """Rounds of thinking; between them the model is made to doubt what it thought (at most 4)."""
    decision_temperature: float = 1.0
    max_tokens: int = 8192
    """Of one round."""
    temperature: float = 0.7
    seed: int = 0
    _known: dict[str, float | None] = field(
        default_factory=dict[str, "float | None"], repr=False, compare=False
    )
    """By step id: what was judged before."""

    def __post_init__(self) -> None:
        check_at_least_1(samples=self.num_samples, max_tokens=self.max_tokens - DECISION_RESERVE)
        most = len(prompts.THINKPRM_DOUBTS) + 1
        if not 1 <= self.rounds <= most:
            raise RungError(f"rounds is {self.rounds}, expected 1 to {most}")

    @property
    def family(self) -> str:
        """How it is read: a name in `rung.score.others.OTHERS`."""
        return "thinkprm"

    @property
    def aggregation(self) -> str:
        """A score is of a whole prefix, so the last one is the chain's."""
        return "last"

    @property
    def fingerprint(self) -> Any:
        """All that the numbers are known to depend on, as JSON."""
        told = [self.name, self.family, self.weights_hash, self.completer.name, self.num_samples]
        told += [
            self.kind,
            self.names_steps,
            self.rounds,
            self.decision_temperature,
            self.max_tokens,
        ]
        return [*told, self.temperature, self.seed]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score B chains; what they share is judged once.

        Prefixes that the model's context has no room for have score None.

        Raises:
            RungError: The tokenizer has no chat template, or no single token for yes or no.
        """
        known = self._known
        if len(known) > MOST_KEPT:
            known.clear()
        for depth in range(max((len(chain.steps) for chain in chains), default=0)):
            wanted = {
                chain.steps[depth].id: chain.prefix(depth + 1)
                for chain in chains
                if self._is_judged(chain, depth) and chain.steps[depth].id not in known
            }
            known |= zip(wanted, self._judged(list(wanted.values())), strict=True)
        return [self._scores(chain) for chain in chains]

    @property
    def has_sessions(self) -> bool:
        """`open` refuses."""
        return False

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> Never:
        """Refused.

        Raises:
            RungError: Always.
        """
        raise RungError(
            f"{self.name} has no sessions: it thinks about each prefix anew; call score, which"
            " judges no step twice"
        )

    def _scores(self, chain: Chain) -> StepScores:
        scores = (
            self._known[step.id] if self._is_judged(chain, depth) else None
            for depth, step in enumerate(chain.steps)
        )
        return StepScores(tuple(scores), self.name, self.weights_hash)

    def _is_judged(self, chain: Chain, depth: int) -> bool:
        last = len(chain.steps) - 1
        return depth == last if self.kind == "orm" else depth <= last

    def _judged(self, prefixes: Sequence[Chain]) -> list[float | None]:
        """The scores of prefixes with equally many steps."""
        if not prefixes:
            return []
        texts = [text for text in map(self._prompt, prefixes) for _ in range(self.num_samples)]
        beyond = [f"Step {len(prefixes[0].steps) + 1}:"] if self.names_steps else []
        how = Completing(
            max_tokens=self.max_tokens - DECISION_RESERVE,
            temperature=self.temperature,
            seed=self.seed,
            stop=(*prompts.THINKPRM_STOPS, *beyond),
        )
        for turn in range(self.rounds):
            doubt = prompts.THINKPRM_DOUBTS[turn] if turn < self.rounds - 1 else ""
            thoughts = self.completer.complete(texts, how)
            texts = [f"{a}{b.text}{doubt}" for a, b in zip(texts, thoughts, strict=True)]
        scores = self._decided([text + prompts.THINKPRM_DECISION for text in texts])
        groups = (
            scores[start : start + self.num_samples]
            for start in range(0, len(scores), self.num_samples)
        )
        return [mean_known(group) for group in groups]

    def _decided(self, texts: Sequence[str]) -> list[float | None]:
        yes, no = (self._token(word) for word in (" yes", " no"))
        how = Completing(
            max_tokens=1, temperature=0, num_logprobs=NUM_LOGPROBS, logprobs_of=(yes, no)
        )
        return [
            preferred(found.top_logprobs[0], yes, no, self.decision_temperature)
            if any(found.top_logprobs)
            else None
            for found in self.completer.complete(texts, how)
        ]

    def _prompt(self, prefix: Chain) -> str:
        plain = plain_text(self.tokenizer)
        steps = [plain(shown(step)) for step in prefix.steps]
        question = plain(prefix.problem.question)
        task = prompts.thinkprm_task(question, steps, names_steps=self.names_steps)
        text = chat(self.tokenizer, [("user", task)], generation_prompt=True)
        return text + prompts.THINKPRM_BEGIN

    def _token(self, word: str) -> int:
        ids = self.tokenizer.encode(word, add_special_tokens=False)
        if len(ids) != 1:
            raise RungError(f"the tokenizer makes {len(ids)} tokens of {word!r}, expected one")
        return ids[0]
