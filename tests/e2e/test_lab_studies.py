"""The studies on the lab: from end to end at toy size, going on, and their published tables."""

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rung.core import (
    Chain,
    ChainRecord,
    Problem,
    StepLabels,
    StepScores,
    Verdict,
    read_records,
    write_records,
)
from rung.data.lab import Lab
from rung.eval import best_of_n
from rung.loop import quickstart, run_quickstart
from scripts import modules_of
from toy_quickstart import TOY, one_after_the_other

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
RESULTS_PAGE = RECIPES.parent / "docs" / "results.md"
STUDIES = {
    "prm-vs-orm": "report",
    "regimes": "tables",
    "data-efficiency": "report",
    "aggregation": "tables",
    "with-verifier": "report",
}
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
    told = run.Recipe(
        out=tmp_path,
        quickstarts=runs[:1],
        mixed=runs[1:],
        one_step=runs[1:],
        chains=16,
        epochs=1,
    )
    run.main(told)
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert [(row["from"], row["to"]) for row in results["lengths"]] == [(1, 1), (2, 2)]
    assert sum(row["num_problems"] for row in results["lengths"]) == TOY.test_problems
    assert results["one_step"]["num_problems"] == TOY.test_problems
    assert "told apart, trained on these alone" in first
    wrong = {row["labels"]: row["wrong_labels"] for row in results["labels"]}
    assert list(wrong) == ["lab", "judge-10", "judge-20", "judge-30", "rollouts"]
    assert wrong["lab"] == 0
    run.main(told)
    assert capsys.readouterr().out == first


def published(tables: ModuleType, results: Any, page: str, folder: Path) -> list[str]:
    """Publish into a folder in place of the repository; return the pictures that were drawn."""
    for name, shown in (("README.md", "results"), ("results.md", page)):
        (folder / name).write_text(f"<!-- {shown}: begin -->\n<!-- {shown}: end -->\n")
    (folder / "images").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "HERE", folder)
        patch.setattr(tables, "RESULTS_PAGE", folder / "results.md")
        patch.setattr(tables, "IMAGES", folder / "images")
        tables.publish(results)
    assert tables.show(results) in (folder / "README.md").read_text()
    assert tables.short(results) in (folder / "results.md").read_text()
    assert json.loads((folder / "results.json").read_bytes()) == results
    return sorted(path.stem for path in (folder / "images").iterdir())


FEW = {"chains": (4, 8), "read": 16, "starts": (8,), "ns": (2, 4)}


def test_data_efficiency_runs_and_goes_on(runs, study: Study, tmp_path: Path, capsys) -> None:
    run = study("data-efficiency")
    told = run.Recipe(quickstarts=runs, out=tmp_path, **FEW)
    run.main(told)
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_bytes())
    models = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert len(models) == 2 * (2 * 2 + 3)
    run.main(told)
    assert capsys.readouterr().out == first
    assert models == {path: path.stat().st_mtime_ns for path in models}, "nothing is trained again"
    assert [row["chains"] for row in results["sizes"]] == [4, 8, 24]
    assert [row["epochs"] for row in results["sizes"]] == [4, 3, 1]
    for row in results["sizes"]:
        gaps = [gap["difference"] for gap in row["gap"]]
        assert gaps == pytest.approx(np.mean(row["by_seed"], axis=0).tolist())
    assert "| + as many chosen by doubt |" in first and "| + as many convincing ones |" in first
    report = sys.modules["report"]
    assert [draw(results).count("<circle") for draw in report.PICTURES.values()] == [9, 6]
    assert published(report, results, "data-efficiency", tmp_path) == list(report.PICTURES)
    with pytest.raises(run.RungError, match="below the quickstarts' own, 24"):
        run.main(replace(told, chains=(8, 24)))
    with pytest.raises(run.RungError, match="its own size: 6 in --chains"):
        run.main(replace(told, starts=(6, 8)))


def test_chains_to_label_are_chosen_among_the_others(runs, study: Study, tmp_path: Path) -> None:
    study("data-efficiency")
    cells, lab_runs = sys.modules["cells"], sys.modules["lab_runs"]
    run, places = lab_runs.LabRun.of(runs[0]), tmp_path / "convincing.json"
    cells.choosing_job(run, 6, run.folder / "prm", {"convincing": places})(lab_runs.Said())
    chosen = json.loads(places.read_bytes())
    assert len(set(chosen)) == 6 and min(chosen) >= 6
    every, learned = run.records("train"), cells.with_more(run, 6, places)
    assert learned == [*every[:6], *(every[k] for k in chosen)]
    is_wrong = [not every[k].outcome.is_correct for k in chosen]
    num_wrong = sum(not record.outcome.is_correct for record in every[6:])
    assert is_wrong[:4] == [k < num_wrong for k in range(4)]


def test_picks_are_those_of_rung_eval(runs, study: Study) -> None:
    study("data-efficiency")
    records = sys.modules["lab_runs"].LabRun.of(runs[1]).records("scored")
    right_RPN = sys.modules["picks"].picks(records, "prm", ("min", "sum"), (1, 4))
    found = best_of_n(records, prm="prm", orm=None, ns=(1, 4), resamples=10)
    for rule, right_PN in zip(("min", "sum"), right_RPN, strict=True):
        assert right_PN.mean(axis=0).tolist() == pytest.approx(
            [found.at(f"prm_{rule}", n).accuracy for n in (1, 4)]
        )


def test_aggregation_of_verifier_rollouts_and_people(
    runs, study: Study, tmp_path: Path, capsys
) -> None:
    run = study("aggregation")
    real = tmp_path / "real-samples"
    told = run.Recipe(quickstarts=runs[1:], out=tmp_path, chains=8, epochs=1, real_samples=real)
    with pytest.raises(run.RungError, match="--real-samples names its folder"):
        run.main(told)
    (real / "scored").mkdir(parents=True)
    for name in run.HUMAN:
        shutil.copy(runs[0] / "scored.jsonl.gz", real / "scored" / f"{name}.jsonl.gz")
    run.main(told)
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_bytes())
    names = [part["labels"] for part in results["parts"]]
    assert names == list(sys.modules["tables"].PARTS)
    for part in results["parts"][1:4]:
        wrong = {rule: found["wrong"]["value"] for rule, found in part["leaning"].items()}
        assert wrong["sum"] > wrong["min"], "a step more never lowers a sum, nor raises a minimum"
    assert sys.modules["tables"].picture(results).count("<circle") == 6 * 3
    assert published(sys.modules["tables"], results, "aggregation", tmp_path) == ["aggregation"]
    run.main(told)
    assert capsys.readouterr().out == first


def made(texts: str, scores: tuple[float, ...], *, right: bool) -> ChainRecord:
    """A chain of one problem, a letter a step."""
    chain = Chain.of(Problem("p", "Why?", "1"), list(texts), answer="1" if right else "2")
    outcome = Verdict.CORRECT if right else Verdict.INCORRECT
    return ChainRecord(chain, (), (StepScores(scores, "prm"),), outcome)


def test_leanings_are_those_that_one_can_reckon(study: Study) -> None:
    study("aggregation")
    bias = sys.modules["bias"]
    records = [
        made("ab", (0.5, 0.5), right=True),
        made("abcd", (0.4,) * 4, right=True),
        made("a", (0.3,), right=False),
        made("abc", (0.2,) * 3, right=False),
    ]
    found = bias.leanings([records], "prm")
    assert found["sum"]["longer"]["value"] == 1  # four steps, where right chains have three
    assert found["min"]["longer"]["value"] == -1
    assert [found["sum"][k]["value"] for k in ("right", "wrong")] == [1, 1]
    assert [found["min"][k]["value"] for k in ("right", "wrong")] == [-1, -1]
    same = [made("ab", (0.5, s), right=True) for s in (0.1, 0.2)]
    assert bias.leanings([same], "prm")["min"]["right"] is None, "one length, no correlation"


def test_steps_said_twice_keep_labels_and_outcome(study: Study) -> None:
    study("aggregation")
    chain = Chain.of(Problem("p", "Why?", "1"), list("abcdefgh"), answer="1")
    labels = StepLabels((1.0, 1.0, 0.5, 0.0, *[None] * 4), "lab")
    records = [ChainRecord(chain, (labels,), outcome=Verdict.CORRECT)] * 40
    longer = sys.modules["wordy"].said_twice(records, seed=0)
    lengths = {len(record.chain.steps) for record in longer}
    assert min(lengths) == 8 and max(lengths) == 15 and len(lengths) > 5
    for record in longer:
        texts, given = record.chain.texts, record.labels[0].labels
        assert list(dict.fromkeys(texts)) == list("abcdefgh") and texts.count("h") == 1
        assert record.outcome is Verdict.CORRECT and record.chain.answer == "1"
        pairs = list(zip(texts, given, strict=True))
        assert {y for text, y in pairs if text == "c"} == {0.5}
        assert [y for text, y in pairs if text == "d"] in ([0.0], [0.0, None])
        assert {y for text, y in pairs if text in "efgh"} == {None}


def test_with_and_without_a_verifier(
    runs, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run = study("with-verifier")
    few = list(read_records(run.SMOLLM2))[: 3 * 64]
    write_records(tmp_path / "few.jsonl", few)
    monkeypatch.setattr(run, "SMOLLM2", tmp_path / "few.jsonl")
    told = run.Recipe(quickstarts=runs, misread=runs[:1], out=tmp_path, data=tmp_path)
    run.main(told)
    said = capsys.readouterr()
    assert said.err.count("left out, there is no bon_") == len(run.PUBLISHED)
    results = json.loads((tmp_path / "results.json").read_bytes())
    *labs, smollm2 = results["pools"]
    assert [lab["problems"] for lab in labs] == [2 * TOY.test_problems, TOY.test_problems]
    assert smollm2["problems"] == 3
    for rule in smollm2["rules"].values():
        for alone, verified, gain in zip(
            rule["alone"], rule["verified"], rule["gain"], strict=True
        ):
            added = verified["accuracy"] - alone["accuracy"]
            assert gain["difference"] == pytest.approx(added)
    found = best_of_n(few, prm="prm", orm="orm", ns=(64,), resamples=10)
    alone = smollm2["rules"]["prm_min"]["alone"][-1]["accuracy"]
    assert alone == pytest.approx(found.at("prm_min", 64).accuracy)
    report = sys.modules["report"]
    assert published(report, results, "with-verifier", tmp_path) == ["with-verifier"]
    with pytest.raises(run.RungError, match="not published: "):
        run.main(replace(told, publish=True))


@pytest.mark.parametrize("name", ["prm-vs-orm", "regimes", "data-efficiency", "with-verifier"])
def test_a_folder_without_a_finished_quickstart_is_one_sentence(
    name: str, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study(name)
    told = ["run.py", "--quickstarts", str(tmp_path), "--out", str(tmp_path / "out")]
    told += ["--mixed", str(tmp_path), "--one-step", str(tmp_path)] if name == "regimes" else []
    monkeypatch.setattr(sys, "argv", told)
    with pytest.raises(SystemExit, match=f"^{name}: {tmp_path}: no finished 'rung quickstart"):
        run.run_command(run.main, run.Recipe, name, None)


@pytest.mark.parametrize("name", STUDIES)
def test_pages_and_pictures_are_those_of_the_results(name: str, study: Study) -> None:
    if not (RECIPES / name / "results.json").exists():
        pytest.skip("not published yet")
    study(name)
    tables, results = sys.modules[STUDIES[name]], results_of(name)
    assert tables.show(results) in (RECIPES / name / "README.md").read_text()
    assert getattr(tables, "short", tables.show)(results) in RESULTS_PAGE.read_text()
    rows = results["lengths"] if name == "regimes" else results
    pictures = tables.PICTURES if hasattr(tables, "PICTURES") else {name: tables.picture}
    for picture, draw in pictures.items():
        assert (RECIPES.parent / "docs" / "images" / f"{picture}.svg").read_text() == draw(rows)
