"""Every published format, row by row: what is read is what the source says."""

import msgspec
import pytest

from rung import Chain, ChainRecord, Problem, RungError, StepLabels, Verdict
from rung.data import FORMATS, load, load_problems, write
from rung.data.competition_math import last_box


def rows_file(path, *rows):
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def read_rows(path):
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


PROCESSBENCH = {
    "id": "gsm8k-7",
    "generator": "Qwen2-7B-Instruct",
    "problem": "What is 2 + 3 + 4?",
    "steps": ["2 + 3 = 5.", "5 + 4 = 8.", "So it is 8."],
    "final_answer_correct": False,
    "label": 1,
}
MATH_SHEPHERD = {
    "input": "What is 2 + 3? Step 1: 2 + 3 = <<2+3=5>>5. ки\nStep 2: The answer is: 5 ки",
    "label": "What is 2 + 3? Step 1: 2 + 3 = <<2+3=5>>5. +\nStep 2: The answer is: 5 -",
    "task": "GSM8K",
}
TRL = {"prompt": "What is 2 + 3?", "completions": ["2 + 3 = 5", "So 6"], "labels": [True, False]}
PRMBENCH = {
    "original_question": "Q",
    "modified_question": "What is 2 + 3?",
    "original_process": ["2 + 3 = 5"],
    "modified_process": ["2 + 3 = 6", "So 6", "6 it is"],
    "modified_steps": [1, 2],
    "error_steps": [1, 2, 9],
    "reason": "planted",
    "idx": "p1_0",
    "question": "Q",
    "classification": "confidence",
}
BIG_BENCH = {
    "input": "Sort: b a",
    "steps": ["a < b", "So: a b"],
    "answer": "a b",
    "target": "a b",
    "mistake_index": None,
}
GSM8K = {
    "question": "How many?",
    "answer": "48/2 = <<48/2=24>>24.\n24*50 = <<24*50=1200>>1200.\n#### 1,200",
}
MATH = {
    "problem": "Evaluate $x$.",
    "level": "Level 3",
    "type": "Algebra",
    "solution": "First.\n\nSo it is $\\boxed{\\frac{1}{2}}$.",
}


def read_one(tmp_path, row, **options):
    (record,) = load(rows_file(tmp_path / "rows.jsonl", row), **options)
    return record


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (PROCESSBENCH, "processbench"),
        (MATH_SHEPHERD, "math-shepherd"),
        (TRL, "trl"),
        (PRMBENCH, "prmbench"),
        (BIG_BENCH, "big-bench-mistake"),
        (GSM8K, "gsm8k"),
        (MATH, "math"),
    ],
)
def test_a_row_is_known_by_its_fields_and_reads_the_same_when_named(tmp_path, row, name):
    detected = read_one(tmp_path, row)
    assert detected == read_one(tmp_path, row, format=name)
    with pytest.raises(RungError, match=r"rows\.jsonl, line 1: (Expected `object`|Object missing)"):
        read_one(tmp_path, row, format="prm800k")


def test_processbench_labels_end_at_the_first_error(tmp_path):
    record = read_one(tmp_path, PROCESSBENCH)
    assert record.labels[0].labels == (1.0, 0.0, None)
    assert record.outcome is Verdict.INCORRECT
    assert record.chain.id == "gsm8k-7"
    assert record.chain.source.policy == "Qwen2-7B-Instruct"
    right = read_one(tmp_path, {**PROCESSBENCH, "label": -1, "final_answer_correct": True})
    assert right.labels[0].labels == (1.0, 1.0, 1.0)
    assert right.outcome is Verdict.CORRECT


@pytest.mark.parametrize("label", [-1, 0, 2])
def test_processbench_is_written_as_it_was_read(tmp_path, label):
    row = {**PROCESSBENCH, "label": label}
    write(tmp_path / "out.jsonl", [read_one(tmp_path, row)], "processbench")
    assert read_rows(tmp_path / "out.jsonl") == [row]


def test_math_shepherd_signs_become_labels_and_the_question_is_apart(tmp_path):
    record = read_one(tmp_path, MATH_SHEPHERD)
    assert record.chain.problem.question == "What is 2 + 3?"
    assert record.chain.texts == ("Step 1: 2 + 3 = <<2+3=5>>5.", "Step 2: The answer is: 5")
    assert record.labels[0].labels == (1.0, 0.0)
    assert record.labels[0].source == "rollout"
    assert record.chain.answer == "5"


def test_math_shepherd_is_written_as_it_was_read_also_without_a_last_tag(tmp_path):
    cut = {key: value[:-2].strip() for key, value in MATH_SHEPHERD.items() if key != "task"}
    cut["label"] = MATH_SHEPHERD["label"][:-1].strip()
    for row in (MATH_SHEPHERD, {**cut, "task": "GSM8K"}):
        record = read_one(tmp_path, row)
        write(tmp_path / "out.jsonl", [record], "math-shepherd")
        assert read_rows(tmp_path / "out.jsonl") == [row]
    assert record.labels[0].labels == (1.0, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": MATH_SHEPHERD["label"].replace("+\n", "*\n")}, "step 0: the label does not"),
        ({"label": "another text"}, "does not repeat the input"),
        ({"input": "no tag", "label": "no tag"}, "expected one behind every step"),
        ({"input": "no step ки", "label": "no step +"}, "no 'Step 1:'"),
    ],
)
def test_math_shepherd_rows_that_do_not_line_up_are_refused(tmp_path, change, reason):
    with pytest.raises(RungError, match=reason):
        read_one(tmp_path, {**MATH_SHEPHERD, **change})


@pytest.mark.parametrize(
    "labels",
    [
        [True, False],
        [1, 0],
        [1.0, 0.0],
        [0.25, 1.0],
        [True, 0],
        [True, 0.5],
        [1, None],
        [None, None],
    ],
)
def test_trl_rows_come_back_with_the_same_labels_of_the_same_type(tmp_path, labels):
    row = {**TRL, "labels": labels, "source_model": "m"}
    write(tmp_path / "out.jsonl", [read_one(tmp_path, row)], "trl")
    (again,) = read_rows(tmp_path / "out.jsonl")
    assert again == row
    assert [type(y) for y in again["labels"]] == [type(y) for y in labels]


def test_soft_labels_stay_floats_on_the_way_to_trl(tmp_path):
    chain = Chain.of(Problem("p", "Q"), ["a", "b"])
    soft = ChainRecord(chain, (StepLabels((0.9, None), "rollout"),), meta={"task": "GSM8K"})
    hard = ChainRecord(chain, (StepLabels((1.0, 0.0), "human"),))
    write(tmp_path / "out.jsonl", [soft, hard], "trl")
    soft_row, hard_row = read_rows(tmp_path / "out.jsonl")
    assert soft_row == {"prompt": "Q", "completions": ["a", "b"], "labels": [0.9, None]}
    assert hard_row["labels"] == [True, False]


def test_prmbench_marks_every_error_step_and_forgets_those_past_the_end(tmp_path):
    record = read_one(tmp_path, PRMBENCH)
    assert record.labels[0].labels == (0.0, 0.0, 1.0)
    assert record.labels[0].source == "planted"
    assert record.meta["error_steps"] == [1, 2, 9]
    assert record.meta["original_process"] == ["2 + 3 = 5"]


def test_big_bench_mistake_counts_from_zero_and_null_is_no_mistake(tmp_path):
    assert read_one(tmp_path, BIG_BENCH).labels[0].labels == (1.0, 1.0)
    wrong = read_one(tmp_path, {**BIG_BENCH, "mistake_index": 0})
    assert wrong.labels[0].labels == (0.0, None)
    assert (wrong.chain.answer, wrong.chain.problem.answer) == ("a b", "a b")
    with pytest.raises(RungError, match=r"step 2 \(0-based\) of 2 steps"):
        read_one(tmp_path, {**BIG_BENCH, "mistake_index": 2})


def test_gsm8k_gives_the_number_and_the_reference_chain_with_its_annotations(tmp_path):
    path = rows_file(tmp_path / "rows.jsonl", GSM8K)
    (problem,) = load_problems(path)
    assert (problem.question, problem.answer) == ("How many?", "1200")
    (record,) = load(path)
    assert record.chain.texts[0] == "48/2 = <<48/2=24>>24."
    assert record.chain.texts[-1] == "#### 1,200"
    assert (record.outcome, record.labels) == (Verdict.CORRECT, ())


def test_math_takes_the_last_box_and_later_copies_their_answer_field(tmp_path):
    path = rows_file(tmp_path / "m.jsonl", MATH, {**MATH, "answer": "7", "unique_id": "a/1.json"})
    first, second = load_problems(path)
    assert first.answer == "\\frac{1}{2}"
    assert (second.answer, second.id) == ("7", "a/1.json")
    assert next(iter(load(path))).chain.texts == ("First.", MATH["solution"].split("\n\n")[1])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} or \boxed{\text{a}{b}}", r"\text{a}{b}"),
        (r"so $\boxed 5$.", "5"),
        (r"\fbox{2}", "2"),
        (r"\boxed{open", None),
        ("no box", None),
        (r"\boxed", None),
    ],
)
def test_the_last_box_is_read_with_its_braces_matched(text, answer):
    assert last_box(text) == answer


def test_samples_become_chains_with_verdicts_and_the_reward_models_score(tmp_path):
    samples = [
        {"text": "x", "steps": ["a", "b"], "final": "5", "correct": True, "score": 2.0},
        {"text": "y", "steps": ["c"], "final": None, "correct": False, "generator": "m"},
    ]
    row = {"id": "p0", "source": "s", "problem": "Q", "answer": "5", "samples": samples}
    first, second = load(rows_file(tmp_path / "s.jsonl", row))
    assert (first.chain.id, second.chain.id) == ("p0/0", "p0/1")
    assert first.chain.problem is second.chain.problem
    assert first.scores[0].scores == (None, pytest.approx(1 / (1 + 2.718281828459045**-2)))
    assert first.meta["score"] == 2.0
    assert (first.outcome, second.outcome) == (Verdict.CORRECT, Verdict.INCORRECT)
    assert (second.chain.source.policy, second.scores) == ("m", ())


def test_solutions_that_come_as_one_text_are_cut_as_asked(tmp_path):
    gsm8k = rows_file(tmp_path / "g.jsonl", {"question": "Q", "answer": "One. Two.\n#### 2"})
    assert next(load(gsm8k)).chain.texts == ("One. Two.", "#### 2")
    assert next(load(gsm8k, steps_by="sentence")).chain.texts == ("One.", "Two.", "#### 2")
    math = rows_file(tmp_path / "m.jsonl", {**MATH, "solution": "a\nb"})
    assert next(load(math)).chain.texts == ("a\nb",)
    assert next(load(math, steps_by="newline")).chain.texts == ("a", "b")
    samples = [{"text": "a\n\nb\nc"}, {"text": "a\nb", "steps": ["given"]}]
    pool = rows_file(tmp_path / "s.jsonl", {"id": "p", "problem": "Q", "samples": samples})
    assert [r.chain.texts for r in load(pool)] == [("a", "b", "c"), ("given",)]
    assert next(load(pool, steps_by="blank-line")).chain.texts == ("a", "b\nc")
    with pytest.raises(RungError, match="no way 'words' to split"):
        list(load(gsm8k, steps_by="words"))


def test_problem_sets_without_solutions_are_problems_but_no_chains(tmp_path):
    row = {"id": "m1", "source": "s", "problem": "Q", "answer": "1", "solution": None, "meta": {}}
    path = rows_file(tmp_path / "p.jsonl", row)
    assert [p.id for p in load_problems(path)] == ["m1"]
    with pytest.raises(RungError, match="no solution, so it makes no chain"):
        list(load(path))


def test_problems_of_chain_files_are_told_apart_by_their_question(tmp_path):
    other = {**PROCESSBENCH, "id": "gsm8k-8", "problem": "Another?"}
    path = rows_file(
        tmp_path / "rows.jsonl", PROCESSBENCH, {**PROCESSBENCH, "id": "gsm8k-9"}, other
    )
    assert [p.question for p in load_problems(path)] == [PROCESSBENCH["problem"], "Another?"]


def test_what_cannot_be_said_in_a_format_is_refused_with_the_chains_number(tmp_path):
    out = tmp_path / "out.jsonl"
    chain = Chain.of(Problem("p", "Q"), ["a"])
    unlabeled = ChainRecord(chain)
    labeled = unlabeled.with_labels(StepLabels((1.0,), "human"))
    both = labeled.with_labels(StepLabels((0.0,), "judge"))
    for record, format, labels, reason in [
        (unlabeled, "trl", None, "chain 1 .* needs one set of labels, the chain has none"),
        (both, "trl", None, "the chain has 'human', 'judge'"),
        (both, "trl", "nobody", "needs labels from 'nobody'"),
        (labeled, "processbench", None, "need an id"),
        (labeled, "math-shepherd", None, "begins with 'Step 1:'"),
        (labeled, "prm800k", None, "doesn't write it, it writes rung, math-shepherd, trl, proc"),
        (labeled, "csv", None, "no format 'csv'; known are rung, "),
    ]:
        with pytest.raises(RungError, match=reason):
            write(out, [record], format, labels)
        assert not out.exists()
    assert write(out, [both], "trl", "judge") == 1


def test_every_format_says_what_it_is_and_reads_something():
    assert all(f.about and f.name == name for name, f in FORMATS.items())
    scores_alone = [f.name for f in FORMATS.values() if f.read is None and f.problem is None]
    assert scores_alone == ["published-scores", "prmbench-results"]
