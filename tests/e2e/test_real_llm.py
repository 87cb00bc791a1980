"""The recipe with a real LM: its problems, its labels, its published samples, all of it small."""

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from rung.core import (
    Chain,
    ChainRecord,
    Problem,
    Provenance,
    RungError,
    StepLabels,
    Verdict,
    read_records,
    write_records,
)
from rung.data import load_problems, problem_key
from rung.eval import best_of_n, curves_svg
from rung.model.tiny import make_tiny
from scripts import modules_of

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "real-llm"
PARTS = ("labels", "measure", "problems", "report", "samples", "sizes", "verbs")
FILES = {"problems_gsm8k_train.jsonl.gz": 40, "problems_gsm8k_test.jsonl.gz": 8}
EGGS = Problem("eggs", "Ann has 3 bags of 4 eggs and eats 2. How many are left?", "10")


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules."""
    with modules_of(RECIPE):
        import again
        import run

        yield {"run": run, "again": again, **{name: sys.modules[name] for name in PARTS}}


@pytest.fixture(scope="module")
def few_problems(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, count in FILES.items():
        with gzip.open(shared_data / name, "rb") as stream:
            (folder / name).write_bytes(gzip.compress(b"".join(islice(stream, count))))
    return folder


@pytest.fixture(scope="module")
def shown(recipe, shared_data: Path) -> list[ChainRecord]:
    return recipe["problems"].demonstrations(shared_data)


def chain(*texts: str, calculated: tuple[float | None, ...], outcome: Verdict) -> ChainRecord:
    labels = (StepLabels(calculated, "arithmetic"),)
    return ChainRecord(Chain.of(EGGS, texts), labels, outcome=outcome)


def test_a_step_is_judged_by_calculator_then_other_chains_then_reference(recipe):
    labels = recipe["labels"]
    wrong, all_right = Verdict.INCORRECT, (1, 1, None)
    right = chain("4+4+4=12", "12-2=10", "#### 10", calculated=all_right, outcome=Verdict.CORRECT)
    others = {
        "its wrong sum": (chain("4+4=9", "9-2=7", calculated=(0, 1), outcome=wrong), (0, None)),
        "a right chain's step": (
            chain("4+4+4=12", "12+2=14", "#### 14", calculated=all_right, outcome=wrong),
            (1, 0, None),
        ),
        "a reference's result": (
            chain("3*4=12", "#### 12", calculated=(1, None), outcome=wrong),
            (1, 0),
        ),
        "what nobody knows": (chain("3+4=7", "7-2=5", calculated=(1, 1), outcome=wrong), (0, None)),
    }
    records = [right, *(record for record, _ in others.values())]
    labeled, decided = labels.with_step_labels(records, {EGGS.root_id: {12.0, 10.0}})
    assert labeled[0].labels_from("steps").labels == (1, 1, 1)
    for record, (name, (_, expected)) in zip(labeled[1:], others.items(), strict=True):
        assert record.labels_from("steps").labels == expected, name
    assert decided == {
        "right: reference": 1,
        "right: rollouts": 3,
        "wrong: calculator": 1,
        "wrong: nobody knows it": 3,
    }


def test_a_demonstration_is_equations_that_end_in_the_answer(recipe, shown, shared_data: Path):
    assert len(shown) > 6_900  # of 7,473; 95 have no equation, 377 end in another number
    for record in shown[:500]:
        *equations, end = record.chain.texts
        assert all(equation.count("=") == 1 for equation in equations)
        assert end == f"#### {record.chain.answer}"
        assert float(equations[-1].partition("=")[2]) == float(record.chain.answer)
    assert recipe["problems"].demonstrations(shared_data)[:9] == shown[:9]


def test_no_problem_is_learned_from_and_tested(recipe, shown, shared_data: Path):
    problems = recipe["problems"]
    tested = problems.test_problems(shared_data, 200)
    learned = {problem_key(record.chain.problem.question) for record in shown}
    assert len(tested) == 200
    assert not learned & {problem_key(problem.question) for problem in tested}
    every = list(load_problems(shared_data / problems.TEST))
    assert {p.id for p in tested} < {p.id for p in every}


def test_the_recipe_runs_from_end_to_end_on_a_tiny_model(
    recipe, few_problems: Path, tmp_path: Path, capsys
):
    with gzip.open(few_problems / "problems_gsm8k_train.jsonl.gz", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    texts = (text for row in rows for text in (row["problem"], row["solution"]))
    make_tiny(tmp_path / "tiny", texts, seed=0, width=16, max_tokens=512)
    run, out = recipe["run"], tmp_path / "out"
    told = run.Recipe(data=few_problems, out=out, trunk=str(tmp_path / "tiny"), size="smoke")
    run.main(told)
    said = capsys.readouterr().out
    assert "| prm_min - orm |" in said
    results = json.loads((out / "results.json").read_bytes())
    assert results["views"]["all"]["num_problems"] == 4
    assert results["views"]["all"]["ns"] == [1, 2, 4]
    assert results["reward_training"]["prm"]["train"]["chains"] == 6 * (3 + 1)
    assert sum(results["labels"].values()) > 0
    assert (out / "curves.svg").read_text().startswith("<svg")
    run.main(told)
    again = capsys.readouterr()
    assert again.out == said
    assert again.err.count("this run has ended before") == 3
    assert "rung sample" not in again.err and "rung score" not in again.err
    second_try(recipe, out, capsys)


def second_try(recipe, made: Path, capsys) -> None:
    """It learns from own chains alone, and scores the same test chains."""
    again, labeled = recipe["again"], made / "train-labeled.jsonl.gz"
    told = again.Again(made=made, out=made / "again", epochs=1)
    with pytest.raises(RungError, match="no right chain to learn from"):
        again.main(told)
    records = [replace(record, outcome=Verdict.CORRECT) for record in read_records(labeled)]
    write_records(labeled, records)
    again.main(told)
    said = capsys.readouterr()
    results = json.loads((told.out / "results.json").read_bytes())
    assert len(list(read_records(told.out / "own.jsonl.gz"))) == 6 * 3
    for kind in ("prm", "orm"):
        assert results["reward_training"][kind]["validation"]["chains"] > 0
        assert f"--scorer {kind}={told.out / kind}" in said.err
    assert results["views"]["all"]["num_problems"] == 4
    again.main(told)
    assert capsys.readouterr().out == said.out


def test_the_second_try_learns_from_no_reference_and_no_hopeless_problem(recipe):
    right, wrong = Verdict.CORRECT, Verdict.INCORRECT
    hopeless = replace(EGGS, question="How many stars are there?")

    def written(problem: Problem, by: str, outcome: Verdict) -> ChainRecord:
        return ChainRecord(
            Chain.of(problem, ["1+1=2"], source=Provenance(policy=by)), outcome=outcome
        )

    kept = [written(EGGS, "policy", wrong), written(EGGS, "policy", right)]
    left = [
        written(EGGS, "reference", right),
        written(hopeless, "policy", wrong),
        written(hopeless, "reference", right),
    ]
    assert recipe["again"].own_chains([*left, *kept]) == kept


def test_the_published_tables_are_those_of_the_results(recipe):
    results = json.loads((RECIPE / "results.json").read_bytes())
    report = recipe["report"]
    second = json.loads((RECIPE / "results-second-run.json").read_bytes())
    for run in (results, second):
        assert report.tables(run) in (RECIPE / "README.md").read_text()
    assert report.short(results) in report.RESULTS_PAGE.read_text()
    again = json.loads((RECIPE / "results-again.json").read_bytes())
    assert report.tables_again(again) in (RECIPE / "README.md").read_text()


def test_the_published_samples_give_the_published_curves_and_picture_without_a_model(recipe):
    found = json.loads((RECIPE / "results.json").read_bytes())["views"]["all"]
    records = list(read_records(RECIPE / "samples.jsonl.gz"))
    again = best_of_n(records, prm="prm", orm="orm")
    assert list(again.ns) == found["ns"]
    for name in ("prm_min", "orm", "majority", "random", "oracle"):
        points = found["curves"][name]
        assert [p.accuracy for p in again.curves[name]] == [p["accuracy"] for p in points]
    assert curves_svg(again.curves) == recipe["report"].PICTURE.read_text()
    gap = again.gap_at("prm_min_minus_orm", found["ns"][-1])
    assert gap.difference == found["gaps"]["prm_min_minus_orm"][-1]["difference"]
