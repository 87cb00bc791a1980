"""The calculator agrees with exact fractions; nothing that a model writes raises."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from rung.core import Verdict
from rung.verify import check_step, extract_answer
from rung.verify.answer import quick_verdict
from rung.verify.expression import evaluate
from rung.verify.marks import read_tokens
from rung.verify.math_worker import compare

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
tenths = st.integers(1, 400).map(lambda n: Fraction(n, 10))
mathy = st.text(alphabet="0123456789+-*/^=()[]{}<>.,$%\\ xabfrcte≈×÷²!\n", max_size=80)


@given(expressions)
def test_the_parser_agrees_with_fractions(expression: Expression) -> None:
    text, value = expression
    result = evaluate(read_tokens(text))
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


def _tex(value: Fraction) -> str:
    return rf"\dfrac{{{value.numerator}}}{{{value.denominator}}}"


def _decimal(value: Fraction) -> str:
    return f"{float(value):.1f}"


def _told(a: Fraction, b: Fraction, c: Fraction) -> list[tuple[str, Fraction, str]]:
    """Left sides with their values, in many hands, and what is written behind the result."""
    share = Fraction(int(a * 10), 100)
    return [
        (f"{_decimal(a)} + {_decimal(b)} \\times {_decimal(c)}", a + b * c, ""),
        (f"${_decimal(a)} * {int(b) + 1} boxes", a * (int(b) + 1), " dollars"),
        (f"{_tex(a)} \\div {_tex(b)}", a / b, "$."),
        (f"\\[ {_tex(a)} \\cdot \\left({_tex(b)} + {_tex(c)}\\right)", a * (b + c), " \\]"),
        (f"{int(a * 10)}% of {int(b * 10)}", share * int(b * 10), ", so"),
        (f"Total = {_decimal(a)} + {_decimal(b)}.\nTotal", a + b, " km"),
        (f"{int(a)} hours + {int(b)} minutes", Fraction(60 * int(a) + int(b)), " minutes"),
        (f"\\sqrt{{{int(a) ** 2}}} + {int(b)}", Fraction(int(a) + int(b)), ""),
    ]


@given(tenths, tenths, tenths, st.integers(0, 7), st.sampled_from(["", "-3", "1.25", "2", "1.1"]))
def test_what_is_true_is_never_called_wrong_and_what_is_corrupted_is(
    a: Fraction, b: Fraction, c: Fraction, kind: int, off_by: str
) -> None:
    left, value, behind = _told(a, b, c)[kind]
    claimed = value + Fraction(off_by or 0)
    has_decimals = 10**6 % claimed.denominator == 0
    right = f"{float(claimed):.6f}".rstrip("0").rstrip(".") if has_decimals else _tex(claimed)
    assert check_step(f"{left} = {right}{behind}").is_right is (not off_by)


@given(tenths, tenths, st.sampled_from(["<", ">", "\\le", "\\ge", "≤", "≥", "\\neq"]))
def test_an_inequality_is_right_just_when_it_holds(a: Fraction, b: Fraction, sign: str) -> None:
    holds = {
        "<": a < b,
        ">": a > b,
        "\\le": a <= b,
        "≤": a <= b,
        "\\ge": a >= b,
        "≥": a >= b,
        "\\neq": a != b,
    }
    text = f"{_decimal(a)} + 0 {sign} {_decimal(b)}"
    assert check_step(text).is_right is holds[sign]


@given(tenths, st.integers(1, 99), st.integers(0, 4))
def test_a_result_rounded_to_the_digits_given_is_right(a: Fraction, n: int, digits: int) -> None:
    rounded = f"{float(a / n):.{digits}f}"
    sign = "=" if digits else "≈"
    assert check_step(f"{_decimal(a)} / {n} {sign} {rounded}").is_right is True


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
