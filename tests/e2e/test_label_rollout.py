"""`rung label rollout` and `rung label omega` from end to end, and their recipe."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, StepScores, Verdict, read_records, write_records
from scripts import module_of, run_script

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "rollout-labels"


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    """Wrong chains of two problems, with scores, and one that nothing can be checked of."""
    rows: list[ChainRecord] = []
    for p in range(2):
        problem = Problem(f"{p}", f"What is 3 + {p}?", f"{3 + p}")
        for score, texts in ((0.3, ["We add.", "#### 9"]), (0.9, ["So it is.", "#### 8"])):
            scores = StepScores((score, score), "prm")
            rows.append(ChainRecord(Chain.of(problem, texts), scores=(scores,)))
    unknown = ChainRecord(Chain.of(Problem("n", "Why?"), ["Because."]))
    write_records(tmp_path / "chains.jsonl", [*rows, unknown])
    return tmp_path / "chains.jsonl"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["rollout", "omega"])
def test_labels_are_put_on_the_chains_and_a_rerun_pays_nothing(
    verb: str, chains: Path, tiny_lm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    options = ["--policy", tiny_lm, "--k", 2, "--max-tokens", 8, "--out", out]
    first = run(capsys, "label", verb, chains, *options)
    rows = list(read_records(out))
    assert first["chains"] == len(rows) == 5
    assert first["rollouts"] == first["new_rollouts"] != 0
    assert rows[0].outcome is Verdict.INCORRECT
    source = "rollout" if verb == "rollout" else "omega"
    assert [bool(row.labels_from(source)) for row in rows] == [True] * 4 + [False]
    before = out.read_bytes()
    again = run(capsys, "label", verb, chains, *options)
    assert (again["rollouts"], again["new_rollouts"]) == (first["rollouts"], 0)
    assert out.read_bytes() == before


@pytest.mark.parametrize(("first", "scored_high"), [("doubt", False), ("convincing", True)])
def test_only_labels_the_chains_first_in_line(
    first: str,
    scored_high: bool,
    chains: Path,
    tiny_lm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.jsonl"
    options = ["--policy", tiny_lm, "--k", 1, "--max-tokens", 4, "--out", out, "--only", 2]
    run(capsys, "label", "rollout", chains, *options, "--first", first)
    labeled = [row.labels_from("rollout") is not None for row in read_records(out)]
    assert labeled == [not scored_high, scored_high, not scored_high, scored_high, False]


def test_chains_that_nothing_can_be_checked_of_are_refused(
    tiny_lm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    write_records(source, [ChainRecord(Chain.of(Problem("n", "Why?"), ["Because."]))])
    words = ["label", "omega", str(source), "--policy", str(tiny_lm), "--out", str(tmp_path / "o")]
    assert main([*words]) == 2
    assert "reference answer" in capsys.readouterr().err
    assert main([*words, "--k", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
    assert main([*words, "--first", "convincing"]) == 2
    assert "give --only N too" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_the_recipe_runs(tmp_path: Path) -> None:
    options = ["--num-demonstrations", "210", "--num-problems", "1", "--chains", "1"]
    said = run_script(RECIPE / "run.py", *options, "--out", tmp_path)
    assert "| omega | 16 |" in said.out
    assert json.loads((tmp_path / "results.json").read_bytes())["num_chains"] == 1
    assert (tmp_path / "label-error.svg").read_text().count("<circle") == 14


def part(name: str) -> ModuleType:
    return module_of(RECIPE, name)


def test_the_table_and_the_picture_are_those_of_the_recipes_results() -> None:
    results = json.loads((RECIPE / "results.json").read_bytes())
    table = part("table")
    assert table.show(results) in (RECIPE / "README.md").read_text()
    assert table.show(results) in table.RESULTS_PAGE.read_text()
    picture = part("picture")
    assert picture.picture(results) == picture.PICTURE.read_text(), "run the recipe with --publish"
