"""Equations with variables: little is called wrong, and nothing takes long."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Chain, Labeler, Problem, Verdict
from rung.label import AlgebraLabeler, ArithmeticLabeler
from rung.verify import AlgebraChecker, Calculator, check_step
from rung.verify.algebra import statements
from rung.verify.algebra_worker import Claim, judge
from rung.verify.arithmetic import MAX_STEP_CHARS


@pytest.fixture(scope="module")
def checker() -> Iterator[AlgebraChecker]:
    with AlgebraChecker(workers=1, timeout_s=5) as one:
        yield one


RIGHT = [
    "(x+1)^2 = x^2 + 2x + 1",
    "\\[2B + 4 + B + 2 = 28\\] \\[3B + 6 = 28\\] \\[3B = 22\\] \\[B = \\frac{22}{3}\\]",
    "We write $x^2-5x+6=0$, so $(x-2)(x-3)=0$.",
    "\\begin{align*} 2x+3 &= 7 \\\\ 2x &= 4 \\\\ x &= 2 \\end{align*}",
    "\\[ a(b+c) = ab + ac \\]",
    "\\( \\frac{x^2 - 1}{x - 1} = x + 1 \\)",
    "$x\\sqrt{8} = 2x\\sqrt{2}$",
    "0.5x = 3. Multiplying both sides by 2 gives x = 6.",
]
WRONG = [
    "(x+1)^2 = (x+1)(x+1) = x^2 + 3x + 1",
    "2x + 1 = 2x + 3",
    "2x + 3 = 7. Subtracting 3 from both sides: 2x = 5",
    "\\begin{align*} 2x+3 &= 7 \\\\ 2x &= 4 \\\\ x &= 3 \\end{align*}",
    "Solving for \\( x \\): \\[ 12(16 + x) = 324, \\] \\[ x = 8. \\]",
]
OPEN = [
    "2x + 3 = 7",
    "x = y + 1",
    "A = \\pi r^2 = 4\\pi",
    "x - 2 = 0, x - 3 = 0",
    "$2x = 4$ or $2x = 6$",
    "If 2x = 4, then 3y = 4",
    "T(2n) = T(2n) + 1",
    "f(3) = 9. So f(4) = 16.",
    "(z+i)^2 = z^2 + 2zi + i^2 = z^2 + 2zi - 1",
    "x^3 = x^2 \\cdot x = (x + 1) x = 2x + 1",
    "$x^2 = 9$, so $x = 3$.",
    "3x = 10. So x = 3.33.",
    "twice x = 6, so x = 4",
    "2x = 2x + 1, a contradiction",
    "If n = 0, 2x = 2x + 1",
    "x = 20% of 40",
    "$$\\begin{pmatrix} t \\\\ -t \\end{pmatrix} = \\begin{pmatrix} 2-t \\\\ t \\end{pmatrix}$$",
    "\\[ \\frac{3}{x-1} = \\frac{6}{x} \\] \\[ \\frac{3}{x-1} = -\\frac{3}{x-1} \\]",
    "-14 = x + 2 -16 = x",
    "\\[ x - 8 = 12 \\quad \\text{or} \\quad x - 8 = -12 \\] \\[ x = 20 \\]",
    "$f^{-1}(2) = 4$, so $f^{-1}(4) = 2$.",
    "1/2x = 3, so x = 6",
]


@pytest.mark.parametrize("text", RIGHT)
def test_identities_and_equivalent_equations_are_right(text: str, checker: AlgebraChecker) -> None:
    assert checker.check([text])[0].is_right is True


@pytest.mark.parametrize("text", WRONG)
def test_what_can_not_hold_is_wrong(text: str, checker: AlgebraChecker) -> None:
    assert checker.check([text])[0].is_right is False


@pytest.mark.parametrize("text", OPEN)
def test_definitions_cases_and_functions_are_left_open(text: str, checker: AlgebraChecker) -> None:
    assert checker.check([text])[0].is_right is None


def test_the_calculator_comes_first_and_no_process_starts_for_what_it_knows() -> None:
    with AlgebraChecker(workers=1) as checker:
        checks = checker.check(["3 + 4 = 7", "3 + 4 = 8", "Hello."])
        assert checker._pool._idle.empty()
    assert [check.is_right for check in checks] == [True, False, None]


def test_a_formula_that_never_ends_is_killed_and_the_next_is_answered() -> None:
    endless = "(a+b+c+d+x+y)^{30} (a+b+c+d+z)^{30} = (a+x)^{30}"
    started_s = time.monotonic()
    with AlgebraChecker(workers=1, timeout_s=1) as checker:
        checks = checker.check([f"\\[ {endless} \\]", "\\[ 2x + x = 3x \\]"])
    assert [check.is_right for check in checks] == [None, True]
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize("text", ["x = ", "\\[ x = ", "$ x", "x+", "(", "{", "\\\\", "a"])
def test_long_texts_are_cut_into_statements_in_linear_time(text: str) -> None:
    started_s = time.process_time()
    list(statements(text * (MAX_STEP_CHARS // len(text))))
    assert time.process_time() - started_s < 6


factors = st.tuples(st.integers(1, 9), st.integers(-9, 9))


@settings(max_examples=40, deadline=None)
@given(factors, factors, st.integers(-3, 3))
def test_an_expanded_product_is_right_and_a_corrupted_one_never_is(
    one: tuple[int, int], other: tuple[int, int], off_by: int
) -> None:
    (a, b), (c, d) = one, other
    product = f"({a}x + ({b}))({c}x + ({d}))"
    again = f"({c}x + ({d}))({a}x + ({b}))"
    expanded = f"{a * c}x^2 + ({a * d + b * c + off_by})x + ({b * d})"
    assert judge(Claim(product, again)) is Verdict.CORRECT
    expected = Verdict.INCORRECT if off_by else Verdict.CORRECT
    assert judge(Claim(again, expanded, (product, again))) is expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9), st.integers(-3, 3))
def test_a_linear_equation_solved_is_right_just_when_the_solution_is(
    a: int, b: int, x: int, off_by: int
) -> None:
    before = (f"{a}x + ({b})", str(a * x + b))
    claim = Claim(f"{a}x", str(a * x + off_by), before, True)
    assert judge(claim) is (Verdict.INCORRECT if off_by else Verdict.CORRECT)


@given(st.text(alphabet="xyab0123456789+-*/^(){}=.\\frac sqrt", max_size=60))
@settings(max_examples=50, deadline=None)
def test_no_formula_raises(text: str) -> None:
    judge(Claim(text[:20], text[20:40].replace("^", "+")))
    list(statements(text))


def test_labels_do_not_depend_on_how_many_processes_make_them() -> None:
    texts = [f"{k} + 3 = {k + 3 + (k % 7 == 0)}" for k in range(900)]
    chain = Chain.of(Problem("p", "?"), texts)
    with Calculator(workers=2) as checker:
        labels = ArithmeticLabeler(checker=checker).label([chain])
    assert labels == ArithmeticLabeler().label([chain])
    assert labels[0].labels[:2] == (0.0, 1.0)


def test_the_algebra_labeler_says_more_than_the_calculator(checker: AlgebraChecker) -> None:
    chain = Chain.of(Problem("p", "?"), ["3 + 4 = 8", "(x+1)^2 = x^2 + 2x + 1", "So 15."])
    labeler = AlgebraLabeler(checker)
    assert isinstance(labeler, Labeler)
    (labels,) = labeler.label([chain])
    assert (labels.labels, labels.source) == ((0.0, 1.0, None), "algebra")
    assert check_step(chain.texts[1]).is_right is None
