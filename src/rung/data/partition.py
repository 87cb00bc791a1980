"""Problems apart: no problem on both sides of a split, and none that another file has."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

from rung.core.errors import RungError
from rung.core.types import ChainRecord, Problem

_SET_ASIDE = re.compile(r"[\s\\$]+")


class Split(NamedTuple):
    """Two lists of records that share no problem, each in the order of its source."""

    train: list[ChainRecord]
    held_out: list[ChainRecord]


def problem_key(question: str) -> str:
    r"""What makes two questions the same: their text without case, white space, `\` and `$`.

    Ids don't count: copies of one problem carry different ids, and the same text is set with
    "\$1.24" here and "$1.24" there.
    """
    return _SET_ASIDE.sub("", unicodedata.normalize("NFKC", question).casefold())


def split_by_problem(
    records: Iterable[ChainRecord], validation_fraction: float, seed: int
) -> Split:
    """Hold out a share of the problems, with all their chains.

    Which problems are held out depends on their text and the seed, not on the order of records.

    Args:
        records: Chains; those of one problem (by `problem_key`) stay together.
        validation_fraction: Share of the problems to hold out, in (0, 1). At least one problem
            is held out and at least one is not.
        seed: Another seed holds out other problems.

    Raises:
        RungError: The fraction is not in (0, 1), or there are fewer than two problems.
    """
    if not 0.0 < validation_fraction < 1.0:
        raise RungError(f"the held-out fraction is {validation_fraction}, expected one in (0, 1)")
    keyed = [(problem_key(record.chain.problem.question), record) for record in records]
    keys = sorted({key for key, _ in keyed}, key=lambda key: _rank(key, seed))
    if len(keys) < 2:
        raise RungError(f"a split by problem needs two problems or more, here are {len(keys)}")
    num_held_out = min(max(round(validation_fraction * len(keys)), 1), len(keys) - 1)
    held_out = set(keys[:num_held_out])
    return Split(
        [record for key, record in keyed if key not in held_out],
        [record for key, record in keyed if key in held_out],
    )


def problem_keys(owners: Iterable[Problem | ChainRecord]) -> set[str]:
    """The keys of some problems, or of the problems that some records are for."""
    problems = (o if isinstance(o, Problem) else o.chain.problem for o in owners)
    return {problem_key(problem.question) for problem in problems}


def without_problems(records: Iterable[ChainRecord], keys: Set[str]) -> Iterator[ChainRecord]:
    """The records whose problem has none of these keys; keeps a test set out of training."""
    return (r for r in records if problem_key(r.chain.problem.question) not in keys)


def _rank(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=16).digest()
