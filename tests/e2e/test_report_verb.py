"""`rung report`: a run's folder becomes one page."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from rung import (
    Chain,
    ChainRecord,
    Problem,
    StepLabels,
    StepScores,
    Verdict,
    read_records,
    write_records,
)
from rung.cli.main import main
from rung.eval import variant_records
from rung.score import RandomScorer, score_records


def sampled(rng: random.Random, problem: int, number: int) -> ChainRecord:
    is_right = rng.random() < 0.4
    answer = "7" if is_right else str(rng.randint(10, 12))
    error = None if is_right else rng.randrange(2)
    labels = [1.0 if error is None or k < error else 0.0 if k == error else None for k in range(2)]
    scores = [min(1.0, (0.2 if y == 0.0 else 0.6) + 0.4 * rng.random()) for y in labels]
    steps = [f"<b>{number}</b> a", f"The answer is {answer}."]
    return ChainRecord(
        Chain.of(Problem(f"p{problem}", f"question {problem}", "7"), steps, answer=answer),
        (StepLabels(tuple(labels), "lab"),),
        (StepScores(tuple(scores), "prm"), StepScores((None, scores[-1]), "orm")),
        Verdict.CORRECT if is_right else Verdict.INCORRECT,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What the verbs leave: scored chains in two files, picked ones, variants, cost, losses."""
    folder, rng = tmp_path / "my-run", random.Random(0)
    (folder / "prm").mkdir(parents=True)
    records = [sampled(rng, problem, number) for problem in range(12) for number in range(4)]
    write_records(folder / "scored.jsonl.gz", records)
    random_scores = score_records([replace(r, scores=()) for r in records], [RandomScorer()])
    write_records(folder / "random.jsonl", random_scores)
    picked = [replace(r, meta={"rerank": {"by": "min"}}) for r in records[::4]]
    write_records(folder / "picked.jsonl", picked)
    write_records(folder / "unscored.jsonl", [replace(r, scores=()) for r in records[:3]])
    write_records(
        folder / "variants.jsonl", score_records(variant_records(records[:6]), [RandomScorer()])
    )
    cost = {"prm": {"chains": 48, "tokens": 960, "seconds": 2.5}}
    (folder / "scored.jsonl.gz.cost.json").write_text(json.dumps(cost))
    stages = {"settings": {}, "stages": [{"name": "sample", "seconds": 61.0, "tokens": 5000}]}
    (folder / "stages.json").write_text(json.dumps(stages))
    rows = [{"step": k, "loss": 1 / k} for k in range(1, 200)] + [
        {"step": 199, "validation_loss": 0.4}
    ]
    (folder / "prm" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


OPTIONS = ["--prm", "prm", "--resamples", "50"]


def test_the_page_has_every_part_that_the_folder_allows(run: Path, capsys):
    assert main(["report", str(run), *OPTIONS, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == ["random.jsonl", "scored.jsonl.gz"] and said["chains"] == 48
    page = Path(said["page"]).read_text()
    assert Path(said["page"]) == run / "run.html"
    for heading in [
        "How often the picked chain is right",
        "All scorers, all measures",
        "What a step's score means",
        "Early steps and late ones",
        "How near the first doubt stands",
        "Scores where only the form differs",
        "Training prm",
        "chains, step by step",
        "What it cost",
    ]:
        assert heading in page, heading
    assert "majority vote" in page and "score with prm" in page and "1 min 01 s" in page
    assert "rung report" in page and "Losses of prm: training" in page


def test_the_page_stands_alone_and_escapes_what_models_wrote(run: Path):
    assert main(["report", str(run), *OPTIONS]) == 0
    page = (run / "run.html").read_text()
    assert not re.search(r'(?:src|href)="|<script|<link|url\(', page)
    assert "<b>0</b> a" not in page and "&lt;b&gt;" in page


def test_the_same_folder_gives_the_same_page(run: Path, tmp_path: Path):
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        assert main(["report", str(run), *OPTIONS, "--out", str(page)]) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_labels_alone_or_verdicts_alone_make_a_page_too(tmp_path: Path):
    rng = random.Random(1)
    records = [sampled(rng, problem, number) for problem in range(8) for number in range(4)]
    for name, part in {
        "labels": [replace(r, outcome=None) for r in records[::4]],
        "verdicts": [replace(r, labels=()) for r in records],
    }.items():
        (tmp_path / name).mkdir()
        write_records(tmp_path / name / "scored.jsonl", part)
        assert main(["report", str(tmp_path / name), "--resamples", "20"]) == 0
        page = (tmp_path / name / "run.html").read_text()
        assert ("How often the picked chain" in page) is (name == "verdicts")
        assert ("Early steps and late ones" in page) is (name == "labels")


def test_a_training_alone_makes_a_page_too(run: Path, capsys):
    folder = run / "prm"
    assert main(["report", str(folder)]) == 0
    assert "training of prm: see" in capsys.readouterr().out
    page = (folder / "run.html").read_text()
    assert "<h1>What prm holds.</h1>" in page and "Losses of prm: training" in page
    assert "How often the picked chain" not in page and "Chains from" not in page


def test_what_is_no_part_of_the_run_is_passed_over(run: Path, capsys):
    (run / "notes.jsonl").write_text('{"who":"me","said":"try again"}\n')
    probed = replace(next(read_records(run / "random.jsonl")), meta={"probe": {"of": 0}})
    write_records(run / "probes.jsonl", [probed])
    assert main(["report", str(run), *OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["random.jsonl", "scored.jsonl.gz"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "scored.jsonl.gz").write_bytes(b"no gzip"), "scored.jsonl.gz"),
        (lambda run: (run / "stages.json").write_text("{}"), "stages.json: this is no list of"),
        (lambda run: (run / "prm" / "metrics.jsonl").write_text("{"), "metrics.jsonl: this is not"),
        (
            lambda run: (run / "scored.jsonl.gz.cost.json").write_text("[1]"),
            "cost.json: this doesn't say what scores took",
        ),
        (
            lambda run: [path.unlink() for path in run.rglob("*.jsonl*")],
            "there are no scored chains here ('rung score' makes them), and no training",
        ),
    ],
)
def test_a_damaged_file_is_named_and_no_page_is_left(run: Path, capsys, damage, message):
    damage(run)
    assert main(["report", str(run), *OPTIONS]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("rung: ") and message in last
    assert not (run / "run.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "'random', 'prm' score every step; name one of them with --prm"),
        (["--prm", "nobody"], "no scores by 'nobody'"),
        (["--prm", "prm", "--rule", "median"], "no rule 'median'"),
        (["--prm", "prm", "--label-source", "judge"], "no labels from 'judge'"),
    ],
)
def test_what_is_not_clear_is_asked_for(run: Path, capsys, options, message):
    assert main(["report", str(run), *options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_folder_is_named(tmp_path: Path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "none: there is no such folder" in capsys.readouterr().err
