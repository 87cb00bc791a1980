"""The calculator that reads a step's equations."""

import time
import tracemalloc

import pytest

from rung.core import Chain, Labeler, Problem
from rung.label import ArithmeticLabeler
from rung.verify import check_step
from rung.verify.arithmetic import MAX_STEP_CHARS

RIGHT = [
    "3 + 4 * 2 = 11",
    "10/3 = 3.33",
    "10/3 ≈ 3",
    "$1,200 × 3 = $3,600",
    "2 x 3 = 6 x 1",
    "\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}",
    "\\dfrac{10}{4} = 2.5",
    "48/2 = <<48/2=24>>24 clips",
    "16 eggs - 3 eggs - 4 eggs = 9 eggs",
    "9 eggs * $2/egg = $18",
    "20% * 50 = 10",
    "(5/20)*100 = 25%",
    "50\\% \\times 10 = 5",
    "1) 3 + 4 = 7",
    "- 3 + 4 = 7",
    "2**3 = 8",
    "3² + 4² = 25",
    "5 cm^2 + 3 cm^2 = 8 cm^2",
    "Total = 12 ÷ 4 = 3",
    "2(3+4) = 14",
    "5 1/2 + 1/2 = 6",
    "3 + 4 = \\boxed{7}",
    "0.1+0.2=0.3",
    "10 - 3 \\\\ &= 7",
    "20% of 50 = 10",
    "20% of 50 is 10.",
    "1/2 of 16 equals 8",
    "\\frac12 + 3\\frac{1}{2} = 4",
    "2½ × 2 = 5",
    "0.\\overline{3} \\cdot 3 = 1",
    "4,\\!060 * 2 = 8,\\!120",
    "2\\left(3+4\\right) = 14",
    "\\sqrt{16} + √9 = 7",
    "\\sqrt{2} \\cdot \\sqrt{8} = 4",
    "\\sqrt{2} \\approx 1.41",
    "\\pi \\cdot 2^2 \\approx 12.57",
    "5! = 120",
    "\\binom{5}{2} = 10",
    "3 * 4 < 13 \\le 13",
    "4 \\ne 5 - 2",
    "2 hours + 30 minutes = 150 minutes",
    "2 hours + 30 minutes = 2.5 hours.",
    "10/3 = about 3",
    "10/3 = 3, rounded down",
    "Total = 20 + 23. Total = 43 minutes",
    "x = 4 + 1 = 5. x = 4 - 1 = 3.",
    "\\[ 2 \\text{ trips} \\times \\$2.20/\\text{trip} \\] \\[ = \\$4.40 \\]",
    "4 \\text{ (Ann)} + 8 \\text{ (Bob)} = 12",
    "\\begin{align*} 3 + 4 &= 7 \\\\ 7 \\cdot 2 &= 14 \\end{align*}",
]
WRONG = [
    "3 + 4 * 2 = 14",
    "10/3 = 3.4",
    "\\(3 \\times 4 = 13\\)",
    "48/2 = <<48/2=23>>23",
    "2^{3} = 9",
    "3 + 4 = 7 = 6 + 2",
    "3+4=7, 7*2=15",
    "\\$3 + \\$4 = \\$8",
    "**3 + 4 = 8**",
    "5! = 100",
    "20% of 50 = 11",
    "√16 = 5",
    "\\sqrt{2} = 1.5",
    "3 * 4 \\le 11",
    "4 < 3 + 1",
    "2 hours + 30 minutes = 140 minutes",
    "Total = 20 + 23. Total = 44 minutes",
    "\\[ S = 165 \\times \\frac{6}{11} \\] \\[ S = 9 \\times 6 \\]",
    "4.20 + 9.45 + 1.35 = 14.99 (round to two decimal places)",
]
NOTHING = [
    "",
    "He is glad.",
    "2x + 3 = 7",
    "2L + 11 = 35",
    "5 = 8",
    "14 hours = 14 * 60",
    "twice 3 + 4 = 14",
    "half of 10 - 2 = 3",
    "f(3) + 4 = 8",
    "17 / 5 = 3 remainder 2",
    "7/2 = 3",
    "3.33 * 3 = 10",
    "9 + 4 = 1 (mod 12)",
    "28 / 1/5 = 28 * 5",
    "Anne's Age + 2 = 6 + 2",
    "\\frac{x}{2} + 7 = 43",
    "9^{9^{9^9}} = 3",
    "1/0 = 3",
    "7 * 103 = 105. This is false.",
    "Suppose 3 + 4 = 8",
    "Is 3 + 4 = 8?",
    "2 * 6 = 2^6 + 6^2",
    "4 * 3 = 2(4) + 3(3)",
    "&(31 - 2) \\\\\n+ &(9 - 2) \\\\\n= &36",
    "500 \\div 13 = 13 \\cdot 38 + 6",
    "\\frac{1 \\text{ hour}}{60 \\text{ minutes}} = 1",
    "the last digit of 7^2 is 9",
    "50 - 10% = 45",
    "2 km < 300 minutes",
    "1 inch = 5 miles",
    "x = 4 + \\sqrt{3} and x = 4 - \\sqrt{3}",
    "\\pi \\cdot 5000 = 15700",
    "\\sqrt{-4} = 2",
    "3!! = 3",
    "200! = 5",
    "\\binom{9^9}{3} = 4",
    "ab \\sqrt{15} = 3",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right_equations_are_right(text: str) -> None:
    assert check_step(text).is_right is True


@pytest.mark.parametrize("text", WRONG)
def test_wrong_equations_are_wrong(text: str) -> None:
    assert check_step(text).is_right is False


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_no_plain_arithmetic_is_left_alone(text: str) -> None:
    assert check_step(text).is_right is None


def test_each_equation_has_its_span() -> None:
    text = "So 3 + 4 = 7 cats, and 7 * 2 = 15 = 30 / 2."
    spans = [(text[e.start : e.end], e.is_right) for e in check_step(text).equations]
    assert spans == [("3 + 4 = 7", True), ("7 * 2 = 15", False), ("15 = 30 / 2", True)]


HOSTILE = [
    "1 + ",
    "(",
    "9",
    "\n",
    "-",
    "=",
    "^ ",
    "<<",
    "\\frac{",
    "2^",
    "1/",
    "x ",
    "1 1/2 ",
    "*",
    "& ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_step_of_100_000_characters_takes_linear_time(piece: str) -> None:
    started_s = time.process_time()
    text = piece * (99_000 // len(piece)) + " 1 = 2"
    assert len(text) <= MAX_STEP_CHARS
    check_step(text)
    assert time.process_time() - started_s < 6


@pytest.mark.parametrize("text", ["7" * 2**26, "3 + 4 = " * 2**23, "9" * 2**26 + " = 1"])
def test_a_longer_step_has_no_equations_and_costs_nothing(text: str) -> None:
    """64 MiB; a gigabyte takes the same path, which looks at the length alone."""
    tracemalloc.start()
    started_s = time.process_time()
    assert check_step(text).equations == ()
    (_, peak_bytes), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    assert time.process_time() - started_s < 0.5
    assert peak_bytes < 100_000


def test_a_number_of_many_digits_is_not_read() -> None:
    digits = "9" * (MAX_STEP_CHARS - 20)
    assert check_step(f"{digits} + 1 = 2").equations == ()
    assert check_step(f"3 + 4 = 8, {digits}").is_right is False


def test_the_labeler_says_one_zero_or_nothing() -> None:
    chain = Chain.of(Problem("p", "?"), ["3 + 4 = 7", "7 * 2 = 15", "So 15."])
    labeler = ArithmeticLabeler()
    assert isinstance(labeler, Labeler)
    (labels,) = labeler.label([chain])
    assert labels.labels == (1.0, 0.0, None)
    assert labels.source == "arithmetic"
