"""A policy that writes whole chains, or a search's steps: beside transformers' `generate`.

Both sides write with the same weights in the same process, in turn, on one thread, from the same
prompts. `generate` gets its rows in one padded batch, as its documentation shows it; it reads each
prefix anew for each step. rung keeps prefixes, lets rows leave as they end, and starts with an
empty memory each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
import tyro
from common import Answer, Spread, conditions, publish, ratios, table

from rung.core import Chain, Sampling
from rung.data.lab import Lab, make_problems
from rung.generate import TransformersGenerator
from rung.model import load_causal_lm

STEP = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """The defaults make the numbers in README.md."""

    policy: str = "smollm2"
    """A Hugging Face folder or a GGUF file."""
    questions: int = 4
    n: int = 16
    """Chains, or prefixes of a beam, of a question."""
    steps: int = 6
    """Of the beam."""
    max_tokens: int = 48
    """Of a chain."""
    step_tokens: int = 12
    """Of a step of the beam, at most."""
    rounds: int = 3
    publish: bool = False
    """Put what came out into README.md."""


class Rung:
    """rung's side."""

    def __init__(self, loaded: Any) -> None:
        self._loaded, self._policy = loaded, TransformersGenerator(*loaded)

    def begin(self) -> None:
        """Forget all that was read."""
        self._policy = TransformersGenerator(*self._loaded)

    def write(self, prefixes: Sequence[Chain], n: int, how: Sampling) -> tuple[list[Chain], int]:
        """Chains, `n` a prefix, and how many tokens were written."""
        chains = [c for group in self._policy.sample(prefixes, n, how) for c in group]
        return chains, sum((c.source and c.source.num_tokens) or 0 for c in chains)


class Generate:
    """transformers' side."""

    def __init__(self, loaded: Any) -> None:
        self._model, self._tokenizer, _ = loaded
        self._tokenizer.padding_side = "left"
        self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token

    def begin(self) -> None:
        """It keeps nothing."""

    def write(self, prefixes: Sequence[Chain], n: int, how: Sampling) -> tuple[list[Chain], int]:
        """The same by `generate`; a step ends at its separator."""
        texts = ["".join(t + STEP for t in (p.problem.question, *p.texts)) for p in prefixes]
        batch = self._tokenizer(texts, return_tensors="pt", padding=True)
        stop = {"stop_strings": STEP, "tokenizer": self._tokenizer} if how.until == "step" else {}
        out = self._model.generate(
            **batch,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n,
            max_new_tokens=how.max_tokens,
            pad_token_id=self._tokenizer.pad_token_id,
            **stop,
        )
        new = out[:, batch["input_ids"].shape[1] :]
        written = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        chains = [
            prefixes[row // n].extend(text.strip() or "?") for row, text in enumerate(written)
        ]
        return chains, int((new != self._tokenizer.pad_token_id).sum())


def main(benchmark: Writing) -> None:
    """Both workloads on both sides, in turn."""
    torch.set_num_threads(1)
    loaded = load_causal_lm(benchmark.policy)
    loaded.model.eval()
    sides = {"rung": Rung(loaded), "generate": Generate(loaded)}
    work = {"whole chains": _chains, "a beam's steps": _beam}
    rows = [_measure(name, work[name], sides, benchmark) for name in work]
    head = ["workload", "rung, tokens a second", "`generate`", "ratio", "ratio of processor time"]
    told = {
        "questions": benchmark.questions,
        "N": benchmark.n,
        "steps of the beam": benchmark.steps,
    }
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    peer = f"transformers {transformers.__version__}"
    more = {**told, "in": dtype, "rounds": benchmark.rounds, "threads": 1, "beside": peer}
    text = table(head, rows) + "\n\n" + conditions(more)
    print(text)
    if benchmark.publish:
        publish("writing", text)


Work = Callable[[Any, Writing, int], int]


def _chains(side: Any, benchmark: Writing, seed: int) -> int:
    """Chains to their ends; tokens that were written."""
    how = Sampling(max_tokens=benchmark.max_tokens, seed=seed)
    return side.write(_questions(benchmark), benchmark.n, how)[1]


def _beam(side: Any, benchmark: Writing, seed: int) -> int:
    """A beam that keeps a quarter, at random: what is kept does not matter here."""
    how = Sampling(max_tokens=benchmark.step_tokens, seed=seed, until="step")
    kept, n, tokens = _questions(benchmark), benchmark.n, 0
    for _ in range(benchmark.steps):
        chains, written = side.write(kept, n, how)
        kept, n, tokens = chains[::4], 4, tokens + written
    return tokens


def _questions(benchmark: Writing) -> list[Chain]:
    problems = make_problems(Lab(num_steps=6), benchmark.questions, seed=7)
    return [Chain(problem, ()) for problem in problems]


def _measure(name: str, work: Work, sides: dict[str, Any], benchmark: Writing) -> list[str]:
    found: dict[str, list[Answer]] = {side: [] for side in sides}
    for number in range(benchmark.rounds):
        for side, program in sides.items():
            torch.manual_seed(number)
            program.begin()
            wall, cpu = time.perf_counter(), time.process_time()
            tokens = work(program, benchmark, number)
            took = time.perf_counter() - wall
            used = time.process_time() - cpu
            # a token's time, since the two sides write different texts
            found[side].append({"seconds": took / tokens, "cpu_seconds": used / tokens})
    speeds = [Spread.of([1 / a["seconds"] for a in found[side]]).shown(0) for side in sides]
    pair = found["generate"], found["rung"]
    return [name, *speeds, *(ratios(*pair, clock).shown() for clock in ("seconds", "cpu_seconds"))]


if __name__ == "__main__":
    main(tyro.cli(Writing))
