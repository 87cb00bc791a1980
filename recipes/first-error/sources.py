"""Real labeled chains, split so that no problem is on two sides.

Trained on: PRM800K (two files), MR-Ben's math, PARC, and a part of PRMBench. Held out: 50 PRM800K
problems. Tested on: those, and ProcessBench gsm8k and math, of which no problem is trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rung.core import Chain, ChainRecord, RungError, Verdict
from rung.data import load, load_problems, problem_key, problem_keys, split_by_problem

PRM800K = ("prm800k_val_decoded.jsonl.gz", "prm800k_phase2_latebench.jsonl.gz")
MR_BEN = "mr_ben.jsonl.gz"
PARC = "parc_perl.jsonl.gz"
PRMBENCH = "prmbench.jsonl.gz"
PROCESSBENCH = "processbench_gsm8k_math.jsonl.gz"
PUBLISHED_SCORES = "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
RESERVED = (
    PROCESSBENCH,
    "problems_gsm8k_test.jsonl.gz",
    "problems_math500.jsonl",
    "bon_math100_qwen_rm8.jsonl.gz",
)
"""Problems that something is measured on, here or in `recipes/real-samples`."""
MR_BEN_DOMAINS = ("math",)
NO_MISTAKES = ("circular", "redundency")
"""Classes of PRMBench whose planted steps are superfluous, not wrong (spelled as there)."""
PRMBENCH_CHAINS = 400
LABEL_SOURCE = "first-error"
"""What the labels of every file are called here: up to the first wrong step, none behind."""
HELD_OUT_PROBLEMS = 50
VALIDATION_FRACTION = 0.06
HELD_OUT_SEED, VALIDATION_SEED = 0, 1
"""Two seeds: with one, both splits would draw the same problems first."""

_NUMBER = re.compile(r"^\s*(?:Step\s*)?\d+\s*[:.)]\s+")
_CHOICE = re.compile(r"choice[\s_:]*\(?([A-E])\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chains:
    """The four sides of the recipe, and how many training chains were dropped for what.

    PARC's and PRMBench's chains stand on the training side alone and are not counted as dropped.
    """

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
    mr_ben = [_unnumbered(_with_outcome(r)) for r in load(data / MR_BEN) if _is_science(r)]
    free = _without([*first, *second, *mr_ben], reserved)
    candidates = _without(first, reserved)
    share = held_out_problems / len(problem_keys(candidates))
    held_out = split_by_problem(candidates, share, HELD_OUT_SEED).held_out
    held_out_keys = problem_keys(held_out)
    kept = _without(free, held_out_keys)
    split = split_by_problem(kept, VALIDATION_FRACTION, VALIDATION_SEED)
    extra = _training_alone(data, reserved | held_out_keys | problem_keys(split.held_out))
    return Chains(
        train=[_one_source(r) for r in [*split.train, *extra]],
        validation=[_one_source(r) for r in split.held_out],
        held_out=held_out,
        processbench=[_judged_part(r) for r in load(data / PROCESSBENCH)],
        dropped_reserved=len(first) + len(second) + len(mr_ben) - len(free),
        dropped_held_out=len(free) - len(kept) - len(held_out),
    )


def is_prm800k(record: ChainRecord) -> bool:
    """Whether a chain comes from PRM800K, not from another file."""
    return str(record.meta["source"]).startswith("prm800k")


def _training_alone(data: Path, taken: set[str]) -> list[ChainRecord]:
    """PARC and a part of PRMBench, up to their first error, without problems of these keys.

    PRMBench changes some questions: neither the changed one nor the original may be taken.
    """
    parc = _without(load(data / PARC), taken)
    planted = [r for r in _without(load(data / PRMBENCH), taken) if _is_mistake(r, taken)]
    planted.sort(key=lambda r: hashlib.blake2b(str(r.chain.id).encode()).digest())
    drawn = [_unnumbered(record) for record in planted[:PRMBENCH_CHAINS]]
    return [_until_first_error(record) for record in [*parc, *drawn]]


def _is_mistake(record: ChainRecord, taken: set[str]) -> bool:
    original = problem_key(record.meta["original_question"] or "")
    return record.meta["classification"] not in NO_MISTAKES and original not in taken


def _until_first_error(record: ChainRecord) -> ChainRecord:
    """What these two files say of steps that build on a mistake is left out."""
    labels = record.labels[0]
    end = len(labels.labels) if labels.first_error is None else labels.first_error + 1
    kept = (*labels.labels[:end], *[None] * (len(labels.labels) - end))
    return replace(record, labels=(replace(labels, labels=kept),))


def _judged_part(record: ChainRecord) -> ChainRecord:
    """The chain up to its first error: no metric reads further, and nothing before changes."""
    labels = record.labels[0]
    if labels.first_error is None:
        return record
    end = labels.first_error + 1
    chain = replace(record.chain, steps=record.chain.steps[:end])
    return replace(record, chain=chain, labels=(replace(labels, labels=labels.labels[:end]),))


def _one_source(record: ChainRecord) -> ChainRecord:
    """`rung train` learns from one label source; here people's and others' labels mix."""
    return replace(record, labels=(replace(record.labels[0], source=LABEL_SOURCE),))


def _unnumbered(record: ChainRecord) -> ChainRecord:
    """The steps without "Step 3: ", which PRM800K's lack: it would tell the files apart."""
    chain = record.chain
    texts = [_NUMBER.sub("", text) or text for text in chain.texts]
    unnumbered = Chain.of(
        chain.problem, texts, answer=chain.answer, id=chain.id, source=chain.source
    )
    return replace(record, chain=unnumbered)


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
