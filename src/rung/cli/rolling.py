"""What `rung label rollout` and `rung label omega` share: chains in, rollouts, labels out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from rung.cli.first_in_line import check_first, first_in_line
from rung.cli.inputs import Separator, read_twice, records_of, tell_skipped
from rung.cli.output import Output
from rung.cli.places import TrustPickle
from rung.cli.policies import PolicyOptions, check_sampling, open_policy
from rung.cli.scaling import HERE, ScalingOptions
from rung.cli.verifiers import open_verifier
from rung.core import ChainRecord, RungError, Sampling, Skipped, StepLabels, write_records
from rung.core.resume import fingerprint_of
from rung.core.urls import name_of
from rung.label import (
    OmegaForest,
    RolloutLabels,
    RolloutLog,
    RolloutSource,
    Spent,
    label_by_rollouts,
    with_answer,
    with_outcomes,
)
from rung.label.next import First

if TYPE_CHECKING:
    from rich.console import Console

Machine = TypeVar("Machine", RolloutLabels, OmegaForest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """How chains are read and rollouts made."""

    policy: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Who writes the rollouts: a Hugging Face causal LM folder, a GGUF file or smollm2. With vllm:
    before it, vLLM runs it; NAME@URL is a server's, as smollm2@http://localhost:8000/v1."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    verifier: Literal["answer", "lab"] = "answer"
    """answer: compare final answers with the reference answers. lab: the truth of `rung lab`."""
    rollouts: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Log of the rollouts, which other runs may use too; by default OUT.rollouts."""
    only: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Label only the N chains first in line, no two of them alike, and write the others as they
    are. It needs chains with scores."""
    first: First | None = None
    """Chains that come first with --only. doubt, the default: of whose steps the PRM is not sure.
    convincing: wrong answers that it rates highly. Those on which scorers disagree, either way."""
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    max_tokens: int = 512
    """Tokens a rollout may have."""
    seed: int = 0
    """Of the draws."""
    chat: bool = False
    """Show the question as a user's message in the policy's chat template."""
    question_separator: Separator = "\n"
    """Written behind the question (without --chat)."""
    step_separator: Separator = "\n"
    """What stands between steps; the policy's text is cut there."""
    max_batch_chains: int = 256
    """Rollouts written together: less takes less memory. (A server gets at most 32 at once.)"""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; without the variable none is sent."""
    trust_pickle: TrustPickle = False
    format: str | None = None
    """The chains' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    scaling: ScalingOptions = HERE

    def check(self) -> None:
        """Refuse what can't be done before anything is read."""
        self.scaling.cluster()
        check_first(self.only, self.first)
        check_sampling(
            self.temperature,
            self.top_p,
            self.step_separator,
            max_tokens=self.max_tokens,
            max_batch_chains=self.max_batch_chains,
            only=1 if self.only is None else self.only,
        )

    @contextlib.contextmanager
    def open(self) -> Generator[RolloutSource]:
        """The policy and the verifier, with an empty log."""
        with self._open(None) as (source, _):
            yield source

    @contextlib.contextmanager
    def open_logged(self) -> Generator[RolloutSource]:
        """The policy, the verifier and the log."""
        shown = (self.chat, self.question_separator, self.step_separator)
        path = self.rollouts or self.out.with_name(f"{self.out.name}.rollouts")
        with self._open(self.out if self.scaling.ray is None else None) as (source, policy_hash):
            settings = [str(source.sampling), shown, policy_hash, self.verifier]
            with RolloutLog.open(path, fingerprint_of([], settings)) as log:
                yield replace(source, log=log)

    @contextlib.contextmanager
    def _open(self, out: Path | None) -> Generator[tuple[RolloutSource, str]]:
        how = PolicyOptions(
            chat=self.chat,
            question_separator=self.question_separator,
            step_separator=self.step_separator,
            max_batch_chains=self.max_batch_chains,
            key_env=self.key_env,
            trust_pickle=self.trust_pickle,
        )
        sampling = Sampling(self.temperature, self.top_p, self.max_tokens, self.seed)
        with (
            open_policy(self.policy, how, out) as (generator, policy_hash),
            open_verifier(self.verifier) as verifier,
        ):
            source = RolloutSource(generator, verifier, sampling, batch=self.max_batch_chains)
            yield source, policy_hash

    def label(
        self,
        records: Sequence[ChainRecord],
        start: Callable[[Sequence[ChainRecord]], Machine],
        source: RolloutSource,
        out: Output,
    ) -> Machine:
        """Begin with the records and roll out, here or on a cluster, until nothing is asked."""
        out.progress.start(f"roll out with {source.generator.name}")
        cluster = self.scaling.cluster()
        if cluster is not None:
            from rung.label.scale_work import roll_out

            roll_out(records, start, source, self.open, cluster, out.progress)
        machine = start(records)
        label_by_rollouts(machine, source, out.progress)
        return machine

    def read(self, chains: Sequence[str], out: Output) -> tuple[list[ChainRecord], list[int], int]:
        """All chains with outcomes, the places of those to label, and the number of bad rows."""
        with read_twice(chains) as sources, open_verifier(self.verifier) as verifier:
            skipped = Skipped()
            counted = skipped if self.skip_bad else None
            rows = records_of(sources, self.format, "good", counted)
            records = with_outcomes([with_answer(row) for row in rows], verifier)
        if not records:
            raise RungError(f"no chain can be read: {skipped.count} rows are left out")
        tell_skipped(out.progress, skipped)
        checkable = [k for k, r in enumerate(records) if r.chain.problem.answer is not None]
        if not checkable:
            raise RungError("no chain's problem has a reference answer, so rollouts prove nothing")
        if self.only is None:
            return records, checkable, skipped.count
        chosen = first_in_line([records[k] for k in checkable], self.only, self.first)
        return records, [checkable[place] for place in sorted(chosen)], skipped.count


RollingOptions = Annotated[Rolling, tyro.conf.arg(name="", prefix_name=False)]


def finish_rolling(
    out: Output,
    path: Path,
    records: Sequence[ChainRecord],
    labels: Sequence[StepLabels],
    spent: Spent,
    source: RolloutSource,
    skipped: int,
) -> None:
    """Write the records, and say what was labeled and spent."""
    write_records(path, records)
    steps = Counter(_word_for(y) for given in labels for y in given.labels)
    result = {
        "out": name_of(path),
        "chains": len(records),
        "labeled_chains": sum(any(y is not None for y in given.labels) for given in labels),
        "first_errors": sum(given.first_error is not None for given in labels),
        "steps": dict(sorted(steps.items())),
        "rollouts": spent.rollouts,
        "new_rollouts": source.new_rollouts,
        "tokens": None if spent.uncounted else spent.tokens,
        "skipped_rows": skipped,
    }
    out.result(result, lambda console: _show(console, result))


def _word_for(label: float | None) -> str:
    if label is None:
        return "unjudged"
    return "right" if label == 1 else "wrong" if label == 0 else "between"


def _show(console: Console, result: dict[str, Any]) -> None:
    console.print(f"{result['chains']} chains in {result['out']}", soft_wrap=True, markup=False)
    steps = ", ".join(f"{count} {name}" for name, count in result["steps"].items())
    console.print(f"  {result['labeled_chains']} labeled; steps: {steps}")
    tokens = "" if result["tokens"] is None else f", {result['tokens']} tokens"
    console.print(f"  {result['rollouts']} rollouts ({result['new_rollouts']} new){tokens}")
