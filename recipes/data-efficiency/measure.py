"""Accuracy and the PRM's lead for every number of labeled chains, and what choosing them buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np
from cells import CHOSEN, RANDOM, first, read_scores, with_more
from lab_runs import LabRun
from pages import points
from picks import picks

from rung.core import ChainRecord
from rung.eval import best_of_n_over_seeds
from rung.eval.statistics import FloatArray, bootstrap_means, paired_differences, two_level_weights

RULE, PRM = "min", "prm_min"
"""The rule was fixed before anything was measured."""
LAST = ("last",)
"""An ORM's."""
FIRST = "first"
"""The PRM that chooses."""
ARMS = (RANDOM, *CHOSEN)
TRUTH = "lab"


def size_row(
    runs: Sequence[LabRun], folders: Sequence[Path], count: int, ns: Sequence[int], epochs: int
) -> dict[str, Any]:
    """What PRM and ORM of so many chains are worth, over all runs and for each."""
    scored = [
        _scored(run, folder, {"prm": f"prm-{count}", "orm": f"orm-{count}"})
        for run, folder in zip(runs, folders, strict=True)
    ]
    found = best_of_n_over_seeds(scored, prm="prm", orm="orm", ns=ns)
    return {
        "chains": count,
        "steps": fmean(num_labels(first(run, count)) for run in runs),
        "epochs": epochs,
        "num_problems": found.num_problems,
        "curves": msgspec.to_builtins(
            {name: found.curves[name] for name in (PRM, "orm", "majority", "oracle")}
        ),
        "gap": msgspec.to_builtins(found.gaps[f"{PRM}_minus_orm"]),
        "by_seed": [_lead(one, ns) for one in scored],
    }


def _lead(scored: Sequence[ChainRecord], ns: Sequence[int]) -> list[float]:
    """The PRM's over the ORM on one run, for every n."""
    (prm_PN,), (orm_PN,) = (picks(scored, *how, ns) for how in (("prm", (RULE,)), ("orm", LAST)))
    return (prm_PN - orm_PN).mean(axis=0).tolist()


def num_labels(records: Sequence[ChainRecord]) -> int:
    """Steps that the verifier judged: up to the first error."""
    return sum(
        label is not None
        for record in records
        for labels in record.labels
        if labels.source == TRUTH
        for label in labels.labels
    )


def choice(
    runs: Sequence[LabRun], folders: Sequence[Path], start: int, ns: Sequence[int]
) -> dict[str, Any]:
    """PRMs that learned from as many more chains, chosen or drawn, on the same problems."""
    scorers = {FIRST: f"prm-{start}"} | {arm: f"prm-{arm}-{start}" for arm in ARMS}
    scored = [_scored(run, folder, scorers) for run, folder in zip(runs, folders, strict=True)]
    picked = {arm: [picks(one, arm, (RULE,), ns)[0] for one in scored] for arm in scorers}
    weights_RP = two_level_weights([len(one) for one in picked[FIRST]])
    together = {arm: np.concatenate(of_arm) for arm, of_arm in picked.items()}
    gains = {
        arm: paired_differences(together[arm] - together[RANDOM], weights_RP) for arm in CHOSEN
    }
    return {
        "start": start,
        "ns": list(ns),
        "accuracy": {arm: _means(of_arm, weights_RP) for arm, of_arm in together.items()},
        "minus_random": msgspec.to_builtins(gains),
        "by_seed": {arm: _leads(picked[arm], picked[RANDOM]) for arm in CHOSEN},
        "labeled": {arm: _labeled(runs, folders, start, arm) for arm in ARMS},
    }


def _leads(chosen: Sequence[FloatArray], drawn: Sequence[FloatArray]) -> list[list[float]]:
    """For every seed and n."""
    pairs = zip(chosen, drawn, strict=True)
    return [(ours_PN - theirs_PN).mean(axis=0).tolist() for ours_PN, theirs_PN in pairs]


def _scored(run: LabRun, folder: Path, scorers: Mapping[str, str]) -> list[ChainRecord]:
    """The test chains with scores, each scorer's under the name that it is measured by."""
    records = run.records("test")
    for name, file in scorers.items():
        scores = read_scores(folder / "scores" / f"{file}.json", name)
        pairs = zip(records, scores, strict=True)
        records = [record.with_scores(found) for record, found in pairs]
    return records


def _means(right_PN: FloatArray, weights_RP: FloatArray) -> list[dict[str, float]]:
    columns = zip(*bootstrap_means(right_PN, weights_RP), strict=True)
    return [dict(zip(("value", "low", "high"), map(float, c), strict=True)) for c in columns]


def _labeled(
    runs: Sequence[LabRun], folders: Sequence[Path], start: int, arm: str
) -> dict[str, float]:
    """The added chains: labels a run, and the share of chains that end in a wrong answer."""
    added = [
        with_more(run, start, folder / f"{arm}-{start}.json")[start:]
        for run, folder in zip(runs, folders, strict=True)
    ]
    wrong = [r.outcome is not None and not r.outcome.is_correct for one in added for r in one]
    return {"steps": fmean(map(num_labels, added)), "wrong": fmean(wrong)}


def claims(
    sizes: Sequence[Mapping[str, Any]], choices: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the field says, with the most chains to pick from; what fails stands first."""
    n = sizes[0]["gap"][-1]["n"]
    fewest = next((row for row in sizes if _clear(sizes, row)), None)
    found = [
        {
            "claim": f"the PRM is ahead of the ORM at N = {n}, however few chains are labeled",
            "holds": fewest is sizes[0],
            "said": "at no number of chains and above is it clear of 0"
            if fewest is None
            else f"clear of 0 from {fewest['chains']:,} chains on;"
            f" with {sizes[0]['chains']:,}: {points(sizes[0]['gap'][-1])}",
        },
        *(_gain(row, arm, n) for row in choices for arm in CHOSEN),
    ]
    return sorted(found, key=lambda claim: bool(claim["holds"]))


def _gain(row: Mapping[str, Any], arm: str, n: int) -> dict[str, Any]:
    gain = row["minus_random"][arm][-1]
    kind = {"doubt": "doubted"}.get(arm, arm)
    claim = f"{row['start']:,} {kind} chains teach more than as many random ones, N = {n}"
    return {"claim": claim, "holds": gain["low"] > 0, "said": points(gain)}


def _clear(sizes: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> bool:
    """Whether the PRM's lead is clear of 0 with so many chains and with all larger numbers."""
    return all(r["gap"][-1]["low"] > 0 for r in sizes if r["chains"] >= row["chains"])
