"""One PRM per source of labels, all tested alike. See README.md.

Stopped and run again, it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "rollout-labels"))

import msgspec
from command import run_command
from evaluate import estimates, measures
from pages import made_by, write_results
from policy import MAX_TOKENS, train_lab_policy, write_chains
from report import publish, show
from sources import TRUTH, Family, Labels, Source, plain_sources, rolled_out

from rung.core import ChainRecord, Sampling, StepScores, read_records, write_records
from rung.core.files import replacing
from rung.core.resume import fingerprint_of
from rung.label import LabLabeler, RolloutLog, RolloutSource, SourceNoise, measure_noise
from rung.label.step_table import step_table
from rung.loop.policy import open_policy
from rung.loop.quickstart import Quickstart
from rung.loop.stages import Stages
from rung.model import weights_hash
from rung.score import load_scorer
from rung.train import RewardTraining, train_reward

FAMILIES = (
    Family.named("judge", has_blind_spots=False),
    Family.named("blind judge", has_blind_spots=True),
)
_NOT_SETTINGS = ("out", "publish", "policy", "seeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The defaults make the numbers in README.md."""

    out: Path = Path("label-sources")
    """Where policy, chains, labels, PRMs and results go."""
    policy: Path | None = None
    """A lab policy that is there, as quickstart/policy; without it one is trained."""
    num_demonstrations: int = 12_000
    """Chains that the policy learns from."""
    train_problems: int = 2_000
    """Problems whose chains every source labels."""
    train_chains: int = 2
    """Chains a problem."""
    trusted_problems: int = 50
    """Problems with as many chains whose exact labels are known: for errors and thresholds."""
    test_problems: int = 300
    test_chains: int = 16
    """N of best-of-N."""
    epochs: int = 10
    seeds: int = 5
    """PRMs a source."""
    seed: int = 0
    """Of everything else."""
    publish: bool = False
    """Put what came out into results.json and README.md beside this file."""


def main(recipe: Recipe) -> None:
    """All of it, in order."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in _NOT_SETTINGS}
    recipe.out.mkdir(parents=True, exist_ok=True)
    stages = Stages.open(recipe.out, settings)
    folder = recipe.policy or train_lab_policy(recipe.out, recipe.num_demonstrations, recipe.seed)
    stages.run("sample", lambda: _sample(recipe, folder))
    stages.run("roll out", lambda: _roll_out(recipe, folder))
    train, trusted, test = (_read(recipe, name) for name in ("rolled", "trusted", "test"))
    labels: dict[str, Labels] = {}
    for family in FAMILIES:
        labels[family.name] = family.label(train, trusted)
        train = labels[family.name].records
    write_records(recipe.out / "labeled.jsonl.gz", train)
    sources = plain_sources(FAMILIES[0].name)
    for family in FAMILIES:
        sources += family.sources((labels[family.name].by_trusted.overall,))
    measured = {source.name: list[Any]() for source in sources}
    for seed in range(recipe.seeds):
        for source in sources:
            scores = _scores(recipe, folder, source, seed, train, [*test, *trusted])
            parts = scores[: len(test)], scores[len(test) :]
            measured[source.name].append(measures(test, parts[0], trusted, parts[1]))
    found = estimates(measured, {s.name: s.judge for s in sources}, recipe.test_problems)
    tokens = msgspec.json.decode((recipe.out / "tokens.json").read_bytes())
    results = {
        **made_by("recipes/label-sources/run.py"),
        "settings": {**settings, "seeds": recipe.seeds},
        "chains": {"train": len(train), "trusted": len(trusted), "test": len(test)},
        "pass_at_1": sum(r.outcome is not None and r.outcome.is_correct for r in test) / len(test),
        "judges": [_errors(family, labels[family.name], train) for family in FAMILIES],
        "rows": [_row(source, train, trusted, tokens, found[source.name]) for source in sources],
    }
    write_results(results, recipe.out / "results.json")
    print(show(results))
    if recipe.publish:
        publish(results)


def _read(recipe: Recipe, name: str) -> list[ChainRecord]:
    return list(read_records(recipe.out / f"{name}.jsonl.gz"))


def _sample(recipe: Recipe, folder: Path) -> None:
    policy = open_policy(folder)
    splits = {
        "train": (recipe.train_problems, recipe.train_chains),
        "trusted": (recipe.trusted_problems, recipe.train_chains),
        "test": (recipe.test_problems, recipe.test_chains),
    }
    for k, (name, (problems, chains)) in enumerate(splits.items()):
        records = write_chains(policy, problems, chains, recipe.seed + 1 + k)
        write_records(recipe.out / f"{name}.jsonl.gz", records)


def _roll_out(recipe: Recipe, folder: Path) -> None:
    made_by = fingerprint_of([], [weights_hash(folder), recipe.seed])
    with RolloutLog.open(recipe.out / "rollouts.jsonl", made_by) as log:
        sampling = Sampling(max_tokens=MAX_TOKENS, seed=recipe.seed + 9)
        source = RolloutSource(open_policy(folder), LabLabeler(), sampling, log)
        records, tokens = rolled_out(_read(recipe, "train"), source)
    write_records(recipe.out / "rolled.jsonl.gz", records)
    (recipe.out / "tokens.json").write_bytes(msgspec.json.encode(tokens))


def _scores(
    recipe: Recipe,
    folder: Path,
    source: Source,
    seed: int,
    train: Sequence[ChainRecord],
    records: Sequence[ChainRecord],
) -> list[StepScores]:
    """What the source's PRM of this seed says of the records; it is trained where it is missing."""
    name = f"{source.name.replace(': ', '-').replace(' ', '-').replace(',', '')}-{seed}"
    path = recipe.out / "scores" / f"{name}.json"
    if not path.exists():
        how = replace(Quickstart().prm, epochs=recipe.epochs, seed=recipe.seed + seed)
        training = RewardTraining(
            kind="prm",
            trunk=folder,
            label_source=source.labels,
            noise=source.noise,
            optimization=how,
        )
        report = train_reward(training, train, [], recipe.out / "prms" / name)
        print(f"{name}: {report.seconds:.0f} s", file=sys.stderr, flush=True)
        scorer = load_scorer(recipe.out / "prms" / name)
        scores = scorer.score([record.chain for record in records])
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as aside:
            aside.write_bytes(msgspec.json.encode(scores))
    return msgspec.json.decode(path.read_bytes(), type=list[StepScores])


def _errors(family: Family, labels: Labels, train: Sequence[ChainRecord]) -> dict[str, Any]:
    """The plain judge's two rates: on all training chains, and as they were estimated."""
    table = step_table(train, [family.name, TRUTH])
    told = {
        "all training chains": measure_noise(table, family.name, table.said_SL[:, 1]),
        "trusted chains": labels.by_trusted,
        "Dawid-Skene": labels.by_dawid_skene,
    }
    return {"judge": family.name, **{name: _rates(noise) for name, noise in told.items()}}


def _rates(noise: SourceNoise) -> list[float]:
    return [noise.overall.says_right_of_wrong, noise.overall.says_right_of_right]


def _row(
    source: Source,
    train: Sequence[ChainRecord],
    trusted: Sequence[ChainRecord],
    tokens: dict[str, int],
    found: dict[str, Any],
) -> dict[str, Any]:
    """How good the labels are, what they cost, and what the PRMs are worth."""
    table = step_table(train, list(dict.fromkeys([source.labels, TRUTH])))
    said_S, truth_S = table.said_SL[:, 0], table.said_SL[:, -1]
    is_judged_S = truth_S == truth_S
    is_labeled_S = is_judged_S & (said_S == said_S)
    return {
        "source": source.name,
        "judge": source.judge,
        "labeled": float(is_labeled_S.sum() / is_judged_S.sum()),
        "wrong_labels": float((said_S != truth_S)[is_labeled_S].mean()),
        "rollout_tokens": sum(tokens[name] for name in source.rollouts),
        "judgings": source.judgings * len(train),
        "trusted_chains": len(trusted) if source.needs_trusted else 0,
        **found,
    }


if __name__ == "__main__":
    run_command(main, Recipe, "label-sources", __doc__)
