"""A policy whose every step errs with a known probability, so all values are known."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rung.core import Chain, Problem, Provenance, Sampling, Step, Verdict

NUM_STEPS = 5
"""Steps of a whole chain; its last one states the answer."""
BAD = "bad"


@dataclass(slots=True)
class CoinPolicy:
    """A `Generator` and a `Verifier`: a chain is right if no step is bad."""

    error_rate: float = 0.2
    name: str = "coin"
    sampled: Counter[str] = field(default_factory=Counter[str])
    """Rollouts by the prefix they started from."""
    calls_left: int | None = None
    """After so many calls it is killed."""

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise KeyboardInterrupt
            self.calls_left -= 1
        seen = Counter[str]()
        groups: list[list[Chain]] = []
        for prefix in prefixes:
            groups.append([])
            for _ in range(n):
                rng = random.Random(f"{sampling.seed} {prefix.prefix_id} {seen[prefix.prefix_id]}")
                seen[prefix.prefix_id] += 1
                groups[-1].append(self._write(prefix, rng))
            self.sampled[prefix.prefix_id] += n
        return groups

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        wrong = (any(text.startswith(BAD) for text in chain.texts) for chain in chains)
        return [Verdict.INCORRECT if is_wrong else Verdict.CORRECT for is_wrong in wrong]

    def _write(self, prefix: Chain, rng: random.Random) -> Chain:
        places = range(len(prefix.steps), NUM_STEPS)
        texts = [BAD if rng.random() < self.error_rate else f"good {k}" for k in places]
        source = Provenance(policy=self.name, num_tokens=2 * len(texts))
        steps = (*prefix.steps, *map(Step, texts))
        return Chain(prefix.problem, steps, "x", source=source)


def chain_of(*texts: str, problem: str = "p", answer: str | None = "x") -> Chain:
    return Chain.of(Problem(problem, f"What is {problem}?", "x"), texts, answer=answer)


def good(num_steps: int) -> list[str]:
    return [f"good {k}" for k in range(num_steps)]


def wrong_from(first: int, problem: str = "p") -> Chain:
    return chain_of(*good(first), *[BAD] * (NUM_STEPS - first), problem=problem)
