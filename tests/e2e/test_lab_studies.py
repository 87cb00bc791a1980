"""The studies on the lab: from end to end at toy size, going on, and their published tables."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rung.data.lab import Lab
from rung.loop import quickstart, run_quickstart
from scripts import modules_of
from toy_quickstart import TOY, one_after_the_other

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
RESULTS_PAGE = RECIPES.parent / "docs" / "results.md"
STUDIES = {"prm-vs-orm": "report", "regimes": "tables"}
"""Each with its module of tables."""
Study = Callable[..., ModuleType]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Two finished quickstarts, the second on problems of mixed lengths."""
    folder = tmp_path_factory.mktemp("quickstarts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "run_side_by_side", one_after_the_other)
        for seed, lab in ((1, Lab(num_steps=1)), (2, Lab(num_steps=2, shortest=1))):
            run_quickstart(replace(TOY, seed=seed, lab=lab), folder / str(seed))
    return folder / "1", folder / "2"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """Opens a recipe's module; its jobs run in this process, one after the other."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with ExitStack() as stack:

        def open_module(name: str, module: str = "run") -> ModuleType:
            stack.enter_context(modules_of(RECIPES / name))
            found = importlib.import_module(module)
            monkeypatch.setattr(sys.modules["lab_runs"], "run_side_by_side", one_after_the_other)
            return found

        yield open_module


def results_of(name: str) -> Any:
    return json.loads((RECIPES / name / "results.json").read_bytes())


def test_prm_vs_orm_trains_what_is_missing_and_goes_on(
    runs, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run = study("prm-vs-orm")
    monkeypatch.setattr(
        run, "LEARNING_RATES", dict.fromkeys(("prm", "orm", "orm-tokens"), (0.003,))
    )
    told = run.Recipe(out=tmp_path, quickstarts=runs, n=8)
    run.main(told)
    first = capsys.readouterr().out
    assert "| ORM, every token |" in first and "seed 2" in first
    made = {path.name for path in (tmp_path / "seed-1").iterdir()}
    assert made == {"chains-8.jsonl.gz", "orm-tokens-0.003", "scored-8-0.003-0.003-0.003.jsonl.gz"}
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert results["ns"] == [1, 2, 4, 8] and results["num_problems"] == 20
    monkeypatch.setattr(run, "at_once", lambda jobs: None)  # all that is there is read
    run.main(told)
    assert capsys.readouterr().out == first


def test_claims_that_do_not_hold_stand_first(study: Study) -> None:
    study("prm-vs-orm")
    measure = sys.modules["measure"]
    ns = [4, 16, 64, 256]
    steady = [{"difference": 0.2, "low": 0.15, "high": 0.25}] * 4
    falling = [dict(steady[0], difference=d) for d in (-0.01, 0.2, 0.2, 0.1)]
    gaps = {"orm": steady, "orm-tokens": falling}
    found = measure.claims(ns, gaps, {orm: [gap, steady] for orm, gap in gaps.items()})
    assert [claim["holds"] for claim in found] == [False, False, True, True, True, True]
    assert found[0]["claim"].startswith("ahead of orm-tokens") and "-1.0" in found[0]["said"]
    assert found[1]["said"] == "+10.0, +20.0"


def test_regimes_by_length_and_by_labels(runs, study: Study, tmp_path: Path, capsys) -> None:
    run = study("regimes")
    told = run.Recipe(out=tmp_path, quickstarts=runs[:1], mixed=runs[1:], chains=16, epochs=1)
    run.main(told)
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert [(row["from"], row["to"]) for row in results["lengths"]] == [(1, 1), (2, 2)]
    assert sum(row["num_problems"] for row in results["lengths"]) == TOY.test_problems
    wrong = {row["labels"]: row["wrong_labels"] for row in results["labels"]}
    assert list(wrong) == ["lab", "judge-10", "judge-20", "judge-30", "rollouts"]
    assert wrong["lab"] == 0
    run.main(told)
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("name", STUDIES)
def test_pages_and_pictures_are_those_of_the_results(name: str, study: Study) -> None:
    if not (RECIPES / name / "results.json").exists():
        pytest.skip("not published yet")
    study(name)
    tables, results = sys.modules[STUDIES[name]], results_of(name)
    assert tables.show(results) in (RECIPES / name / "README.md").read_text()
    assert getattr(tables, "short", tables.show)(results) in RESULTS_PAGE.read_text()
    rows = results["lengths"] if name == "regimes" else results
    assert (RECIPES.parent / "docs" / "images" / f"{name}.svg").read_text() == tables.picture(rows)
