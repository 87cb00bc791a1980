"""Made chains for the tests of curves, report and command line."""

import random

from rung.core import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict


def made_records(num_problems=40, num_chains=8, seed=0):
    """Chains that a PRM tells apart well, an ORM badly, and with a popular wrong answer."""
    rng = random.Random(seed)
    return [
        made_record(rng, problem, number)
        for problem in range(num_problems)
        for number in range(num_chains)
    ]


def made_record(rng, problem, number):
    is_right = rng.random() < 0.35
    answer = "7" if is_right else ("8" if rng.random() < 0.8 else str(rng.randint(20, 30)))
    steps = [f"step one of {number}", f"step two of {number}", f"The answer is {answer}."]
    error = None if is_right else rng.randrange(3)
    labels = [1.0 if error is None or k < error else 0.0 if k == error else None for k in range(3)]
    good = [
        round((0.3 if y == 0.0 and rng.random() < 0.9 else 0.8) + 0.15 * rng.random(), 3)
        for y in labels
    ]
    last = round(0.5 + 0.04 * is_right + 0.3 * rng.random(), 3)
    return ChainRecord(
        Chain.of(Problem(f"p{problem}", f"question {problem}", "7"), steps, answer=answer),
        (StepLabels(tuple(labels), "lab"),),
        (StepScores(tuple(good), "prm"), StepScores((None, None, last), "orm")),
        Verdict.CORRECT if is_right else Verdict.INCORRECT,
    )
