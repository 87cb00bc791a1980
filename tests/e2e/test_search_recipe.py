"""recipes/search from end to end on tiny untrained models, and its published tables."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rung.core import ChainRecord, RungError
from rung.data.lab import Lab, make_problems, solve
from rung.model import Reading, new_reward_model, save_reward_model
from rung.model.tiny import make_tiny
from rung.search import SearchResult, run_searches
from scripts import modules_of

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "search"
PARTS = ("grid", "measure", "picture", "report")


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules."""
    with modules_of(RECIPE):
        import run
        import smollm2

        yield {"run": run, "smollm2": smollm2, **{name: sys.modules[name] for name in PARTS}}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished `rung quickstart` leaves of what the recipe reads."""
    folder, lab = tmp_path_factory.mktemp("quickstarts") / "tiny", Lab(num_steps=2, largest=9)
    splits = ("num_demonstrations", "train_problems", "validation_problems", "test_problems")
    told = {"lab": asdict(lab), "seed": 0, "max_tokens": 12, **dict.fromkeys(splits, 2)}
    told["lab"].pop("facts", None)
    texts = [text for p in make_problems(lab, 20, seed=0) for text in (p.question, *solve(p).texts)]
    make_tiny(folder / "policy", texts, seed=0, width=16, num_layers=1)
    for kind in ("prm", "orm"):
        model, loaded = new_reward_model(folder / "policy", seed=0)
        save_reward_model(model, loaded.tokenizer, Reading(kind=kind), folder / kind)
    (folder / "stages.json").write_text(json.dumps({"settings": told}))
    return folder


def test_a_folder_without_a_quickstart_and_a_search_that_fails_are_one_sentence(
    recipe, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, measure = recipe["run"], recipe["measure"]
    with pytest.raises(RungError, match="no finished 'rung quickstart"):
        run.main(run.Recipe(quickstarts=(tmp_path,), out=tmp_path / "out"))

    def failing(*given: Any, **more: Any) -> list[SearchResult]:
        found = run_searches(*given, **more)
        return [replace(one, reason="failed", error="KeyError: 'x'") for one in found]

    monkeypatch.setattr(measure, "run_searches", failing)
    cells = [recipe["grid"].Cell("prm", "best-of-n", 4, 2)]
    monkeypatch.setitem(run.GRIDS, "small", lambda: recipe["grid"].Grid(cells[0], cells, error=0.1))
    how = {"quickstarts": (quickstart,), "out": tmp_path, "grid": "small"}
    with pytest.raises(RungError, match=r"prm best-of-n 4 2: 3 searches failed \(KeyError: 'x'\)"):
        run.main(run.Recipe(**how, problems=3, calibration=20))
    assert not list(tmp_path.rglob("*best-of-n*.json")), "a row of failed searches is not kept"


def test_a_real_lms_models_lie_as_a_quickstarts_do(
    recipe, quickstart: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    run, smollm2, out = recipe["run"], recipe["smollm2"], tmp_path / "lm"
    few = {"num_demonstrations": 20, "train_problems": 3, "validation_problems": 2}
    smollm2.main(smollm2.Recipe(out=out, trunk=str(quickstart / "policy"), **few))
    assert json.loads((out / "prm" / "training.json").read_bytes())["train"]["chains"] == 3 * 4
    cells = [recipe["grid"].Cell(scorer, "best-of-n", 2, None) for scorer in ("prm", "orm")]
    monkeypatch.setitem(run.GRIDS, "small", lambda: recipe["grid"].Grid(cells[0], cells, error=0.1))
    told = run.Recipe(quickstarts=(out,), out=tmp_path / "out", grid="small")
    run.main(replace(told, problems=2, calibration=2))
    assert "| orm | best-of-n | 2 |" in capsys.readouterr().out


def test_searches_are_run_once_and_told(
    recipe, quickstart: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    grid = recipe["grid"]
    cells = [
        *(grid.Cell("prm", name, 4, 2) for name in ("best-of-n", "beam", "abort")),
        grid.Cell("prm", "abort", 4, 2, 3),
        grid.Cell("none", "majority", 4, 2),
        grid.Cell("orm", "abort", 4, 2),
        grid.Cell("oracle", "abort", 4, 2),
    ]
    monkeypatch.setitem(recipe["run"].GRIDS, "small", lambda: grid.Grid(cells[0], cells, error=0.1))
    how = {"quickstarts": (quickstart,), "out": tmp_path, "grid": "small"}
    told = recipe["run"].Recipe(**how, problems=3, calibration=20)
    recipe["run"].main(told)
    first = capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_bytes())["quickstarts"] == 1
    for row in (
        "prm | best-of-n | 4",
        "prm | abort, looks every 3 tokens",
        "orm | abort | 4",
        "oracle | abort | 4",
    ):
        assert f"| {row} |" in first
    monkeypatch.setattr(recipe["run"], "measure", None)  # what is there is not run again
    recipe["run"].main(told)
    assert capsys.readouterr().out == first


def test_quickstarts_are_made_where_none_is_named(
    recipe, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked, used = recipe["run"], [], []

    def made(folders: tuple[Path, ...], out: Path, seeds: int, size: Any) -> list[Any]:
        asked.append((folders, out, seeds))
        return [SimpleNamespace(folder=quickstart)] * seeds

    monkeypatch.setattr(run, "lab_runs", made)
    monkeypatch.setattr(run, "_rows", lambda recipe, folder: used.append(folder) or [])
    monkeypatch.setattr(run, "summarize", lambda rows, base: [])
    run.main(run.Recipe(out=tmp_path, seeds=2))
    assert asked == [((), tmp_path, 2)] and used == [quickstart, quickstart]


def test_an_orm_is_read_as_if_the_chain_ended_at_each_step(recipe, quickstart: Path) -> None:
    scorer = recipe["measure"].load_scorer(quickstart / "orm")
    chain = solve(next(iter(make_problems(Lab(num_steps=2, largest=9), 1, seed=0))))
    (record,) = recipe["measure"]._scored_as_it_grows([ChainRecord(chain)], scorer)
    for k, score in enumerate(record.scores_by("orm").scores, start=1):
        assert score == pytest.approx(scorer.score([chain.prefix(k)])[0].scores[-1], abs=1e-6)


@pytest.mark.parametrize("grid", ["whole", "small"])
def test_table_and_picture_are_those_of_the_results(recipe, grid: str):
    report, name = recipe["report"], recipe["report"].FILES[grid]
    results = json.loads((RECIPE / f"{name}.json").read_bytes())
    assert results["grid"] == grid
    assert report.show(results) in (RECIPE / "README.md").read_text()
    if grid == "whole":
        assert report.short(results) in report.RESULTS_PAGE.read_text()
    drawn = report.IMAGES / f"{report.PICTURES[grid]}.svg"
    assert drawn.read_text() == recipe["picture"].picture(results)
