"""The recipe that compares sources of labels: its judges, its measures, and all of it in small."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rung.core import ChainRecord, StepScores, write_records
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.eval import best_of_n, step_metrics
from rung.label import LabLabeler, measure_noise, with_outcomes
from rung.label.step_table import step_table
from rung.loop.stages import Stages
from rung.model.tiny import make_tiny
from scripts import modules_of, run_script

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "label-sources"
PARTS = ("evaluate", "judges", "measure", "policy", "report", "sources")
SIZES = {"train_problems": 24, "train_chains": 1, "trusted_problems": 24}
SIZES |= {"test_problems": 6, "test_chains": 2, "epochs": 1}


@pytest.fixture(scope="module")
def recipe():
    """The recipe's modules."""
    with modules_of(RECIPE):
        import run

        yield {"run": run, **{name: sys.modules[name] for name in PARTS}}


def chains(num_problems: int, n: int, seed: int) -> list[ChainRecord]:
    """The demonstrator's chains with exact labels and outcomes."""
    problems = [p for p in make_problems(Lab(), num_problems, seed=seed) for _ in range(n)]
    written = list(demonstrations(make_demonstrator(Lab(), seed=0), problems, seed=seed))
    lab = LabLabeler()
    pairs = zip(written, lab.label(written), strict=True)
    return with_outcomes([ChainRecord(chain, (labels,)) for chain, labels in pairs], lab)


@pytest.mark.parametrize("has_blind_spots", [False, True])
def test_a_made_judge_errs_as_often_as_it_says_and_the_same_way_again(
    recipe: dict[str, ModuleType], has_blind_spots: bool
):
    judges, records = recipe["judges"], chains(1500, 1, 0)
    judge = judges.MadeJudge("judge", has_blind_spots)
    judged = judges.judged(records, [judge])
    assert judged == judges.judged(records, [judge])
    table = step_table(judged, ["judge", "lab"])
    noise = measure_noise(table, "judge", table.said_SL[:, 1]).overall
    about = 0.15 if has_blind_spots else 0.04  # which facts are blind spots is luck
    assert noise.says_right_of_wrong == pytest.approx(judges.MISSED, abs=about)
    assert noise.says_right_of_right == pytest.approx(1 - judges.FALSE_ALARMS, abs=0.04)


def test_the_measures_are_those_of_rung_eval(recipe: dict[str, ModuleType]):
    records, rng = chains(12, 8, 1), np.random.default_rng(0)
    scores = [StepScores(tuple(rng.random(len(r.chain.steps))), "prm") for r in records]
    scored = [r.with_scores(s) for r, s in zip(records, scores, strict=True)]
    found = recipe["evaluate"].measures(records, scores, records, scores)
    even_P = np.ones(12)
    steps = step_metrics(scored, resamples=10)
    picked = best_of_n(scored, prm="prm", orm=None, resamples=10)
    assert steps.auroc and steps.first_error.f1 and steps.calibration.brier
    assert found["auroc"](even_P) == pytest.approx(steps.auroc.value)
    assert found["f1"](even_P) == pytest.approx(steps.first_error.f1.value)
    assert found["brier"](even_P) == pytest.approx(steps.calibration.brier.value)
    assert found["best_of_n"](even_P) == pytest.approx(picked.at("prm_min", 8).accuracy)
    assert found["f1_tuned"](even_P) >= found["f1"](even_P)


def test_the_recipe_runs_and_goes_on(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    out, policy = tmp_path / "out", tmp_path / "policy"
    texts = [t for r in chains(20, 1, 0) for t in (r.chain.problem.question, *r.chain.texts)]
    make_tiny(policy, texts, seed=0, width=16, num_layers=1, max_tokens=256)
    told = asdict(recipe["run"].Recipe(**SIZES))
    settings = {k: v for k, v in told.items() if k not in recipe["run"]._NOT_SETTINGS}
    out.mkdir()

    def sample() -> None:
        sizes = {"train": (24, 1), "trusted": (24, 1), "test": (6, 2)}
        for seed, (name, (problems, n)) in enumerate(sizes.items()):
            write_records(out / f"{name}.jsonl.gz", chains(problems, n, seed))

    Stages.open(out, settings).run("sample", sample)
    options = [f"--{k.replace('_', '-')}={v}" for k, v in SIZES.items()]
    options += ["--out", str(out), "--seeds", "1", "--policy", str(policy)]
    first, again = (run_script(RECIPE / "run.py", *options) for _ in range(2))
    assert "| judge: noise-aware loss | " in first.out
    assert first.out == again.out
    assert "noise-aware" not in again.err, "nothing is trained again"


def test_the_tables_and_the_picture_are_those_of_the_results(recipe: dict[str, ModuleType]):
    results = json.loads((RECIPE / "results.json").read_bytes())
    report = recipe["report"]
    assert report.show(results) in (RECIPE / "README.md").read_text()
    assert report.short(results) in report.RESULTS_PAGE.read_text()
    drawn = report.picture(results)
    assert (report.IMAGES / "label-sources.svg").read_text() == drawn
    assert drawn.count('class="whisker"') == len(results["rows"])
    assert drawn.index("verifier") < drawn.index("judge: noise-aware loss"), "the best stand first"
