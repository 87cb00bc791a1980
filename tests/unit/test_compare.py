"""Many scorers in one table: the numbers of the single verbs, paired tests, one correction."""

import json
from dataclasses import replace

import numpy as np
import pytest
from eval_records import made_records

from rung.cli.main import main
from rung.core import RungError, StepScores, write_records
from rung.eval import best_of_n, compare, measures_of, processbench, step_metrics
from rung.eval.compare import bootstrap_p_value
from rung.eval.ranking import Ranking, auroc_of_problems
from rung.eval.statistics import holm, resample_weights


def noisy(record, name, shift):
    """A second PRM: the first one's scores, pulled towards 0.5."""
    scores = record.scores_by("prm").scores
    return record.with_scores(StepScores(tuple(0.5 + shift * (s - 0.5) for s in scores), name))


@pytest.fixture(scope="module")
def records():
    return [noisy(record, "dull", 0.1) for record in made_records(num_problems=20)]


@pytest.fixture(scope="module")
def found(records):
    return compare(measures_of(records, ["prm", "dull", "orm"]), resamples=400)


def by_name(found):
    return {one.name: one for one in found.measures}


def test_the_table_has_the_numbers_of_the_single_verbs(records, found):
    table = by_name(found)
    assert set(table) == {
        "first-error F1",
        "step AUROC",
        "calibration error",
        "Brier score",
        "best of 8 (min)",
    }
    for scorer in ("prm", "dull"):
        [single] = processbench(records, scorer=scorer, resamples=5)
        assert table["first-error F1"].scores[scorer].value == pytest.approx(single.f1.value)
        steps = step_metrics(records, scorer=scorer, resamples=5)
        assert table["step AUROC"].scores[scorer].value == pytest.approx(steps.auroc.value)
        calibration = steps.calibration
        assert table["Brier score"].scores[scorer].value == pytest.approx(calibration.brier.value)
        ece = table["calibration error"].scores[scorer].value
        assert ece == pytest.approx(calibration.ece.value)
    curves = best_of_n(records, prm="prm", orm="orm", resamples=5)
    picks = table["best of 8 (min)"].scores
    assert picks["prm"].value == pytest.approx(curves.at("prm_min", 8).accuracy)
    assert picks["orm"].value == pytest.approx(curves.at("orm", 8).accuracy)
    assert picks["majority vote"].value == pytest.approx(curves.at("majority", 8).accuracy)


def test_processbench_prmbench_and_best_of_n_stand_in_one_table(records):
    planted = [
        replace(record, meta={"classification": "circular", "idx": f"circular_{k}"}, outcome=None)
        for k, record in enumerate(records[:16])
    ]
    others = [replace(record, meta={"subset": "gsm8k"}) for record in records[16:]]
    table = by_name(compare(measures_of([*planted, *others], ["prm", "dull"]), resamples=20))
    assert {"PRMScore", "first-error F1, gsm8k", "best of 8 (min)"} <= set(table)


def test_an_orm_is_compared_only_where_one_score_a_chain_is_enough(found):
    table = by_name(found)
    assert "orm" in table["best of 8 (min)"].scores
    assert "orm" not in table["step AUROC"].scores


def test_a_scorer_against_its_own_copy_differs_nowhere(records):
    twins = [r.with_scores(replace(r.scores_by("prm"), scorer="twin")) for r in records]
    tests = compare(measures_of(twins, ["prm", "twin"]), resamples=200).tests
    pairs = [test for test in tests if {test.first, test.second} == {"prm", "twin"}]
    assert pairs and all(t.difference == t.low == t.high == 0 for t in pairs)
    assert all(t.p_value == t.p_holm == 1.0 for t in pairs)


def test_differences_are_paired_so_they_can_be_clear_where_intervals_overlap(records, found):
    [test] = [t for t in found.tests if t.measure == "Brier score"]
    assert (test.first, test.second) == ("prm", "dull")
    assert test.difference < 0 and test.high < 0 and test.first_is_better
    alone = by_name(found)["Brier score"].scores
    difference = alone["prm"].high - alone["prm"].low
    assert test.high - test.low < difference + (alone["dull"].high - alone["dull"].low)


def test_tests_against_one_scorer_are_fewer_and_their_correction_is_milder(records):
    measures = measures_of(records, ["prm", "dull", "orm"], kinds=["best-of-n"])
    everyone = compare(measures, resamples=400)
    one = compare(measures, against="majority vote", resamples=400)
    assert (len(everyone.tests), len(one.tests)) == (6, 3)
    raw = {(t.first, t.second): t for t in everyone.tests}
    for test in one.tests:
        other = raw[(test.first, test.second)]
        assert test.p_value == other.p_value and test.p_holm <= other.p_holm


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_p_value_is_where_the_percentile_interval_reaches_0():
    drawn = np.arange(1, 1000) - 25.0  # 25 of 999 at or below 0
    assert bootstrap_p_value(drawn) == pytest.approx(2 * 26 / 1000)
    assert bootstrap_p_value(np.zeros(99)) == 1.0
    assert bootstrap_p_value(np.array([1.0] * 99 + [np.nan])) == pytest.approx(0.02)


def test_resamples_are_enough_for_a_clear_difference_to_survive_the_correction(records):
    names = ["prm", *(f"dull{k}" for k in range(8))]
    for k in range(8):
        records = [noisy(record, f"dull{k}", 0.1 + k / 100) for record in records]
    found = compare(measures_of(records, names, kinds=["steps"]))
    smallest = 2 / (found.resamples + 1)
    assert len(found.tests) == 3 * 36 and smallest * len(found.tests) < 0.05


def test_chains_that_one_scorer_lacks_are_left_out_for_all_and_counted(records):
    kept = records[0].scores_by("prm"), records[0].scores_by("orm")
    short = [replace(records[0], scores=kept), *records[1:]]
    found = compare(measures_of(short, ["prm", "dull"]), resamples=20)
    assert all(
        "1 chains left out: not all have read them" in one.note
        for one in found.measures
        if one.name in ("first-error F1", "step AUROC")
    )
    assert by_name(found)["step AUROC"].num_chains == len(records) - 1


def test_auroc_as_quadratic_forms_is_the_auroc_of_weighted_steps():
    rng = np.random.default_rng(0)
    scores_J = rng.integers(0, 6, 300) / 5.0  # with ties
    right_J, problem_J = rng.random(300) < 0.6, np.sort(rng.integers(0, 17, 300))
    problem_J[:17] = np.arange(17)
    weights_RP = np.vstack([np.ones(17), resample_weights(17, resamples=9, seed=1)])
    ranking = Ranking.of(scores_J, right_J)
    expected = [ranking.auroc(weights_P[problem_J]) for weights_P in weights_RP]
    assert auroc_of_problems(scores_J, right_J, problem_J, num_problems=17)(
        weights_RP
    ) == pytest.approx(expected)


def test_chains_without_labels_and_verdicts_say_what_they_need(records):
    bare = [replace(record, labels=(), outcome=None) for record in records]
    with pytest.raises(RungError, match="nothing to compare: the chains need scores, and step"):
        compare(measures_of(bare, ["prm"]))


@pytest.fixture
def files(tmp_path, records):
    """One file a scorer, as `rung score` leaves them."""
    for name in ("prm", "dull", "orm"):
        alone = [replace(record, scores=(record.scores_by(name),)) for record in records]
        write_records(tmp_path / f"{name}.jsonl", alone)
    return [tmp_path / f"{name}.jsonl" for name in ("prm", "dull", "orm")]


def run(capsys, *args):
    assert main(["eval", "compare", *map(str, args), "--resamples", "100"]) == 0
    return capsys.readouterr().out


def test_a_file_for_each_scorer_is_one_table(capsys, files, records):
    result = json.loads(run(capsys, *files, "--json"))
    assert result["scorers"] == ["prm", "dull", "orm", "majority vote"] or set(
        result["scorers"]
    ) == {"prm", "dull", "orm", "majority vote"}
    best = next(one for one in result["measures"] if one["name"] == "best of 8 (min)")
    assert best["num_chains"] == len(records)


def test_markdown_html_and_json_say_the_same(capsys, files, tmp_path):
    result = json.loads(run(capsys, *files, "--out", tmp_path / "o", "--json"))
    assert json.loads((tmp_path / "o" / "comparison.json").read_text()) == result
    value = result["measures"][0]["scores"]["prm"]["value"]
    markdown = (tmp_path / "o" / "comparison.md").read_text()
    page = (tmp_path / "o" / "comparison.html").read_text()
    for text in (markdown, page, run(capsys, *files)):
        assert f"{100 * value:.1f}" in text and "majority vote" in text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page and "rung eval compare" in page
    assert sum(line.startswith("| prm |") for line in markdown.splitlines()) == 1


def test_costs_stand_beside_accuracy_where_they_are_known(capsys, files):
    cost = {"prm": {"chains": 160, "tokens": 3200, "seconds": 8.0}}
    files[0].with_name("prm.jsonl.cost.json").write_text(json.dumps(cost))
    assert json.loads(run(capsys, *files, "--json"))["costs"] == cost
    shown = run(capsys, *files)
    assert "tokens a chain" in shown and "20.0" in shown and "0.0500" in shown


def test_names_from_files_are_escaped_on_the_page(capsys, tmp_path, records):
    name = "<img src=x>|"
    evil = [r.with_scores(replace(r.scores_by("prm"), scorer=name)) for r in records]
    write_records(tmp_path / "evil.jsonl", evil)
    run(capsys, tmp_path / "evil.jsonl", "--out", tmp_path / "o")
    assert "<img" not in (tmp_path / "o" / "comparison.html").read_text()
    assert r"<img src=x>\|" in (tmp_path / "o" / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{file}", "--scorer", "nobody"], "no scores by 'nobody'"),
        (["{file}", "--against", "nobody"], "no scores by 'nobody'"),
        (["{file}", "--rule", "median"], "no rule 'median'"),
        (["{file}", "--n", "0"], "--n needs at least 1"),
        (["{file}", "--resamples", "0"], "--resamples needs at least 1"),
        (["{file}", "--n", "99"], "no problem has 99 chains that all have read; the most is 8"),
        (["{file}", "--tune-on", "gsm8k"], "no subset 'gsm8k'"),
        (["{file}", "--label-source", "judge"], "no labels from 'judge'"),
        (["{file}.cost.json"], "no such file"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, files, tmp_path, args, message):
    command = [arg.format(file=files[0]) for arg in args]
    assert main(["eval", "compare", *command, "--out", str(tmp_path / "o")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1] and captured.out == ""
    assert not (tmp_path / "o").exists()


def test_a_damaged_file_of_costs_is_named(capsys, files):
    files[0].with_name("prm.jsonl.cost.json").write_text("[]")
    assert main(["eval", "compare", *map(str, files)]) == 2
    assert "prm.jsonl.cost.json: this doesn't say what" in capsys.readouterr().err
