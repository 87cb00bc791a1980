"""The final answer in a text."""

import time

import pytest

from rung.verify import extract_answer

FOUND = {
    "So \\boxed{18}.": "18",
    "So \\boxed{\\frac{1}{\\sqrt{2}}} it is.": "\\frac{1}{\\sqrt{2}}",
    "First \\boxed{3}, then \\boxed{5}": "5",
    "We know.\n#### 1,234": "1,234",
    "Right.\n\n# Answer\n\n(-\\infty, \\infty)": "(-\\infty, \\infty)",
    "# Final Answer\n\nThe final answer is $5$.": "5",
    "Step 9: The answer is: 18 ки": "18",
    "She pays 4 * 3 = 12.\nA: 12": "12",
    "**Answer:** 3.5 miles. That is far.": "3.5 miles",
    "The answer is $\\frac{1}{2}$.": "\\frac{1}{2}",
    "The final answer is: The final answer is 7": "7",
    "the answer is \\(x = 5\\).": "x = 5",
    "The answer is 3. I was wrong, the answer is 4.": "4",
    "The answer is:\n\n$$\n42\n$$": "42",
}
NOT_FOUND = ["", "She has 18 eggs.", "\\boxed{18", "#### Conclusion\nAll is well.", "answer", "ки"]


@pytest.mark.parametrize(("text", "answer"), FOUND.items())
def test_what_the_text_calls_its_answer_is_found(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", NOT_FOUND)
def test_a_text_that_names_no_answer_has_none(text: str) -> None:
    assert extract_answer(text) is None


HOSTILE = ["answer is ", "\\boxed{", "#### x ", "A: ", "answer:\n", "#\n", "**", "$", "\\boxed{1} "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_extraction_takes_linear_time(piece: str) -> None:
    started_s = time.process_time()
    extract_answer(piece * (100_000 // len(piece)))
    extract_answer(piece + " " * 100_000 + "\nend")
    assert time.process_time() - started_s < 2
