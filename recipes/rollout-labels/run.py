"""Label error over tokens: fixed K, adaptive hard and soft rollouts, OmegaPRM. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))

import msgspec
from command import run_command
from measure import (
    Labeled,
    by_omega,
    by_rollouts,
    counts_of,
    first_error_missed,
    hardened,
    label_error,
    label_error_gap,
    value_error,
)
from pages import made_by, write_results
from picture import PICTURE, write_picture
from policy import MAX_TOKENS, train_lab_policy, write_chains
from table import publish, show

from rung.core import ChainRecord, Generator, RolloutCount, Sampling, write_records
from rung.core.resume import fingerprint_of
from rung.label import LabLabeler, OmegaRule, RolloutLog, RolloutRule, RolloutSource
from rung.loop.policy import open_policy
from rung.model import weights_hash

KS = (16, 8, 4)
_NOT_SETTINGS = ("out", "policy", "publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("rollout-labels")
    """Where policy, chains, rollouts and results go."""
    policy: Path | None = None
    """A lab policy that is there, as quickstart/policy; without it one is trained."""
    num_demonstrations: int = 12_000
    """Chains that the policy learns from."""
    num_problems: int = 100
    """Problems whose chains are labeled."""
    chains: int = 2
    """Chains a problem."""
    seed: int = 0
    """Of everything."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file, and draw the picture of
    docs/results.md."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    folder = recipe.policy or train_lab_policy(recipe.out, recipe.num_demonstrations, recipe.seed)
    policy = open_policy(folder)
    records = write_chains(policy, recipe.num_problems, recipe.chains, recipe.seed + 1)
    write_records(recipe.out / "chains.jsonl.gz", records)
    results = {
        **made_by("recipes/rollout-labels/run.py"),
        "settings": {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS},
        "right_chains": sum(r.outcome is not None and r.outcome.is_correct for r in records),
        "steps_judged": sum(y is not None for r in records for y in r.labels[0].labels),
        "steps_wrong": sum(y == 0 for r in records for y in r.labels[0].labels),
        "num_chains": len(records),
        "rows": _rows(recipe, folder, policy, records),
    }
    write_results(results, recipe.out / "results.json")
    write_picture(results, recipe.out / "label-error.svg")
    print(show(results))
    if recipe.publish:
        publish(results)
        write_picture(results, PICTURE)


def _rows(
    recipe: Recipe, folder: Path, policy: Generator, records: Sequence[ChainRecord]
) -> list[dict[str, Any]]:
    """What each method's labels cost and how wrong they are."""
    with _source(recipe, folder, policy, "references", recipe.seed + 3) as source:
        fixed = RolloutRule(labels="soft", k=KS[0], adaptive=False)
        references = counts_of(records, by_rollouts(records, fixed, source))
    rows: list[dict[str, Any]] = []
    baseline: Labeled | None = None
    with _source(recipe, folder, policy, "rollouts", recipe.seed + 2) as source:
        for name, k, labeled in _methods(records, source):
            baseline = baseline or labeled
            rows.append({"method": name, "k": k, **_row(records, labeled, baseline, references)})
            print(msgspec.json.encode(rows[-1]).decode(), file=sys.stderr, flush=True)
    return rows


@contextlib.contextmanager
def _source(
    recipe: Recipe, folder: Path, policy: Generator, name: str, seed: int
) -> Iterator[RolloutSource]:
    made_by = fingerprint_of([], [weights_hash(folder), seed])
    with RolloutLog.open(recipe.out / f"{name}-{seed}.jsonl", made_by) as log:
        sampling = Sampling(max_tokens=MAX_TOKENS, seed=seed)
        yield RolloutSource(policy, LabLabeler(), sampling, log)


def _methods(
    records: Sequence[ChainRecord], source: RolloutSource
) -> Iterator[tuple[str, int, Labeled]]:
    """Every method's labels, the baseline first. All draw from the same rollouts."""
    for k in KS:
        rule = RolloutRule(labels="soft", k=k, adaptive=False)
        yield "fixed", k, by_rollouts(records, rule, source)
    for k in (2 * KS[0], *KS):
        yield "adaptive, hard", k, by_rollouts(records, RolloutRule(k=k), source)
    for k in KS:
        yield "adaptive, soft", k, by_rollouts(records, RolloutRule(labels="soft", k=k), source)
    wide = RolloutRule(labels="soft", k=KS[0], margin=0.25)
    yield "adaptive, soft, margin 0.25", KS[0], by_rollouts(records, wide, source)
    for k in (2 * KS[0], *KS):
        yield "omega", k, by_omega(records, OmegaRule(k=k), source)


def _row(
    records: Sequence[ChainRecord],
    labeled: Labeled,
    baseline: Labeled,
    references: Mapping[str, RolloutCount],
) -> dict[str, Any]:
    hard = hardened(labeled)
    is_soft = any(y not in (None, 0.0, 1.0) for given in labeled.labels for y in given.labels)
    return {
        "rollouts": labeled.spent.rollouts,
        "tokens": labeled.spent.tokens,
        "label_error": label_error(records, hard),
        "minus_baseline": label_error_gap(records, hard, hardened(baseline)),
        "first_error_missed": first_error_missed(records, hard),
        "value_error": value_error(records, labeled, references) if is_soft else None,
    }


if __name__ == "__main__":
    run_command(main, Recipe, "rollout-labels", __doc__)
