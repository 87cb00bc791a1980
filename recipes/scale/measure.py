"""CPU seconds and tokens a chain, on real chains. See README.md."""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from plan import Measured

from rung.cli.scaling import decode_block, encode_block
from rung.core import Chain, ChainRecord, Generator, Sampling
from rung.data import load
from rung.data.lab import Lab, make_problems
from rung.label import ArithmeticLabeler, make_form, with_answer, with_outcomes
from rung.label.scale import pack, unpack
from rung.verify import AnswerVerifier

BLOCK = 256
LAB_PROBLEMS = 64


def measure(data: Path, tokenizer: Any, policy: Generator, *, num_chains: int) -> Measured:
    """Measure everything that the plan is made from."""
    records = list(islice(load(data / "processbench_gsm8k_math.jsonl.gz"), num_chains))
    chains, n = [record.chain for record in records], len(records)
    form = make_form("first-error", None, None)
    block = encode_block(records[:BLOCK])
    written, write_s = _rolled_out(policy)
    tokens = [chain.source.num_tokens or 0 for chain in written if chain.source]

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return Measured(
        date=datetime.now(UTC).date().isoformat(),
        machine=f"one core of a shared {platform.machine()} machine, CPU time",
        num_chains=n,
        steps_a_chain=sum(len(chain.steps) for chain in chains) / n,
        problem_tokens=sum(count(chain.problem.question) for chain in chains) / n,
        chain_tokens=sum(count("\n".join(chain.texts)) for chain in chains) / n,
        judge_tokens_in=sum(count(form.prompt(chain)) for chain in chains) / n,
        bytes_a_chain=len(encode_block(records)) / n,
        packed_bytes_a_chain=len(pack(block)) / min(n, BLOCK),
        pack_cpu_s=cpu_s(lambda: _there_and_back(records)) / n,
        arithmetic_cpu_s=cpu_s(lambda: ArithmeticLabeler().label(chains)) / n,
        answer_cpu_s=cpu_s(lambda: _answers(records)) / n,
        lab_steps_a_chain=sum(len(chain.steps) for chain in written) / len(written),
        lab_chain_tokens=sum(tokens) / len(written),
        lab_tokens_a_cpu_s=sum(tokens) / write_s,
    )


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of those that it started and that ended meanwhile."""
    before = _used_s()
    work()
    return _used_s() - before


def _used_s() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whose))


def _there_and_back(records: Sequence[ChainRecord]) -> None:
    for k in range(0, len(records), BLOCK):
        encoded = encode_block(records[k : k + BLOCK])
        decode_block(unpack(pack(encode_block(decode_block(unpack(pack(encoded)))))))


def _answers(records: Sequence[ChainRecord]) -> None:
    with AnswerVerifier(workers=1) as verifier:
        with_outcomes([with_answer(record) for record in records], verifier)


def _rolled_out(policy: Generator) -> tuple[list[Chain], float]:
    problems = make_problems(Lab(), LAB_PROBLEMS, seed=1)
    prefixes, written = [Chain(problem, ()) for problem in problems], list[Chain]()

    def work() -> None:
        for [one] in policy.sample(prefixes, 1, Sampling(max_tokens=96)):
            written.append(one)

    return written, cpu_s(work)
