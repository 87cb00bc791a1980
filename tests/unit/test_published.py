"""Published results that come along: complete, with sources, and consistent in themselves."""

import json

import pytest

from rung.cli.main import main
from rung.core import RungError
from rung.eval import published_results
from rung.eval.prmbench import ASPECTS

BENCHMARKS = published_results()


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda one: one.name)
def test_every_row_names_a_source_with_an_address_and_only_known_columns(benchmark):
    for row in benchmark.rows:
        assert benchmark.sources[row.source].url.startswith("https://")
        assert row.values and set(row.values) <= set(benchmark.columns)
        assert all(0 <= value <= 100 for value in row.values.values())
    assert len({row.model for row in benchmark.rows}) == len(benchmark.rows)


def in_step(value, expected):
    """Equal but for the rounding of what it was computed from."""
    return abs(value - expected) <= 0.1 + 1e-9


@pytest.mark.parametrize("name", ["processbench", "processbench-fover"])
def test_published_f1_is_the_harmonic_mean_of_the_published_accuracies(name):
    checked = 0
    for row in published_results([name])[0].rows:
        for subset in ("gsm8k", "math", "olympiadbench", "omnimath"):
            if f"{subset} wrong" in row.values:
                wrong, right = row.values[f"{subset} wrong"], row.values[f"{subset} right"]
                assert in_step(row.values[f"{subset} F1"], 2 * wrong * right / (wrong + right))
                checked += 1
    assert checked >= 20


def test_published_averages_are_those_of_their_columns():
    for row in published_results(["processbench"])[0].rows:
        subsets = [value for name, value in row.values.items() if name.endswith("F1")][:4]
        assert in_step(row.values["average F1"], sum(subsets) / 4)
    for row in published_results(["prmbench"])[0].rows:
        for aspect, classes in ASPECTS.items():
            mean = sum(row.values[name] for name in classes) / len(classes)
            assert in_step(row.values[aspect], mean), (row.model, aspect)


def test_averages_of_exams_are_those_of_their_columns_but_for_one_that_the_source_has_so():
    others: list[str] = []
    for row in published_results(["rl-qwen2.5-math-7b"])[0].rows:
        *exams, average = row.values.values()
        if not in_step(average, sum(exams) / len(exams)):
            others.append(row.model)
    assert others == ["PURE, paid by PRM"]


def test_the_prm_of_lets_verify_stands_beside_its_orm_and_the_vote():
    rows = {row.model: row for row in published_results(["best-of-n-prm800k"])[0].rows}
    curve = rows["PRM of Let's Verify Step by Step"].values
    assert rows["the same, as notes on the paper give it"].values["N=1860"] == curve["N=1860"]
    orm, vote = (rows[name].values for name in ("ORM of Let's Verify Step by Step", "majority"))
    assert all(curve["N=1860"] > other["N=1860"] for other in (orm, vote))


def test_an_unknown_benchmark_is_said_to_be_unknown():
    with pytest.raises(RungError, match="nothing is published here of 'gsm8k', only of process"):
        published_results(["gsm8k"])


def test_rung_eval_published_lists_them_and_shows_one(capsys):
    assert main(["eval", "published"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in listed] == [one.name for one in BENCHMARKS]
    assert main(["eval", "published", "prmbench"]) == 0
    shown = capsys.readouterr().out
    assert "Qwen2.5-Math-PRM-7B (PRM)" in shown and "https://github.com/PRMBench" in shown
    assert main(["eval", "published", "prmbench", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["benchmarks"][0]["rows"]
    assert len(rows) == 26


def test_processbench_shows_published_lines_under_their_subset(capsys, tmp_path):
    from dataclasses import replace

    from eval_records import made_records

    from rung.core import write_records

    records = [replace(r, meta={"subset": "gsm8k"}) for r in made_records(num_problems=3)]
    write_records(tmp_path / "s.jsonl", records)
    command = ["eval", "processbench", str(tmp_path / "s.jsonl"), "--scorer", "prm"]
    assert main([*command, "--resamples", "20", "--published"]) == 0
    shown = capsys.readouterr().out
    assert "Math-Shepherd-7B (published)" in shown and "47.9" in shown and "23.8" not in shown
    assert main([*command, "--resamples", "20"]) == 0
    assert "published" not in capsys.readouterr().out
