"""Label error over tokens: fixed K, adaptive hard and soft rollouts, OmegaPRM. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import tyro
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
from policy import MAX_TOKENS, open_policy, train_lab_policy, write_chains

from rung.core import ChainRecord, RolloutCount, Sampling, write_records
from rung.core.files import replacing
from rung.core.resume import fingerprint_of
from rung.label import LabLabeler, OmegaRule, RolloutLog, RolloutRule, RolloutSource
from rung.model import weights_hash

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
KS = (16, 8, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("rollout-labels")
    """Where policy, chains, rollouts and results go."""
    policy: Path | None = None
    """A lab policy that is there, as quickstart/policy; without it one is trained."""
    num_demonstrations: int = 12_000
    """Chains that the policy learns from."""
    num_problems: int = 40
    """Problems whose chains are labeled."""
    chains: int = 2
    """Chains a problem."""
    seed: int = 0
    """Of everything."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    folder = recipe.policy or train_lab_policy(recipe.out, recipe.num_demonstrations, recipe.seed)
    policy = open_policy(folder)
    records = write_chains(policy, recipe.num_problems, recipe.chains, recipe.seed + 1)
    write_records(recipe.out / "chains.jsonl.gz", records)
    seeds = {"rollouts": recipe.seed + 2, "references": recipe.seed + 3}
    rows: list[dict[str, Any]] = []
    logs = {name: recipe.out / f"{name}-{seed}.jsonl" for name, seed in seeds.items()}
    made_by = {name: fingerprint_of([], [weights_hash(folder), seeds[name]]) for name in seeds}
    with (
        RolloutLog.open(logs["rollouts"], made_by["rollouts"]) as log,
        RolloutLog.open(logs["references"], made_by["references"]) as other,
    ):
        sampling = {name: Sampling(max_tokens=MAX_TOKENS, seed=seeds[name]) for name in seeds}
        source = RolloutSource(policy, LabLabeler(), sampling["rollouts"], log)
        fresh = RolloutSource(policy, LabLabeler(), sampling["references"], other)
        fixed = RolloutRule(labels="soft", k=KS[0], adaptive=False)
        references = counts_of(records, by_rollouts(records, fixed, fresh))
        baseline: Labeled | None = None
        for name, k, labeled in _methods(records, source):
            baseline = baseline or labeled
            row = {"method": name, "k": k, **_row(records, labeled, baseline, references)}
            print(msgspec.json.encode(row).decode(), file=sys.stderr, flush=True)
            rows.append(row)
    results = {
        "command": shlex.join(["python", "recipes/rollout-labels/run.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {k: v for k, v in asdict(recipe).items() if k not in ("out", "publish")},
        "right_chains": sum(r.outcome is not None and r.outcome.is_correct for r in records),
        "steps_judged": sum(y is not None for r in records for y in r.labels[0].labels),
        "steps_wrong": sum(y == 0 for r in records for y in r.labels[0].labels),
        "num_chains": len(records),
        "rows": rows,
    }
    _write(results, recipe.out / "results.json")
    print(table(msgspec.to_builtins(results, enc_hook=str)))
    if recipe.publish:
        publish(results)


def table(results: Mapping[str, Any]) -> str:
    """One row a method and K, the baseline first."""
    head = ["labels", "K", "rollouts", "tokens", "of the baseline's tokens", "wrong labels, %"]
    head += ["minus baseline", "first error missed, %", "error of values"]
    base = results["rows"][0]
    lines = [head, ["---"] * len(head)]
    for row in results["rows"]:
        lines.append(
            [
                row["method"],
                str(row["k"]),
                f"{row['rollouts']} ({_percent(row['rollouts'] / base['rollouts'])} %)",
                str(row["tokens"]),
                f"{_percent(row['tokens'] / base['tokens'])} %",
                _estimate(row["label_error"]),
                _estimate(row["minus_baseline"], sign="+"),
                _estimate(row["first_error_missed"]),
                "" if row["value_error"] is None else f"{row['value_error']:.3f}",
            ]
        )
    said = f"{results['num_chains']} chains, {results['right_chains']} with a right answer; "
    said += f"{results['steps_judged']} steps judged, {results['steps_wrong']} of them wrong. "
    said += f"Made by `{results['command']}` on {results['date']}."
    return said + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results beside this file and put their table into README.md."""
    _write(results, HERE / "results.json")
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = table(msgspec.json.decode((HERE / "results.json").read_bytes()))
    with replacing(readme) as aside:
        aside.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}", encoding="utf-8")


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


def _write(results: Mapping[str, Any], file: Path) -> None:
    with replacing(file) as aside:
        told = msgspec.json.encode(results, enc_hook=str)
        aside.write_bytes(msgspec.json.format(told, indent=1) + b"\n")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _estimate(found: Mapping[str, float], sign: str = "") -> str:
    value, low, high = (f"{100 * found[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main(tyro.cli(Recipe))
