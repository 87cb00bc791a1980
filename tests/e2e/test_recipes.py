"""The recipes run from end to end on a few real rows and a tiny untrained trunk."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest

from rung.core import RungError
from rung.data import load
from rung.eval import best_of_n, step_metrics
from rung.verify import Sandbox
from scripts import module_of, run_script

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def module(recipe: str, name: str) -> ModuleType:
    return module_of(RECIPES / recipe, name)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def run(recipe: str, *arguments: object) -> str:
    return run_script(RECIPES / recipe / "run.py", *arguments).out


@pytest.fixture(scope="module")
def few_rows(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the recipes read, with a few short rows each, of every kind."""
    folder = tmp_path_factory.mktemp("data")
    scores = "processbench_prm_scores_fover_gsm8k_math.jsonl.gz"
    published = {row["id"] for row in rows(shared_data / scores)}
    kept: dict[str, Callable[[dict[str, Any]], bool]] = {
        "prm800k_val_decoded.jsonl.gz": lambda row: row["id"].endswith("7"),
        "prm800k_phase2_latebench.jsonl.gz": lambda row: len(row["steps"]) < 9,
        "mr_ben.jsonl.gz": lambda row: row["id"].endswith(("7-1",)),
        "parc_perl.jsonl.gz": lambda row: row["id"].endswith("7"),
        "prmbench.jsonl.gz": lambda row: row["id"].endswith("50"),
        "processbench_gsm8k_math.jsonl.gz": lambda row: row["id"].endswith("7"),
        scores: lambda row: row["id"].endswith("7"),
        "problems_gsm8k_test.jsonl.gz": lambda row: True,
        "problems_math500.jsonl": lambda row: True,
        "bon_math100_qwen_rm8.jsonl.gz": lambda row: True,
        "bon_zeroeval_gsm8k_12models.jsonl.gz": lambda row: row["id"].endswith("00"),
        "bon_gsm8k_openai_4.jsonl.gz": lambda row: row["id"].endswith("00"),
    }
    for name, keep in kept.items():
        chosen = [row for row in rows(shared_data / name) if keep(row)]
        if name.startswith("processbench_gsm8k"):
            chosen = [row for row in chosen if row["id"] in published]
        text = "".join(json.dumps(row) + "\n" for row in chosen).encode()
        (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder


@pytest.fixture(scope="module")
def trunk(few_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose tokenizer knows the words of some chains."""
    from rung.model.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "trunk"
    chains = rows(few_rows / "prm800k_val_decoded.jsonl.gz")
    texts = [text for row in chains for text in (row["problem"], *row["steps"])]
    make_tiny(folder, texts, seed=0, width=16, max_tokens=768)
    return folder


@pytest.fixture(scope="module")
def first_error(few_rows: Path, trunk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recipe") / "first-error"
    options = ["--data", few_rows, "--out", out, "--trunk", trunk, "--layers", 1]
    options += ["--held-out-problems", 5]
    with pytest.MonkeyPatch.context() as patch:  # a thousand resamples are half of all the work
        patch.setitem(step_metrics.__kwdefaults__, "resamples", 100)
        said = run("first-error", *options)
    assert "| held-out PRM800K |" in said
    return out


def test_first_error_measures_prm_and_floor_on_all_test_sets(first_error: Path):
    results = json.loads((first_error / "results.json").read_bytes())
    assert set(results["step_auroc"]) == {
        "prm800k_held_out",
        "processbench_gsm8k",
        "processbench_math",
    }
    for row in results["step_auroc"].values():
        gap = row["prm"]["value"] - row["bag-of-words"]["value"]
        assert row["prm_minus_floor"]["value"] == pytest.approx(gap)
        assert row["prm_minus_floor"]["low"] <= gap <= row["prm_minus_floor"]["high"]
    scorers = {row["scorer"] for row in results["processbench"]["published_rows"]}
    assert {"prm", "bag-of-words", "Qwen2.5-Math-PRM-7B"} <= scorers


def test_real_samples_compares_every_way_to_pick(
    first_error: Path, few_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(best_of_n.__kwdefaults__, "resamples", 100)
    options = ["--data", few_rows, "--first-error", first_error, "--out", tmp_path]
    said = run("real-samples", *options, "--num-problems", 6)
    assert "| PRM, min |" in said
    results = json.loads((tmp_path / "results.json").read_bytes())
    pools = results["pools"]
    assert [(pool["num_problems"], pool["n"]) for pool in pools.values()] == [
        (6, 12),
        (6, 4),
        (6, 8),
    ]
    for pool in pools.values():
        at_n = {name: curve[-1]["accuracy"] for name, curve in pool["curves"].items()}
        assert at_n["oracle"] == max(at_n.values())
        for other, gap in pool["gaps"].items():
            assert gap["difference"] == pytest.approx(at_n["prm_min"] - at_n[other])
    assert [name for name, pool in pools.items() if "published" in pool["gaps"]] == ["math-8"]
    for name, count in (("gsm8k-12", 12), ("gsm8k-4", 4), ("math-8", 0)):
        writers = pools[name]["by_writer"]
        assert len(writers) == count and sum(row["picked"] for row in writers) in (
            0,
            pytest.approx(1),
        )
        random = pools[name]["curves"]["random"][-1]["accuracy"]
        assert not writers or fmean(row["right"] for row in writers) == pytest.approx(random)
    before = [file.stat().st_mtime_ns for file in sorted((tmp_path / "scored").iterdir())]
    report = module("real-samples", "report")
    for draw in report.PICTURES.values():
        assert draw(results).startswith("<svg")
    assert run("real-samples", *options, "--num-problems", 6) == said
    after = [file.stat().st_mtime_ns for file in sorted((tmp_path / "scored").iterdir())]
    assert after == before, "nothing is scored twice"


def test_real_samples_says_what_it_needs(few_rows: Path, tmp_path: Path):
    recipe, out = module("real-samples", "run"), tmp_path / "out"
    told = recipe.Recipe(data=few_rows, first_error=tmp_path, out=out)
    with pytest.raises(recipe.RungError, match="run of recipes/first-error"):
        recipe.main(told)
    assert not out.exists()


def test_real_samples_begins_with_first_error_where_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe, asked = module("real-samples", "run"), []
    monkeypatch.setattr(recipe, "run_recipe", lambda *words: asked.append(words))
    with pytest.raises(recipe.RungError, match="holds no prm"):
        recipe.main(recipe.Recipe(data=tmp_path, out=tmp_path / "out"))
    made = tmp_path / "out" / "first-error"
    assert asked == [("first-error", made, "--data", tmp_path, "--threads", 1)]


def test_an_earlier_study_is_run_once_and_its_failure_is_told(tmp_path: Path):
    earlier = module("common", "earlier")
    options = ("--files", tmp_path / "none.jsonl")
    with pytest.raises(RungError, match="recipes/verify-code, which this study begins with"):
        earlier.run_recipe("verify-code", tmp_path / "code", *options)
    (tmp_path / "code").mkdir(exist_ok=True)
    (tmp_path / "code" / "results.json").write_text("{}")
    earlier.run_recipe("verify-code", tmp_path / "code", *options)


def test_published_scores_pick_as_well_as_their_source_says(shared_data: Path):
    """The source says 91.0, 93.0, 94.0 and 96.0.

    In three problems the right answer has as many votes as a wrong one. The source takes which came
    first, twice the right one; rung counts half of each.
    """
    records = list(load(shared_data / "bon_math100_qwen_rm8.jsonl.gz"))
    found = best_of_n(records, prm=None, orm="source", ns=(8,), resamples=10)
    at_8 = [found.at(name, 8).accuracy for name in ("random", "majority", "orm", "oracle")]
    assert at_8 == pytest.approx([0.91, 0.925, 0.94, 0.96])


def test_no_problem_stands_on_two_sides(few_rows: Path):
    sources = module("first-error", "sources")
    chains = sources.load_chains(few_rows, held_out_problems=5)
    sides = [chains.train, chains.validation, *chains.tests.values()]
    keys = [sources.problem_keys(records) for records in sides]
    assert all(keys)
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_training_labels_of_planted_errors_end_at_the_first(few_rows: Path):
    sources = module("first-error", "sources")
    chains = sources.load_chains(few_rows, held_out_problems=5)
    extra = [r for r in chains.train if r.meta["source"] in ("parc_perl", "prmbench")]
    wrong = [r.labels[0].labels for r in extra if r.labels[0].first_error is not None]
    assert {r.meta["source"] for r in extra} == {"parc_perl", "prmbench"}
    assert wrong
    assert all(set(labels[labels.index(0.0) + 1 :]) <= {None} for labels in wrong)


def test_no_original_of_a_changed_question_is_on_another_side(few_rows: Path):
    sources = module("first-error", "sources")
    chains = sources.load_chains(few_rows, held_out_problems=5)
    sides = [chains.validation, *chains.tests.values()]
    taken = set().union(*(sources.problem_keys(records) for records in sides))
    originals = {r.meta.get("original_question") or "" for r in chains.train}
    assert len(originals) > 1
    assert not taken & {sources.problem_key(question) for question in originals if question}


def test_mr_ben_outcomes_are_read_from_the_chosen_letter(few_rows: Path):
    sources = module("first-error", "sources")
    chains = sources.load_chains(few_rows, held_out_problems=5)
    ours = [r for r in chains.train if r.meta["source"] == "mr_ben"]
    assert {r.outcome for r in ours} >= {sources.Verdict.CORRECT, sources.Verdict.INCORRECT}
    right = [r for r in ours if r.meta["solution_correct"] == "correct"]
    agreeing = [r for r in right if r.outcome is not sources.Verdict.INCORRECT]
    assert len(agreeing) > 0.95 * len(right)


def test_the_floor_reads_one_step_alone(few_rows: Path):
    floor, sources = module("first-error", "floor"), module("first-error", "sources")
    chains = sources.load_chains(few_rows, held_out_problems=5)
    scorer = floor.train_floor(chains.train)
    whole = chains.held_out[0].chain
    (scores,) = scorer.score([whole])
    (cut,) = scorer.score([whole.prefix(1)])
    assert cut.scores == pytest.approx(scores.scores[:1])


def test_first_errors_tables_are_those_of_its_results():
    results = json.loads((RECIPES / "first-error" / "results.json").read_bytes())
    readme = (RECIPES / "first-error" / "README.md").read_text()
    assert module("first-error", "table").tables(results) in readme


def test_real_samples_tables_and_pictures_are_those_of_its_results():
    file = RECIPES / "real-samples" / "results.json"
    if not file.exists():
        pytest.skip("no run has been published")
    results, report = json.loads(file.read_bytes()), module("real-samples", "report")
    assert report.show(results) in (RECIPES / "real-samples" / "README.md").read_text()
    assert report.short(results) in report.RESULTS_PAGE.read_text()
    for name, draw in report.PICTURES.items():
        assert (report.IMAGES / f"{name}.svg").read_text() == draw(results)


def test_publishing_again_replaces_the_table(tmp_path: Path):
    pages, readme = module("common", "pages"), tmp_path / "README.md"
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for value in (1, 2):
        pages.put(readme, "results", f"| {value} |")
    assert readme.read_text() == f"before\n{begin}\n| 2 |\n{end}\nafter\n"
    with pytest.raises(ValueError, match="no part 'others'"):
        pages.put(readme, "others", "lost")
    assert "| 2 |" in readme.read_text()


def test_a_study_that_was_run_again_is_held_against_its_published_intervals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    inside = module("common", "inside")
    published = {"curve": [{"n": 1, "accuracy": 0.5, "low": 0.4, "high": 0.6}], "name": "x"}
    published["gap"] = {"difference": 0.1, "low": -0.1, "high": 0.3}
    near = {**published, "gap": {"difference": 0.2, "low": 0.0, "high": 0.4}}
    published["zero"], near["zero"] = ({"value": x, "low": x, "high": x} for x in (-1e-17, 0.0))
    far = {**near, "curve": [{"n": 1, "accuracy": 0.7, "low": 0.6, "high": 0.8}]}
    short = {**near, "curve": []}
    for name, results in {"p": published, "near": near, "far": far, "short": short}.items():
        (tmp_path / name).write_text(json.dumps(results))

    def told(again: str) -> object:
        return inside.Again(published=tmp_path / "p", again=tmp_path / again)

    inside.main(told("near"))
    assert capsys.readouterr().out == "3 of 3 numbers lie inside, 2 are equal\n"
    with pytest.raises(RungError, match="1 numbers lie outside"):
        inside.main(told("far"))
    assert "results.curve[0]: 0.7, published 0.4 to 0.6" in capsys.readouterr().out
    with pytest.raises(RungError, match=r"no number at results.curve\[0\]"):
        inside.main(told("short"))
    with pytest.raises(RungError, match="can't be read as results"):
        inside.main(told("nothing"))


def test_the_calculator_is_held_against_people_and_reference_solutions(
    shared_data: Path, tmp_path: Path
):
    said = run("calculator", "--data", shared_data, "--out", tmp_path, "--num-chains", 8)
    assert "| BIG-Bench-Mistake arithmetic | algebra |" in said
    rows = json.loads((tmp_path / "results.json").read_bytes())["rows"]
    assert {row["verifier"] for row in rows} == {"arithmetic", "algebra"}
    assert all(row["alarms"] <= row["called_wrong"] for row in rows)


def test_the_calculators_table_is_that_of_its_results():
    results = json.loads((RECIPES / "calculator" / "results.json").read_bytes())
    readme = (RECIPES / "calculator" / "README.md").read_text()
    assert module("calculator", "table").show(results) in readme


def test_reference_programs_are_put_through_the_sandbox(
    sandbox: Sandbox, shared_data: Path, tmp_path: Path
):
    with gzip.open(shared_data / "problems_mbpp.jsonl.gz", "rb") as stream:
        (tmp_path / "few.jsonl").write_bytes(b"".join(islice(stream, 3)))
    printed = run("verify-code", "--files", tmp_path / "few.jsonl", "--out", tmp_path, "--runs", 2)
    assert "| few.jsonl | 3 | 3 | none |" in printed
    assert "ms bare" in printed


def test_known_non_sequiturs_are_found_and_right_steps_are_left_alone(tmp_path: Path):
    made = module("verify-proofs", "made")
    chains = [made.make(family, k) for family in made.FAMILIES for k in range(3)]
    firsts = [one.kinds.count("first wrong") for one in chains]
    assert 0 < sum(firsts) <= len(chains)
    recipe = module("verify-proofs", "run")
    with pytest.raises(RungError, match="--chains is 0, expected at least 1"):
        recipe.main(recipe.Recipe(chains=0, out=tmp_path))
    run("verify-proofs", "--chains", 6, "--out", tmp_path)
    rows = json.loads((tmp_path / "results.json").read_bytes())["rows"]
    assert len(rows) == len(made.FAMILIES)
    for found in (row["found"] for row in rows):
        assert (found["right"]["0"], found["right"]["none"]) == (0, 0)
        assert (found["first wrong"]["1"], found["first wrong"]["none"]) == (0, 0)
        assert found["first wrong"]["0"] > 0 and found["later wrong"]["1"] == 0


@pytest.mark.parametrize(
    ("recipe", "table", "file"),
    [
        ("verify-code", "run", "results.json"),
        ("verify-proofs", "run", "results.json"),
        ("modern-recipe", "report", "results-lab.json"),
        ("modern-recipe", "report", "results-smollm2.json"),
    ],
)
def test_a_table_is_that_of_its_results(recipe: str, table: str, file: str):
    results = json.loads((RECIPES / recipe / file).read_bytes())
    assert module(recipe, table).show(results) in (RECIPES / recipe / "README.md").read_text()
