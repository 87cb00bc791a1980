"""The calculator that reads a step's equations."""

import time

import pytest

from rung.core import Chain, Labeler, Problem
from rung.label import ArithmeticLabeler
from rung.verify import check_step

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
]
NOTHING = [
    "",
    "He is glad.",
    "2x + 3 = 7",
    "2L + 11 = 35",
    "5 = 8",
    "14 hours = 14 * 60",
    "2 hours + 30 minutes = 150 minutes",
    "twice 3 + 4 = 14",
    "half of 10 - 2 = 3",
    "f(3) + 4 = 8",
    "5! = 100",
    "17 / 5 = 3 remainder 2",
    "7/2 = 3",
    "3.33 * 3 = 10",
    "9 + 4 = 1 (mod 12)",
    "28 / 1/5 = 28 * 5",
    "Anne's Age + 2 = 6 + 2",
    "\\frac{x}{2} + 7 = 43",
    "9^{9^{9^9}} = 3",
    "1/0 = 3",
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
    check_step(piece * (100_000 // len(piece)) + " 1 = 2")
    assert time.process_time() - started_s < 6


def test_the_labeler_says_one_zero_or_nothing() -> None:
    chain = Chain.of(Problem("p", "?"), ["3 + 4 = 7", "7 * 2 = 15", "So 15."])
    labeler = ArithmeticLabeler()
    assert isinstance(labeler, Labeler)
    (labels,) = labeler.label([chain])
    assert labels.labels == (1.0, 0.0, None)
    assert labels.source == "arithmetic"
