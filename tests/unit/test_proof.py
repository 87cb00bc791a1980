"""Z3 says which steps follow; what it can't say stays open."""

from collections.abc import Iterator, Sequence

import pytest

from rung import Chain, Problem, RungError, Verdict
from rung.verify import Finding, ProofVerifier
from rung.verify import proof as proof_module
from rung.verify.theory import Theory, read_premises, script
from rung.verify.z3_worker import solve

SUM_OF_CUBES = "x, y, z: int"
NO_SUM_OF_CUBES = "x*x*x + y*y*y + z*z*z != 114"
"""Nobody knows whether this holds: Z3 searches for ever."""


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProofVerifier]:
    with ProofVerifier(workers=1) as made:
        yield made


def chain(premises: Sequence[str], *steps: str, answer: str | None = None) -> Chain:
    return Chain.of(Problem("p", "Prove it.", answer, premises=tuple(premises)), steps)


def found(verifier: ProofVerifier, *args: object, **kwargs: object) -> tuple[Finding, ...]:
    return verifier.check([chain(*args, **kwargs)])[0].steps  # type: ignore[arg-type]


def test_a_step_follows_from_premises_and_earlier_steps(verifier: ProofVerifier):
    steps = found(verifier, ["p -> q", "q -> r", "p"], "q", "r", "r or s", "p and r")
    assert [step.label for step in steps] == [1.0] * 4
    assert {str(step) for step in steps} == {"follows"}


def test_what_does_not_follow_has_a_counterexample(verifier: ProofVerifier):
    (step,) = found(verifier, ["p -> q", "q"], "p")
    assert (step.status, step.label) == ("does-not-follow", 0.0)
    assert step.detail == "p = false, q = true"
    (step,) = found(verifier, ["n > 2"], "n >= 3")
    assert step.detail.startswith("n = ")


@pytest.mark.parametrize(
    ("premises", "right", "wrong"),
    [
        (["x + y = 10", "x - y = 4"], "x = 7 and y = 3", "x = 6"),
        (["n: int", "n > 2"], "n >= 3", "n > 3"),
        (["n: int", "n mod 2 = 1"], "n*n mod 4 = 1", "n mod 4 = 1"),
        (["0 < a < b"], "a / b < 1", "b < 2 * a"),
        (["forall x. man(x) -> mortal(x)", "man(s)"], "mortal(s)", "forall x. mortal(x)"),
        (["(declare-const n Int)", "(> n 2)"], "(>= n 3)", "(> n 3)"),
        (["a = b", "b = c"], "c = a", "a = d"),
    ],
)
def test_arithmetic_and_quantifiers(
    verifier: ProofVerifier, premises: list[str], right: str, wrong: str
):
    assert [step.label for step in found(verifier, premises, right, wrong)] == [1.0, 0.0]


def test_a_wrong_step_is_no_help_and_what_is_proved_without_it_is_right(verifier: ProofVerifier):
    steps = found(verifier, ["p -> q", "q -> r", "p or t"], "p", "q", "q or t", "r or t", "not t")
    assert [step.status for step in steps] == [
        "does-not-follow",
        "in-doubt",
        "follows",
        "follows",
        "does-not-follow",
    ]
    assert [step.label for step in steps] == [0.0, None, 1.0, 1.0, 0.0]


def test_behind_a_step_that_cannot_be_read_nothing_is_called_wrong(verifier: ProofVerifier):
    steps = found(verifier, ["p", "q or r"], "we see that q", "q", "p or q")
    assert [step.status for step in steps] == ["unparsed", "in-doubt", "follows"]
    assert [step.label for step in steps] == [None, None, 1.0]


def test_contradictory_premises_are_told_and_judge_nothing(verifier: ProofVerifier):
    (report,) = verifier.check([chain(["p", "not p"], "q", "not q", answer="q")])
    assert report.labels == (None, None)
    assert "contradict each other" in str(report.steps[0])
    assert report.outcome is None


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        (["q", "r"], Verdict.CORRECT),
        (["not p", "q", "r"], Verdict.CORRECT),
        (["q"], Verdict.INCORRECT),
        (["q", "not r"], Verdict.INCORRECT),
        (["not s", "r and not s"], Verdict.INCORRECT),
        (["q", "clearly r"], Verdict.UNPARSED),
    ],
)
def test_the_outcome_is_whether_the_answer_was_proved(
    verifier: ProofVerifier, steps: list[str], outcome: Verdict
):
    proof = chain(["p -> q", "q -> r", "p"], *steps, answer="r")
    assert verifier.verify([proof]) == [outcome]


def test_an_answer_that_is_no_formula_gives_no_outcome(verifier: ProofVerifier):
    assert verifier.check([chain(["p"], "p", answer="It is 14.")])[0].outcome is None


def test_what_z3_cannot_do_in_time_is_not_judged():
    with ProofVerifier(workers=1, timeout_s=0.3) as verifier:
        steps = found(verifier, [SUM_OF_CUBES, "x > 3"], NO_SUM_OF_CUBES, "x > 2", "x > 9")
        outcomes = verifier.verify([chain([SUM_OF_CUBES], NO_SUM_OF_CUBES, answer="x > 2")])
    assert [step.status for step in steps][:2] == ["timeout", "follows"]
    assert [step.label for step in steps][:2] == [None, 1.0]
    assert "0.3 s" in steps[0].detail
    assert outcomes == [Verdict.TIMEOUT]


def test_a_process_that_does_not_keep_to_its_time_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proof_module, "KILL_S", -29.0)  # before Z3's own limit
    with ProofVerifier(workers=1, timeout_s=30.0) as verifier:
        steps = found(verifier, [SUM_OF_CUBES, "x > 3"], NO_SUM_OF_CUBES, "x > 2")
    assert [step.label for step in steps] == [None, 1.0]
    assert "was killed" in steps[0].detail


@pytest.mark.parametrize(
    ("premise", "said"),
    [
        ("p and", "premise 2: expected a formula"),
        ("(define-fun f () Int 3)", "premise 2: expected"),
        ("(=> p undeclared)", "unknown constant undeclared"),
    ],
)
def test_a_premise_that_cannot_be_read_is_the_users_mistake(
    verifier: ProofVerifier, premise: str, said: str
):
    with pytest.raises(RungError, match="problem 'p'") as caught:
        verifier.check([chain(["p", premise], "p")])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60_000,
        "x" * 60_000,
        "(" * 9_000 + ")" * 9_000,
        "`" * 60_000,
        "so " * 20_000,
        "[" * 60_000,
        " by" * 20_000,
        "QED.",
        "p" + " " * 60_000 + "q",
        "\x00",
        "(assert false)",
        "(check-sat)",
        "(=> p)",
        "|p",
        '(= p "',
        "(p p)",
        "(_ bv1 8)",
        "p and x^008" + "9" * 5_000 + " > 1",
        "p and x^00899999999 > 1",
    ],
)
def test_no_text_makes_it_raise_or_is_called_right(verifier: ProofVerifier, text: str):
    (step,) = found(verifier, ["p"], text)
    assert step.label is None


def test_names_that_smt_lib_knows_are_a_users_own(verifier: ProofVerifier):
    steps = found(
        verifier, ["pi > 3", "store(select) = pi", "let"], "pi > 2", "let or e", "not assert"
    )
    assert [step.label for step in steps] == [1.0, 1.0, 0.0]


def test_the_number_of_processes_does_not_change_what_is_found():
    chains = [chain([f"x > {k}"], f"x > {k - 1}", f"x > {k + k % 2}") for k in range(6)]
    with ProofVerifier(workers=1) as one, ProofVerifier(workers=2) as two:
        labels = [[report.labels for report in v.check(chains)] for v in (one, two)]
    assert labels[0] == labels[1] == [(1.0, float(k % 2 == 0)) for k in range(6)]


def test_a_counterexample_does_not_depend_on_what_was_asked_before():
    bounds = [f"{a}*x + {b}*y <= {a * b} and x >= {b}*z" for a in (1, 2, 3) for b in (-2, 1, 4)]
    scripts = [theory_script(read_premises([bound]), f"x + y < {len(bound)}") for bound in bounds]
    forward = [solve(one, 5.0) for one in scripts]
    backward = [solve(one, 5.0) for one in reversed(scripts)]
    assert forward == backward[::-1]
    assert sum(answer.said == "sat" for answer in forward) > 5


def theory_script(theory: Theory, claim: str) -> str:
    return script(theory.names, theory.premises, theory.read(claim).term)
