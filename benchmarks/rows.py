"""The labeled chains that the sides train on, as TRL's rows: real problems, steps and ratings.

A row is ``{"prompt", "completions", "labels"}``, a label for every step. What chains share is
written out in each, as TRL needs it; rung finds it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rung.core import ChainRecord, RungError
from rung.data import load

CHAINS = "prm800k_val_decoded.jsonl.gz"
"""PRM800K solutions with their labels; without the alternatives to their steps."""
RAW = "prm800k_raw_examples.jsonl"
"""Rows of PRM800K as published, with the rated alternatives to each step."""
MAX_CHARS = 1500
"""Of a question with a chain: fits into 1,024 tokens, beyond which both sides cut."""
Row = dict[str, Any]


def independent(num_chains: int, data: Path) -> list[Row]:
    """One chain each of so many problems."""
    return [rows[0] for rows in _by_problem(data / CHAINS)][:num_chains]


def several_a_question(num_questions: int, data: Path, num_chains: int = 8) -> list[Row]:
    """`num_chains` chains each of so many problems."""
    enough = [rows[:num_chains] for rows in _by_problem(data / CHAINS) if len(rows) >= num_chains]
    return [row for rows in enough[:num_questions] for row in rows]


def alternatives(num_rows: int, data: Path) -> list[Row]:
    """PRM800K's own rows, flattened: the solution, and a chain for each step not chosen.

    TRL's script for PRM800K flattens so, too (examples/datasets/prm800k.py). The test splits'
    examples repeat the training splits' and count once. Those with fewest chains come first.
    """
    by_problem = sorted(_by_problem(data / RAW), key=len)
    return [row for rows in by_problem[:num_rows] for row in rows]


def _by_problem(path: Path) -> list[list[Row]]:
    if not path.exists():
        raise RungError(f"there is no {path}; --data names the folder of real data")
    found: dict[str, dict[tuple[str, ...], Row]] = defaultdict(dict)
    for row in _rows(load(path)):
        if len(row["prompt"]) + sum(map(len, row["completions"])) <= MAX_CHARS:
            found[row["prompt"]].setdefault(tuple(row["completions"]), row)
    return [list(rows.values()) for rows in found.values()]


def _rows(records: Iterable[ChainRecord]) -> Iterable[Row]:
    """Chains up to their last label. A step that a labeler wrote has no rating: it is right."""
    for record in records:
        labels = list(record.labels_from("human").labels if record.labels else ())
        while labels and labels[-1] is None:
            labels.pop()
        if labels:
            yield {
                "prompt": record.chain.problem.question,
                "completions": list(record.chain.texts[: len(labels)]),
                "labels": [label is None or label >= 0.5 for label in labels],
            }
