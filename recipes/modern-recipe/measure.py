"""What one chain, a vote, the PRM's best of N and a search get right with each policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from stages import POLICIES, scored_file, searched_file

from rung.core import Verdict, read_records
from rung.eval import step_metrics
from rung.eval.expected import accuracies
from rung.eval.pools import gather, same_answer
from rung.eval.statistics import (
    RESAMPLES,
    Estimate,
    FloatArray,
    bootstrap_means,
    estimate,
    paired_differences,
    student_shifts,
    two_level_weights,
)

RULES = {"one": "random", "majority": "majority", "prm_min": "prm_min"}
"""Columns, and the rules of best-of-N that they are."""
COMPARED = (
    (("rl", "one"), ("sft", "prm_min")),
    (("rl", "one"), ("rl-outcome", "one")),
    (("rl", "majority"), ("rl-outcome", "majority")),
    *(((policy, "prm_min"), (policy, "majority")) for policy in POLICIES),
)
VOTE_SUBSETS = 256
Right = Mapping[tuple[str, str], FloatArray]
"""By policy and column, each problem's `right_P`, those of all trainings in a row."""


def measured(folders: Sequence[Path], n: int) -> dict[str, Any]:
    """Shares of the problems of all trainings, with intervals; how the PRM ranks steps."""
    by_training = [_right(folder, n) for folder in folders]
    right = {key: np.concatenate([one[key] for one in by_training]) for key in by_training[0]}
    sizes = [len(one["sft", "one"]) for one in by_training]
    weights_RP = two_level_weights(sizes)
    rows = [
        {
            "policy": policy,
            **{rule: _share(right[policy, rule], weights_RP) for rule in (*RULES, "beam")},
            "step_auroc": _step_auroc([scored_file(folder, policy) for folder in folders]),
        }
        for policy in POLICIES
    ]
    differences = _differences(right, weights_RP)
    found = {"num_problems": sum(sizes), "rows": rows, "differences": differences}
    return msgspec.to_builtins(found)


def _right(folder: Path, n: int) -> dict[tuple[str, str], FloatArray]:
    """One training's."""
    found: dict[tuple[str, str], FloatArray] = {}
    for policy in POLICIES:
        records = read_records(scored_file(folder, policy))
        pools, names, _ = gather(records, prm="prm", orm=None, answer_key=same_answer)
        right = accuracies(pools, names, (n,), verified=False, draws=VOTE_SUBSETS, seed=0)
        found |= {(policy, column): right[rule][:, 0] for column, rule in RULES.items()}
        searched = read_records(searched_file(folder, policy))
        hits = [float(record.outcome is Verdict.CORRECT) for record in searched]
        found[policy, "beam"] = np.array(hits)
    return found


def _share(right_P: FloatArray, weights_RP: FloatArray) -> dict[str, float]:
    found = bootstrap_means(right_P[:, None], weights_RP)
    return dict(zip(("accuracy", "low", "high"), (float(value[0]) for value in found), strict=True))


def _step_auroc(files: Sequence[Path]) -> Estimate | None:
    """The mean over trainings with its t interval; of one training its interval over problems.

    None: no training's chains have right steps and wrong ones.
    """
    found = [step_metrics(read_records(file), scorer="prm").auroc for file in files]
    known = [one for one in found if one is not None]
    if len(known) < 2:
        return known[0] if known else None
    values_G = np.array([one.value for one in known])
    shifts_RG = student_shifts(np.random.default_rng(0), RESAMPLES, len(known))
    mean = float(values_G.mean())
    return estimate(mean, np.clip(mean + shifts_RG @ values_G, 0.0, 1.0))


def _differences(right: Right, weights_RP: FloatArray) -> list[dict[str, Any]]:
    gaps_PK = np.stack([right[one] - right[other] for one, other in COMPARED], axis=1)
    return [
        {"of": one, "minus": other, **asdict(found)}
        for (one, other), found in zip(
            COMPARED, paired_differences(gaps_PK, weights_RP), strict=True
        )
    ]
