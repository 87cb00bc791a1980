"""`rung eval` as a person types it."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from eval_records import made_records

from rung.cli.main import main
from rung.core import write_records


@pytest.fixture
def scored(tmp_path):
    path = tmp_path / "scored.jsonl"
    write_records(path, made_records(num_problems=10))
    return path


def run_json(capsys, *args):
    assert main(["eval", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails_with(capsys, *args):
    assert main(["eval", *map(str, args)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("rung: ")
    return last


def test_best_of_n_finds_prm_and_orm_by_what_they_score(capsys, scored):
    result = run_json(capsys, "best-of-n", scored, "--resamples", 50)
    assert (result["prm"], result["orm"], result["ns"]) == ("prm", "orm", [1, 2, 4, 8])
    assert {"prm_min", "prm_product", "orm", "majority", "oracle"} <= set(result["curves"])
    assert result["skipped_rows"] == 0


def test_best_of_n_writes_its_folder(capsys, scored, tmp_path):
    result = run_json(capsys, "best-of-n", scored, "--resamples", 50, "--out", tmp_path / "o")
    assert json.loads((tmp_path / "o" / "best_of_n.json").read_text()) == result
    assert (tmp_path / "o" / "curves.svg").read_text().startswith("<svg")
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["best_of_n.json", "curves.svg"]


def test_tables_show_the_numbers_with_intervals_and_counts(capsys, scored):
    result = run_json(capsys, "best-of-n", scored, "--resamples", 50)
    assert main(["eval", "best-of-n", str(scored), "--resamples", "50"]) == 0
    shown = capsys.readouterr().out
    point = result["curves"]["prm_min"][-1]
    assert f"{100 * point['accuracy']:.1f}" in shown
    assert f"{100 * point['low']:.0f}–{100 * point['high']:.0f}" in shown
    assert "10 problems, 80 chains" in shown
    assert "prm_min minus orm" in shown and "prm_min minus majority" in shown


def test_with_a_verifier_every_rule_is_shown_again_among_what_it_leaves(capsys, scored, tmp_path):
    args = ["best-of-n", scored, "--resamples", 50, "--verifier", "lab"]
    result = run_json(capsys, *args, "--out", tmp_path / "o")
    twins = {name for name in result["curves"] if name.startswith("verified_")}
    assert {f"verified_{name}" for name in set(result["curves"]) - twins} == twins
    assert main(["eval", *map(str, args)]) == 0
    shown = capsys.readouterr().out
    refuted = result["chains"]["refuted"]
    assert f"lab refutes {refuted} of the 80 chains, 0 of them right; among the others:" in shown
    assert "verified_prm_min minus verified_orm, in points" in shown
    assert "verified_prm_min minus prm_min, in points" in shown
    assert "verified_prm_sum" not in shown, "the JSON has them all"
    assert "PRM, verified" in (tmp_path / "o" / "curves.svg").read_text()
    assert "labels from 'x'; there are labels from 'lab'" in fails_with(
        capsys, "best-of-n", scored, "--verifier", "x"
    )


def test_chains_come_from_standard_input_too(capsys, monkeypatch, scored):
    from_file = run_json(capsys, "best-of-n", scored, "--resamples", 20)
    stdin = SimpleNamespace(buffer=io.BytesIO(scored.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run_json(capsys, "best-of-n", "-", "--resamples", 20) == from_file


def test_several_files_are_taken_together(capsys, tmp_path):
    records = made_records(num_problems=10)
    write_records(tmp_path / "a.jsonl", records[:40])
    write_records(tmp_path / "b.jsonl.gz", records[40:])
    result = run_json(
        capsys, "best-of-n", tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", "--resamples", 20
    )
    assert result["num_problems"] == 10


def test_steps_measures_every_scorer_unless_one_is_named(capsys, scored):
    both = run_json(capsys, "steps", scored, "--resamples", 20)["metrics"]
    assert [m["scorer"] for m in both] == ["prm", "orm"]
    one = run_json(capsys, "steps", scored, "--resamples", 20, "--scorer", "prm")["metrics"]
    assert one == both[:1]
    assert one[0]["auroc"]["low"] <= one[0]["auroc"]["value"] <= one[0]["auroc"]["high"]
    assert main(["eval", "steps", str(scored), "--resamples", "20"]) == 0
    assert "step AUROC" in capsys.readouterr().out


def test_processbench_takes_any_labeled_chains(capsys, scored):
    rows = run_json(
        capsys, "processbench", scored, "--resamples", 20, "--scorer", "prm", "--tune-on", "all"
    )["metrics"]
    assert len(rows) == 1 and 0 < rows[0]["threshold"] < 1
    assert rows[0]["num_erroneous"] + rows[0]["num_correct"] == 80


def test_bad_rows_are_refused_with_file_and_line_or_left_out_and_counted(capsys, scored):
    with scored.open("ab") as stream:
        stream.write(b'{"rung": 1, "record": {"chain"')
    assert f"{scored}, line 81" in fails_with(capsys, "best-of-n", scored)
    result = run_json(capsys, "best-of-n", scored, "--skip-bad", "--resamples", 20)
    assert result["skipped_rows"] == 1 and result["num_problems"] == 10


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["best-of-n"], "nothing to measure"),
        (["best-of-n", "{file}", "--prm", "nobody"], "no scores by 'nobody'"),
        (["best-of-n", "{file}", "--rule", "median"], "no rule 'median'"),
        (["best-of-n", "{file}", "--ns", "0"], "--ns needs numbers from 1 on"),
        (["best-of-n", "{file}", "--ns", "512"], "no problem has 512 usable chains"),
        (["best-of-n", "{file}", "--resamples", "0"], "--resamples needs at least 1"),
        (["steps", "{file}", "--label-source", "judge"], "no labels from 'judge'"),
        (["processbench", "{file}", "--tune-on", "gsm8k"], "no subset 'gsm8k'"),
        (["steps", "{file}.missing"], "no such file"),
        (["steps", "{file}", "--format", "xml"], "no format 'xml'"),
    ],
)
def test_a_mistake_is_one_clear_sentence_and_exit_code_2(capsys, scored, tmp_path, args, message):
    before = sorted(path.name for path in tmp_path.iterdir())
    assert message in fails_with(capsys, *(arg.format(file=scored) for arg in args))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_failed_measurement_writes_nothing(capsys, scored, tmp_path):
    fails_with(capsys, "best-of-n", scored, "--ns", "512", "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_an_empty_file_is_named(capsys, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    assert "empty.jsonl: the file is empty" in fails_with(capsys, "steps", empty)


def test_chains_without_scores_say_what_makes_them(capsys, tmp_path):
    from dataclasses import replace

    bare = [replace(record, scores=()) for record in made_records(num_problems=2)]
    write_records(tmp_path / "bare.jsonl", bare)
    assert "'rung score' makes them" in fails_with(capsys, "steps", tmp_path / "bare.jsonl")
    result = run_json(capsys, "best-of-n", tmp_path / "bare.jsonl", "--resamples", 20)
    assert set(result["curves"]) == {"majority", "random", "oracle"}
