"""The lab: stories that can be replayed, systematic misconceptions, exact labels, its verbs."""

import random
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.cli.main import main
from rung.core import Chain, Labeler, Problem, RungError, Verdict, Verifier, read_records
from rung.core.codec import read_problems
from rung.data.lab import (
    VERBS,
    Fact,
    Lab,
    demonstrations,
    make_demonstrator,
    make_problems,
    read_story,
    solve,
    step_text,
)
from rung.label import ArithmeticLabeler, LabLabeler

LAB = Lab(num_steps=3)
(PROBLEM,) = make_problems(LAB, 1, seed=1)
RIGHT = solve(PROBLEM)


def replay(question: str) -> list[int]:
    """The piles that a story tells of, read in another way than the lab reads it."""
    words = re.sub(r"Week \d+", "Week", question).replace(".", " ").split()
    piles = [int(words[4])]
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in ("buys", "finds", "gets"):
            piles.append(piles[-1] + int(following))
        elif word in ("sells", "loses", "away"):
            piles.append(piles[-1] - int(following))
        elif word == "doubles":
            piles.append(piles[-1] + piles[-1])
        elif word == "triples":
            piles.append(piles[-1] + piles[-1] + piles[-1])
    return piles


def labels(*texts: str) -> tuple[float | None, ...]:
    (found,) = LabLabeler().label([Chain.of(PROBLEM, texts)])
    return found.labels


@given(st.integers(1, 24), st.integers(9, 30), st.integers(0, 10_000))
def test_solver_and_labeler_agree_with_a_replay_of_the_story(
    num_steps: int, largest: int, seed: int
) -> None:
    lab = Lab(num_steps=num_steps, largest=largest)
    for problem in make_problems(lab, 3, seed=seed):
        piles = replay(problem.question)
        chain = solve(problem)
        assert len(piles) == num_steps + 1
        assert all(0 <= pile <= largest for pile in piles)
        results = [int(re.findall(r"-?\d+", text)[-1]) for text in chain.texts]
        assert results == [*piles[1:], piles[-1]]
        assert problem.answer == chain.answer == str(piles[-1])
        assert LabLabeler().label([chain])[0].labels == (1.0,) * (num_steps + 1)
        assert LabLabeler().verify([chain]) == [Verdict.CORRECT]


def test_stories_of_mixed_lengths_have_each_number_of_steps_about_as_often() -> None:
    lab = Lab(num_steps=14, shortest=3)
    counts = Counter(len(read_story(p).events) for p in make_problems(lab, 1200, seed=0))
    assert sorted(counts) == list(range(3, 15))
    assert all(60 <= count <= 140 for count in counts.values())


@pytest.mark.parametrize("shortest", [0, 7])
def test_a_shortest_story_beyond_the_longest_is_refused(shortest: int) -> None:
    with pytest.raises(RungError, match=f"1 to 6 steps, not {shortest}"):
        Lab(num_steps=6, shortest=shortest)


def test_problems_differ_and_begin_alike_whatever_their_count() -> None:
    problems = list(make_problems(LAB, 300, seed=4))
    assert len({problem.question for problem in problems}) == 300
    assert problems[:20] == list(make_problems(LAB, 20, seed=4))
    assert problems[:20] != list(make_problems(LAB, 20, seed=5))


def test_more_problems_than_the_lab_holds_are_refused() -> None:
    with pytest.raises(RungError, match="so small a lab"):
        list(make_problems(Lab(num_steps=1, largest=9), 100_000, seed=0))


def test_misconceptions_are_a_fixed_share_of_the_facts_and_always_the_same_mistake() -> None:
    lab = Lab(num_steps=8, largest=20, slip_rate=0.0)
    demonstrator = make_demonstrator(lab, seed=3)
    assert len(demonstrator.misconceptions) == round(0.2 * len(lab.facts))
    assert demonstrator == make_demonstrator(lab, seed=3)
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    asked = Counter[bool]()
    problems = make_problems(lab, 2000, seed=3)
    for chain in demonstrations(demonstrator, problems, seed=3):
        for text, fact in zip(chain.texts, read_story(chain.problem).facts, strict=False):
            said = text.partition(": ")[2]
            right = f"{fact.value} {fact.symbol} {fact.operand} = {fact.result}"
            if fact in demonstrator.misconceptions:
                asked[said == right] += 1
            if said != right:
                wrong[right][said] += 1
                break
    assert len(wrong) > 20
    assert all(len(mistakes) == 1 for mistakes in wrong.values())
    assert asked[False] / asked.total() == pytest.approx(0.55, abs=0.02)


def test_slips_are_rare_and_differ() -> None:
    lab = Lab(num_steps=1, misconceived_share=0.0)
    problem = next(make_problems(lab, 1, seed=0))
    demonstrator, rng = make_demonstrator(lab, seed=0), random.Random(0)
    answers = Counter(demonstrator.demonstrate(problem, rng).answer for _ in range(5000))
    slipped = 5000 - answers[problem.answer]
    assert slipped / 5000 == pytest.approx(0.02, abs=0.008)
    assert len(answers) == 3


def test_a_misread_verb_gives_a_right_equation_that_is_the_wrong_one() -> None:
    lab = Lab(misconceived_share=0.0, slip_rate=0.0, misread_share=0.5, misread_rate=0.4)
    demonstrator = make_demonstrator(lab, seed=1)
    assert len(demonstrator.misread) == 3 and demonstrator.misread < set(VERBS)
    assert demonstrator != make_demonstrator(lab, seed=2)
    chains = list(demonstrations(demonstrator, make_problems(lab, 500, seed=1), seed=1))
    asked, errors = Counter[bool](), Counter[str]()
    for chain, known in zip(chains, LabLabeler().label(chains), strict=True):
        story = read_story(chain.problem)
        for k, (event, fact) in enumerate(zip(story.events, story.facts, strict=True)):
            opposite = Fact(fact.value, "-" if event.symbol == "+" else "+", event.operand)
            is_wrong = known.labels[k] == 0.0
            if is_wrong:
                errors[event.verb] += 1
                assert chain.texts[k] == step_text(event.month, opposite, opposite.result)
                assert lab.allows(opposite)
            if event.verb in demonstrator.misread and lab.allows(opposite):
                asked[is_wrong] += 1
            if is_wrong:
                break
    assert set(errors) == demonstrator.misread
    assert asked[True] / asked.total() == pytest.approx(0.4, abs=0.04)
    calculated = ArithmeticLabeler().label(chains)
    assert all(0.0 not in y.labels for y in calculated), "a calculator sees none of it"


def test_labeler_is_a_labeler_and_a_verifier() -> None:
    assert isinstance(LabLabeler(), Labeler)
    assert isinstance(LabLabeler(), Verifier)


def test_steps_behind_the_first_error_are_not_judged() -> None:
    first, second, third, answer = RIGHT.texts
    wrong = re.sub(r"\d+$", "99", second)
    assert labels(first, wrong, third, answer) == (1.0, 0.0, None, None)


def test_the_final_answer_is_a_labeled_step() -> None:
    assert labels(*RIGHT.texts[:-1], "The answer is 99") == (1.0, 1.0, 1.0, 0.0)


def test_stopping_early_and_writing_on_are_errors() -> None:
    first, second, *_ = RIGHT.texts
    assert labels(first, f"The answer is {RIGHT.answer}") == (1.0, 0.0)
    assert labels(first, second) == (1.0, 1.0)
    assert labels(*RIGHT.texts, RIGHT.texts[-1]) == (1.0, 1.0, 1.0, 1.0, 0.0)


def test_right_arithmetic_on_the_wrong_operands_is_an_error() -> None:
    first = RIGHT.texts[0]
    assert labels(first, first)[1] == 0.0
    assert labels("February: 1 + 1 = 2", first) == (0.0, None)
    assert labels("", *RIGHT.texts)[:2] == (0.0, None)


def test_outcomes_are_verdicts_on_the_final_answer() -> None:
    answers = [RIGHT.answer, "99", "7" * 10_000, None, "many"]
    chains = [replace(RIGHT, answer=answer) for answer in answers]
    assert LabLabeler().verify(chains) == [
        Verdict.CORRECT,
        Verdict.INCORRECT,
        Verdict.INCORRECT,
        Verdict.UNPARSED,
        Verdict.UNPARSED,
    ]


def test_a_problem_from_elsewhere_is_refused() -> None:
    chain = Chain.of(Problem("p1", "What is 2 + 2?"), ["4"])
    with pytest.raises(RungError, match="'p1' is not a story"):
        LabLabeler().label([chain])


@pytest.mark.parametrize(
    "options", [{"num_steps": 0}, {"num_steps": 25}, {"largest": 3}, {"slip_rate": 1.5}]
)
def test_a_lab_that_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(RungError):
        Lab(**options)  # pyright: ignore[reportArgumentType]


def test_rung_lab_writes_problems_and_labeled_chains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems, chains = tmp_path / "problems.jsonl", tmp_path / "chains.jsonl"
    command = ["lab", "--out", str(problems), "--chains", str(chains)]
    code = main([*command, "--count", "50", "--num-steps", "4", "--json"])
    said = msgspec.json.decode(capsys.readouterr().out)
    assert code == 0
    assert said["problems"] == 50 == sum(said["outcomes"].values())
    made = list(read_problems(problems))
    records = list(read_records(chains))
    assert [record.chain.problem for record in records] == made
    assert all(len(record.chain.steps) == 5 and record.labels for record in records)


def test_rung_lab_refuses_a_share_above_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "problems.jsonl"
    assert main(["lab", "--out", str(out), "--misconceived-share", "1.5"]) == 2
    assert "misconceived_share" in capsys.readouterr().err
    assert not out.exists()
