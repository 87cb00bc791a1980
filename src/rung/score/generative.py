"""GenPRM (arXiv 2504.00891): a critique of every step, which says yes or no at its end.

Generative reward models write through a `Completer`, so the same scorer runs on transformers or on
a server; all prompts of one stage go to it in one call. `rung.score.thinkprm` has the other one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Literal, Never

from rung.core.errors import RungError
from rung.core.protocols import Completer, Completing, Completion
from rung.core.types import Chain, Problem, StepScores
from rung.model.families.texts import chat, plain_text, shown
from rung.score import prompts

NUM_LOGPROBS = 20
"""The most that vLLM gives by default, and what GenPRM's authors ask for."""
CODE_ROUNDS = 3
"""Codes that a critique may run before it must come to an end."""
FORCED_TOKENS = 20
"""What a judgment may take where the critique came to none."""
MOST_KEPT = 10_000
"""Judged steps that a scorer remembers between calls, so that a search pays once for each."""
_BOXED = re.compile(r"(Yes|No)\}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Critique:
    """What GenPRM wrote on one step, and what it makes of it."""

    text: str
    score: float | None
    """None where the model had no room to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenPRM:
    """A `Scorer` on GenPRM/GenPRM-1.5B, -7B or -32B.

    Each step is a turn of the user's, each critique one of the assistant's. A score is P(Yes) /
    (P(Yes) + P(No)) at the last token Yes or No of the judgment, 0.5 where the judgment says
    neither, and the mean over `num_samples` critiques; the first of them stands in the
    conversation when the next step is judged.

    Where it differs from the authors' code: a critique that comes to no end after its rounds gets
    one short forced judgment, there without limit; probabilities are the model's own, while vLLM's
    older engine, which the authors ran, gave them after temperature, top-p and top-k; and every
    code is run by itself, there all codes of a chain share their variables.
    """

    completer: Completer
    tokenizer: Any
    """The model's: its chat template makes the prompts."""
    name: str
    weights_hash: str | None = None
    """None where the weights are not at hand."""
    num_samples: int = 1
    mode: Literal["analyze", "direct"] = "analyze"
    """Judge behind a written analysis, or at once."""
    run_code: Callable[[str], str] | None = None
    """Runs Python that the model wrote, and gives back what it printed, or the error as text. It
    must keep that code away from this process and stop it in time (the authors: after 5 s).
    Without it no code is written: the judgment follows the analysis, which is the authors' path
    with `verify=False`."""
    first_turn: Literal["evaluation", "card"] = "evaluation"
    """How the first turn shows the question: as the authors' evaluation does, or their README."""
    max_tokens: int = 2048
    """Of a critique."""
    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int | None = 20
    seed: int = 0
    _known: dict[str, Critique] = field(
        default_factory=dict[str, Critique], repr=False, compare=False
    )
    """By step id: what was judged before."""

    def __post_init__(self) -> None:
        check_at_least_1(samples=self.num_samples, max_tokens=self.max_tokens)
        if self.mode == "direct" and self.run_code is not None:
            raise RungError("GenPRM runs code behind its analysis; mode 'direct' writes none")

    @property
    def kind(self) -> Literal["prm"]:
        """Every step has a score."""
        return "prm"

    @property
    def family(self) -> str:
        """How it is read: a name in `rung.score.others.OTHERS`."""
        return "genprm"

    @property
    def aggregation(self) -> None:
        """The authors' code offers min, mean and last, and prefers none."""
        return None

    @property
    def fingerprint(self) -> Any:
        """All that the numbers are known to depend on, as JSON."""
        told = [self.name, self.family, self.weights_hash, self.completer.name, self.num_samples]
        told += [self.mode, self.run_code is not None, self.first_turn, self.max_tokens]
        return [*told, self.temperature, self.top_p, self.top_k, self.seed]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score B chains, step by step through all of them; what they share is judged once.

        Steps that the model's context has no room for have score None.

        Raises:
            RungError: The tokenizer has no chat template.
        """
        known = self._known
        if len(known) > MOST_KEPT:
            known.clear()
        for depth in range(max((len(chain.steps) for chain in chains), default=0)):
            there = {c.steps[depth].id: c for c in chains if len(c.steps) > depth}
            wanted = {key: chain for key, chain in there.items() if key not in known}
            open_ids = [
                key
                for key, chain in wanted.items()
                if depth == 0 or known[chain.steps[depth - 1].id].score is not None
            ]
            told = [self._prompt(wanted[key], depth, known) for key in open_ids]
            judged = self._judged(told, depth + 1)
            known |= dict.fromkeys(wanted, Critique("", None))
            known |= zip(open_ids, judged, strict=True)
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
            f"{self.name} has no sessions: it writes a critique of each step; call score, which"
            " judges no step twice"
        )

    def _scores(self, chain: Chain) -> StepScores:
        scores = tuple(self._known[step.id].score for step in chain.steps)
        return StepScores(scores, self.name, self.weights_hash)

    def _prompt(self, chain: Chain, depth: int, known: Mapping[str, Critique]) -> str:
        """The conversation up to the turn of a step, open for the critique."""
        plain = plain_text(self.tokenizer)
        steps = [plain(shown(step)) for step in chain.steps[: depth + 1]]
        turns = prompts.genprm_turns(plain(chain.problem.question), steps, self.first_turn)
        is_direct = self.mode == "direct"
        system = prompts.GENPRM_SYSTEM_DIRECT if is_direct else prompts.GENPRM_SYSTEM
        messages = [("system", system), ("user", turns[0])]
        for step, turn in zip(chain.steps, turns[1:], strict=False):
            messages += [("assistant", known[step.id].text), ("user", turn)]
        text = chat(self.tokenizer, messages)
        eos: str | None = self.tokenizer.eos_token
        if eos is None or not text.endswith((eos, f"{eos}\n")):
            return text
        return text.removesuffix("\n").removesuffix(eos)

    def _judged(self, told: Sequence[str], number: int) -> list[Critique]:
        """The critiques that begin behind the prompts, one a prompt."""
        if not told:
            return []
        sampled = self._sampled([text for text in told for _ in range(self.num_samples)], number)
        found: list[Critique] = []
        for start in range(0, len(sampled), self.num_samples):
            samples = sampled[start : start + self.num_samples]
            found.append(
                replace(samples[0], score=mean_known([sample.score for sample in samples]))
            )
        return found

    def _sampled(self, told: Sequence[str], number: int) -> list[Critique]:
        """One critique a prompt."""
        analyses = self._analyses(told, number)
        opening = prompts.GENPRM_JUDGE if self.run_code is None else prompts.GENPRM_VERIFY
        texts = [analysis + opening for analysis in analyses]
        found: dict[int, Critique] = {}
        for _ in range(1 if self.run_code is None else CODE_ROUNDS):
            left = [place for place in range(len(told)) if place not in found]
            for place, completion in self._continued(told, texts, left):
                texts[place] += _written(completion)
                if self._is_judged(completion):
                    found[place] = Critique(texts[place], self._verdict(completion))
                else:
                    texts[place] += self._code_output(texts[place])
        left = {place: text for place, text in enumerate(analyses) if place not in found}
        if left:
            found |= self._forced(told, left)
        return [found[place] for place in range(len(told))]

    def _forced(self, told: Sequence[str], analyses: Mapping[int, str]) -> dict[int, Critique]:
        """Short judgments right behind the analyses, by their places."""
        texts = {place: _closed(text) + prompts.GENPRM_JUDGE for place, text in analyses.items()}
        how = self._how(FORCED_TOKENS, prompts.GENPRM_JUDGED)
        behind = self.completer.complete([told[k] + text for k, text in texts.items()], how)
        return {
            place: Critique(text + _written(completion), self._verdict(completion))
            for (place, text), completion in zip(texts.items(), behind, strict=True)
        }

    def _analyses(self, told: Sequence[str], number: int) -> list[str]:
        if self.mode == "direct":
            return ["" for _ in told]
        start = prompts.GENPRM_ANALYZE.replace("{number}", str(number))
        how = replace(self._how(self.max_tokens, prompts.GENPRM_ANALYZED), num_logprobs=0)
        written = self.completer.complete([text + start for text in told], how)
        return [start + _written(completion) for completion in written]

    def _continued(
        self, told: Sequence[str], texts: Sequence[str], places: Sequence[int]
    ) -> list[tuple[int, Completion]]:
        """Go on with those critiques that still have tokens; what exceeds their number is cut."""
        room = {place: self.max_tokens - self._count(texts[place]) for place in places}
        open_places = [place for place in places if room[place] > 0]
        if not open_places:
            return []
        stops = [prompts.GENPRM_JUDGED, *([prompts.GENPRM_CODE_END] if self.run_code else [])]
        how = self._how(max(room[place] for place in open_places), *stops)
        behind = self.completer.complete([told[k] + texts[k] for k in open_places], how)
        return [
            (place, self._cut(completion, room[place]))
            for place, completion in zip(open_places, behind, strict=True)
        ]

    def _cut(self, completion: Completion, most: int) -> Completion:
        ids = completion.token_ids
        if len(ids) <= most:
            return completion
        return Completion(
            self.tokenizer.decode(ids[:most]),
            ids[:most],
            completion.top_logprobs[:most],
            finish_reason="length",
        )

    def _is_judged(self, completion: Completion) -> bool:
        if completion.stop == prompts.GENPRM_JUDGED:
            return True
        return self.run_code is None and _BOXED.search(completion.text) is not None

    def _verdict(self, completion: Completion) -> float | None:
        """P(Yes) against P(No); None where nothing could be written."""
        if not completion.token_ids:
            return None
        yes, no = (self._ids(word)[-1] for word in ("Yes", "No"))
        rows = zip(completion.token_ids, completion.top_logprobs, strict=False)
        said = [top for token, top in rows if top and token in (yes, no)]
        if not said or not _BOXED.search(completion.text):
            return 0.5
        return preferred(said[-1], yes, no)

    def _code_output(self, text: str) -> str:
        if self.run_code is None:
            return ""
        code = prompts.last_code(text)
        output = prompts.GENPRM_NO_CODE if code is None else self.run_code(code)
        return prompts.GENPRM_CODE_OUTPUT.replace("{output}", output)

    def _how(self, max_tokens: int, *stops: str) -> Completing:
        return Completing(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            stop=stops,
            num_logprobs=NUM_LOGPROBS,
        )

    def _count(self, text: str) -> int:
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def check_at_least_1(**numbers: int) -> None:
    """Refuse numbers that nothing can be judged with.

    Raises:
        RungError: One is below 1.
    """
    for name, value in numbers.items():
        if value < 1:
            raise RungError(f"{name} is {value}, expected at least 1")


def _written(completion: Completion) -> str:
    return completion.text + (completion.stop or "")


def _closed(analysis: str) -> str:
    """An analysis that ends as it should, even if it was cut off; none stays none."""
    if not analysis:
        return ""
    return analysis.split(prompts.GENPRM_ANALYZED.strip())[0] + prompts.GENPRM_ANALYZED


def preferred(top: Mapping[int, float], yes: int, no: int, temperature: float = 1.0) -> float:
    """P(yes) against P(no); one that is not among the likeliest counts as the least of them."""
    least = min(top.values())
    gap = (top.get(yes, least) - top.get(no, least)) / temperature
    return 0.5 * (1 + math.tanh(gap / 2))


def mean_known(scores: Sequence[float | None]) -> float | None:
    """The mean of those that are there; None if none is."""
    known = [score for score in scores if score is not None]
    return fmean(known) if known else None
