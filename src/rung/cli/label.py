"""`rung label`: label the steps of chains and check their answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro

from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.label_agreement import Agree
from rung.cli.label_checkers import (
    CHECKERS,
    LEAN,
    CheckerOptions,
    step_checks,
    with_readable_premises,
)
from rung.cli.label_consensus import Consensus
from rung.cli.label_judge import Judge
from rung.cli.label_rollout import Omega, Rollout
from rung.cli.label_view import show, summarize
from rung.cli.output import JsonFlag, Output
from rung.cli.scaling import (
    HERE,
    ScalingOptions,
    blocks_of,
    decode_block,
    encode_block,
    working,
)
from rung.core import (
    ChainRecord,
    Labeler,
    Progress,
    RungError,
    Skipped,
    Verifier,
    read_records,
)
from rung.core.progress import Silent
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.urls import name_of
from rung.data import Neutral
from rung.label import (
    AlgebraLabeler,
    ArithmeticLabeler,
    CodeLabeler,
    LabLabeler,
    with_answer,
    with_outcomes,
)
from rung.verify import (
    AlgebraChecker,
    AnswerVerifier,
    Calculator,
    CodeVerifier,
    ProofVerifier,
    find_sandbox,
)

WINDOW = 256
"""Records checked together; a kill loses at most these."""
SLOW_WINDOW = 32
"""The same where a step may take seconds: proofs, and the calls of tools."""
VerifierName = Literal["algebra", "answer", "arithmetic", "code", "lab", "lean", "proof", "tools"]
Check = Callable[[Sequence[ChainRecord]], list[ChainRecord]]


@dataclass(frozen=True, slots=True)
class Verify:
    """Check final answers and steps by calculation.

    Stopped and run again, it goes on where it was and ends with the same file; when that is
    done, it is left as it is.
    """

    chains: Chains
    """Files or URLs of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    verifier: Annotated[tuple[VerifierName, ...], tyro.conf.UseAppendAction] = ()
    """answer: compare final answers with the reference answers, for the outcome.
    arithmetic: label steps by the equations and inequalities in them, calculated exactly.
    algebra: as arithmetic, and where that says nothing, equations with variables by sympy (slow).
    code: run the problems' unit tests in a sandbox, for the outcome and the failing step.
    lab: exact labels and outcomes for the chains of `rung lab`.
    proof: ask Z3 which steps follow from the problems' premises and the right steps before them.
    lean: run each step as a tactic of Lean 4, on the theorem that is the last premise.
    tools: run the steps' calls again and compare what came back, or hold both against schemas.
    Give the option again for another; without it, answer."""
    workers: int | None = None
    """Processes for math-verify, the calculator, sympy, Z3 and tools, or programs run at once;
    without it one a core, at most 4. Of Lean's REPLs, which are large, one."""
    unsafe_local: bool = False
    """Run programs without a sandbox, with all your rights."""
    lean: Annotated[str, tyro.conf.arg(metavar="COMMAND")] = LEAN
    """How Lean's REPL is started, as "env -C FOLDER lake env PATH/TO/repl"."""
    tool: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=MODULE:FUNCTION")
    ] = ()
    """A Python function to replay calls of tool NAME with, found from this folder. Give the option
    again for another. "python" is replayed in the sandbox."""
    tool_schema: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON schemas: {"calls": {NAME: SCHEMA}, "observations": {NAME: SCHEMA}}."""
    timeout_s: float | None = None
    """Seconds for a step of a proof or a call of a tool; without it 5, for Lean 60."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    scaling: ScalingOptions = HERE
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Check."""
        if self.workers is not None and self.workers < 1:
            raise RungError(f"--workers is {self.workers}, expected at least 1")
        with read_twice(self.chains) as sources, self._premises() as proof:
            skipped = Skipped()
            num_rows = sum(1 for _ in self._records(sources, skipped, proof))
            if not num_rows:
                raise RungError(f"no chain can be read: {skipped.count} rows are left out")
            tell_skipped(out.progress, skipped)
            left = partial(self._records, sources, Skipped(), proof)
            self._check(out, sources, num_rows, left)
        summary = summarize(read_records(self.out), name_of(self.out))
        summary.skipped_rows = skipped.count
        out.result(msgspec.to_builtins(summary), lambda console: show(console, summary))

    def _premises(self) -> AbstractContextManager[ProofVerifier | None]:
        """Reads proofs' premises, which is done before any work is."""
        is_needed = "proof" in self.verifier
        return ProofVerifier(workers=1) if is_needed else contextlib.nullcontext()

    def _records(
        self, sources: Sequence[str], skipped: Skipped, proof: ProofVerifier | None
    ) -> Iterator[ChainRecord]:
        counted = skipped if self.skip_bad else None
        for source in sources:
            records = records_of([source], self.format, self.neutral, counted)
            if proof is not None:
                records = with_readable_premises(records, source, proof, counted)
            yield from records

    def _check(
        self,
        out: Output,
        sources: Sequence[str],
        num_rows: int,
        records: Callable[[], Iterator[ChainRecord]],
    ) -> None:
        cluster, options = self.scaling.cluster(), self._options()
        names = options.names
        settings = [self.format, self.neutral, self.skip_bad, names, options.fingerprint]
        made_from = fingerprint_of(sources, settings)
        size = SLOW_WINDOW if set(CHECKERS) & set(names) else WINDOW
        open = self.open if cluster else partial(self.open, out.progress)
        with (
            working(open, cluster, self.out, made_from) as work,
            resumable_rows(
                self.out,
                made_from,
                out.progress,
                rows_a_chunk=size,
                keeps_finished=options.fingerprint is None,  # tools may be others by now
            ) as rows,
        ):
            out.progress.start(f"check by {', '.join(names)}", num_rows)
            out.progress.advance(rows.done)
            left = islice(records(), rows.done, None)
            for made in work(blocks_of(left, size)):
                rows.append([made])
                out.progress.advance(made.count(b"\n"))

    def _options(self) -> CheckerOptions:
        """How steps are checked. One of many workers has one process for it."""
        return CheckerOptions(
            names=sorted(set(self.verifier or ("answer",))),
            workers=self.workers or (None if self.scaling.ray is None else 1),
            unsafe_local=self.unsafe_local,
            lean=self.lean,
            tool=self.tool,
            tool_schema=self.tool_schema,
            timeout_s=self.timeout_s,
        )

    @contextlib.contextmanager
    def open(self, progress: Progress | None = None) -> Generator[Callable[[bytes], bytes]]:
        """What to do to a block of records."""
        options = self._options()
        with (
            step_checks(options, progress or Silent()) as more,
            _checks(options.names, options.workers, options.unsafe_local, more) as checks,
        ):

            def do(block: bytes) -> bytes:
                records = decode_block(block)
                for check in checks:
                    records = check(records)
                return encode_block(records)

            yield do


@contextlib.contextmanager
def _checks(
    names: Sequence[str], workers: int | None, unsafe_local: bool, more: Sequence[Check]
) -> Generator[list[Check]]:
    """What to do to a window of records; the lab's outcome and the tests' stand over the answer's.

    Raises:
        RungError: Programs are to be run, and there is no sandbox.
    """
    checks: list[Check] = []
    with (
        AnswerVerifier(workers=workers) as answers,
        Calculator(workers=workers) as steps,
        AlgebraChecker(workers=workers) as formulas,
    ):
        if "answer" in names:
            checks.append(lambda records: _judge_outcomes(map(with_answer, records), answers))
        if "algebra" in names:
            both = "arithmetic" in names
            algebra = AlgebraLabeler(formulas, steps)
            checks.append(lambda records: _judge_equations(records, algebra, both=both))
        elif "arithmetic" in names:
            calculator = ArithmeticLabeler(checker=steps)
            checks.append(lambda records: _judge_steps(records, calculator))
        if "code" in names:
            sandbox = find_sandbox(unsafe_local=unsafe_local)
            code = CodeLabeler(CodeVerifier(sandbox, workers=workers, trace=True))
            checks.append(code.judge)
        if "lab" in names:
            lab = LabLabeler()
            checks.append(lambda records: _judge_outcomes(_judge_steps(records, lab), lab))
        yield [*checks, *more]


def _judge_outcomes(records: Iterable[ChainRecord], verifier: Verifier) -> list[ChainRecord]:
    return with_outcomes(list(records), verifier)


def _judge_steps(records: Sequence[ChainRecord], labeler: Labeler) -> list[ChainRecord]:
    labels = labeler.label([record.chain for record in records])
    return [record.with_labels(y) for record, y in zip(records, labels, strict=True)]


def _judge_equations(
    records: Sequence[ChainRecord], algebra: AlgebraLabeler, *, both: bool
) -> list[ChainRecord]:
    """Algebra's labels, and with `both` the calculator's, which were made on the way."""
    arithmetic, labels = algebra.label_both([record.chain for record in records])
    if both:
        records = [r.with_labels(y) for r, y in zip(records, arithmetic, strict=True)]
    return [r.with_labels(y) for r, y in zip(records, labels, strict=True)]


COMMANDS = {
    "verify": Verify,
    "rollout": Rollout,
    "omega": Omega,
    "judge": Judge,
    "consensus": Consensus,
    "agreement": Agree,
}
