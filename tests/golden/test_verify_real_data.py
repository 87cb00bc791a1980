"""Verdicts on real model solutions agree with the data's own."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rung.verify import AnswerVerifier, check_step, extract_answer

pytestmark = pytest.mark.shared_data


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream]


def test_zeroeval_correctness_is_reproduced(shared_data: Path) -> None:
    """The column took the last number of an answer; we read "3 + 4 = 7" as 7 and 2:00 as no 2."""
    sample = rows(shared_data / "bon_zeroeval_gsm8k_12models.jsonl.gz")[::4]
    pairs = [(row["answer"], s["final"]) for row in sample for s in row["samples"]]
    known = [s["correct"] for row in sample for s in row["samples"]]
    with AnswerVerifier(workers=1) as verifier:
        verdicts = verifier.compare(pairs)
    agreed = sum(v.is_correct == bool(k) for v, k in zip(verdicts, known, strict=True))
    lost = sum(bool(k) and not v.is_correct for v, k in zip(verdicts, known, strict=True))
    assert agreed / len(known) > 0.985
    assert lost / len(known) < 0.002


def test_gsm8k_solutions_are_read_and_judged_as_openai_did(shared_data: Path) -> None:
    sample = rows(shared_data / "bon_gsm8k_openai_4.jsonl.gz")
    pairs = [(r["answer"], extract_answer(s["text"])) for r in sample for s in r["samples"]]
    known = [s["correct"] for r in sample for s in r["samples"]]
    with AnswerVerifier(workers=1) as verifier:
        assert [v.is_correct for v in verifier.compare(pairs)] == known


def test_no_answer_that_prm800k_calls_correct_is_lost(shared_data: Path) -> None:
    chains = rows(shared_data / "prm800k_val_decoded.jsonl.gz")
    known = [row for row in chains if row["final_correct"] and row["answer"]]
    pairs = [(row["answer"], extract_answer(row["steps"][-1])) for row in known]
    with AnswerVerifier(workers=2) as verifier:
        assert all(verdict.is_correct for verdict in verifier.compare(pairs))


def test_gsm8k_solutions_are_hardly_ever_flagged(shared_data: Path) -> None:
    """All 23 flagged steps of the 34,197 are slips of GSM8K's authors, such as 2*8 = 24."""
    solutions = rows(shared_data / "problems_gsm8k_train.jsonl.gz")[::6]
    steps = [step for row in solutions for step in row["solution"].split("\n")]
    verdicts = [check_step(step).is_right for step in steps]
    assert verdicts.count(False) / len(steps) < 0.001
    assert verdicts.count(True) / len(steps) > 0.6


def test_the_calculator_is_believed_on_processbench(shared_data: Path) -> None:
    chains = rows(shared_data / "processbench_gsm8k_math.jsonl.gz")
    right = [row for row in chains if row["first_error"] == -1]
    alarms = [s for row in right for s in row["steps"] if check_step(s).is_right is False]
    assert alarms == []
    errors = [row["steps"][row["first_error"]] for row in chains if row["first_error"] >= 0]
    assert sum(check_step(step).is_right is False for step in errors) >= 60
