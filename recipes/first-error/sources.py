"""Real labeled chains, split so that no problem is on two sides.

Trained on: PRM800K (two files) and the science half of MR-Ben. Held out: 50 PRM800K problems.
Tested on: those, and ProcessBench gsm8k and math, of which no problem is trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rung.core import ChainRecord, RungError, Verdict
from rung.data import load, load_problems, problem_key, problem_keys, split_by_problem

PRM800K = ("prm800k_val_decoded.jsonl.gz", "prm800k_phase2_latebench.jsonl.gz")
MR_BEN = "mr_ben.jsonl.gz"
PROCESSBENCH = "processbench_gsm8k_math.jsonl.gz"
PUBLISHED_SCORES = "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
RESERVED = (
    PROCESSBENCH,
    "problems_gsm8k_test.jsonl.gz",
    "problems_math500.jsonl",
    "bon_math100_qwen_rm8.jsonl.gz",
)
"""Problems that something is measured on, here or in `recipes/rerank-gsm8k`."""
MR_BEN_DOMAINS = ("math",)
HELD_OUT_PROBLEMS = 50
VALIDATION_FRACTION = 0.06
HELD_OUT_SEED, VALIDATION_SEED = 0, 1
"""Two seeds: with one, both splits would draw the same problems first."""

_CHOICE = re.compile(r"choice[\s_:]*\(?([A-E])\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chains:
    """The four sides of the recipe, and how many training chains were dropped for what."""

    train: list[ChainRecord]
    validation: list[ChainRecord]
    held_out: list[ChainRecord]
    processbench: list[ChainRecord]
    dropped_reserved: int
    """Chains whose problem is one that something is measured on."""
    dropped_held_out: int
    """Chains from other files than the held-out one, for held-out problems."""

    @property
    def tests(self) -> dict[str, list[ChainRecord]]:
        """The test sets by name."""
        subsets = {
            f"processbench_{name}": [r for r in self.processbench if r.meta["subset"] == name]
            for name in ("gsm8k", "math")
        }
        return {"prm800k_held_out": self.held_out, **subsets}


def load_chains(data: Path, held_out_problems: int = HELD_OUT_PROBLEMS) -> Chains:
    """Read and split the real data; hold out so many of the PRM800K problems.

    Raises:
        RungError: A file is missing or can't be read.
    """
    if not data.is_dir():
        raise RungError(f"there is no folder {data} with the real data; --data names it")
    reserved = {problem_key(p.question) for name in RESERVED for p in load_problems(data / name)}
    first, second = (list(load(data / name)) for name in PRM800K)
    mr_ben = [_with_outcome(r) for r in load(data / MR_BEN) if _is_science(r)]
    free = _without([*first, *second, *mr_ben], reserved)
    candidates = _without(first, reserved)
    share = held_out_problems / len(problem_keys(candidates))
    held_out = split_by_problem(candidates, share, HELD_OUT_SEED).held_out
    held_out_keys = problem_keys(held_out)
    kept = _without(free, held_out_keys)
    split = split_by_problem(kept, VALIDATION_FRACTION, VALIDATION_SEED)
    return Chains(
        train=split.train,
        validation=split.held_out,
        held_out=held_out,
        processbench=list(load(data / PROCESSBENCH)),
        dropped_reserved=len(first) + len(second) + len(mr_ben) - len(free),
        dropped_held_out=len(free) - len(kept) - len(held_out),
    )


def is_prm800k(record: ChainRecord) -> bool:
    """Whether a chain comes from PRM800K, not from MR-Ben."""
    return str(record.meta["source"]).startswith("prm800k")


def _without(records: Iterable[ChainRecord], keys: set[str]) -> list[ChainRecord]:
    return [r for r in records if problem_key(r.chain.problem.question) not in keys]


def _is_science(record: ChainRecord) -> bool:
    return record.chain.problem.domain in MR_BEN_DOMAINS


def _with_outcome(record: ChainRecord) -> ChainRecord:
    """MR-Ben's chains end in "Solution: Choice_B", which the reference answer decides."""
    found = _CHOICE.findall(record.chain.texts[-1])
    right = record.chain.problem.answer
    if not found:
        return replace(record, outcome=Verdict.UNPARSED)
    is_right = right is not None and found[-1].upper() in right
    return replace(record, outcome=Verdict.CORRECT if is_right else Verdict.INCORRECT)
