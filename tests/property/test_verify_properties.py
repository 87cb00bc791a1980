"""The calculator agrees with exact fractions; nothing that a model writes raises."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Verdict
from rung.verify import check_step, extract_answer
from rung.verify.answer import quick_verdict
from rung.verify.expression import evaluate
from rung.verify.math_worker import compare
from rung.verify.tokens import tokenize

Expression = tuple[str, Fraction]


def _join(pair: tuple[Expression, str, Expression]) -> Expression:
    (a, x), sign, (b, y) = pair
    if sign == "/" and y == 0:
        sign = "+"
    value = {"+": x + y, "-": x - y, "*": x * y}[sign] if sign != "/" else x / y
    return f"({a} {sign} {b})", value


integers = st.integers(0, 99).map(lambda n: (str(n), Fraction(n)))
quarters = st.integers(1, 99).map(lambda n: (f"{n / 4}", Fraction(n, 4)))
expressions = st.recursive(
    integers | quarters,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(_join),
    max_leaves=8,
)
mathy = st.text(alphabet="0123456789+-*/^=()[]{}<>.,$%\\ xabfrcte≈×÷²!\n", max_size=80)


@given(expressions)
def test_the_parser_agrees_with_fractions(expression: Expression) -> None:
    text, value = expression
    result = evaluate(tokenize(text))
    assert result is not None
    assert result.exact == value


@given(expressions, st.integers(-50, 50))
def test_an_equation_is_right_just_when_its_sides_are_equal(
    expression: Expression, off_by: int
) -> None:
    text, value = expression
    claimed = value + off_by
    side = f"({claimed.numerator}) / ({claimed.denominator})"
    checked = check_step(f"{text} + 0 = {side} + 0").equations
    assert [equation.is_right for equation in checked] == [off_by == 0]


@given(st.text(max_size=200) | mathy)
def test_no_text_raises(text: str) -> None:
    for equation in check_step(text).equations:
        assert 0 <= equation.start < equation.end <= len(text)
    extract_answer(text)
    quick_verdict("3/4", text)
    quick_verdict(text, text)


@settings(max_examples=30, deadline=None)
@given(mathy.filter(lambda text: "^" not in text and "!" not in text))
def test_math_verify_never_raises_through_compare(text: str) -> None:
    assert compare("x^2+1", text) in set(Verdict)
