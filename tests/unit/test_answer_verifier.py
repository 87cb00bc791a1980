"""Final answers against reference answers."""

import threading
import time
from collections.abc import Iterator

import pytest

from rung.core import Chain, Problem, Verdict, Verifier
from rung.verify import AnswerVerifier
from rung.verify.answer import quick_verdict


@pytest.fixture(scope="module")
def verifier() -> Iterator[AnswerVerifier]:
    with AnswerVerifier(workers=2) as one:
        yield one


SAME = [
    ("18", "$18.00"),
    ("18", "\\$18"),
    ("18", "18 dollars per day"),
    ("1234", "1,234"),
    ("1234", "1{,}234"),
    ("1000", "1e3"),
    ("1500", "1.5 \\times 10^{3}"),
    ("3/4", "\\frac{3}{4}"),
    ("\\frac34", "\\dfrac{3}{4}"),
    ("1\\frac{1}{2}", "1.5"),
    ("50", "50%"),
    ("50\\%", "50"),
    ("90", "90^\\circ"),
    ("5", "x = 5"),
    ("5 \\text{ cm}", "5"),
    ("-7", "−7"),
    ("B", "(B)"),
    ("\\text{(C)}", "C"),
    ("B", "b. 12 apples"),
    ("\\text{Evelyn}", "evelyn"),
    ("694", "3*68 + 2*80 + 6*55 = 694"),
    ("\\left( 1, 2 \\right)", "(1,2)"),
    ("6\\sqrt{3}", "6 * sqrt(3)"),
    ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("(-\\infty,5)", "x<5"),
    ("x<5", "(-\\infty,5)"),
    ("\\{1,2\\}", "\\{2,1\\}"),
]
DIFFERENT = [
    ("18", "19"),
    ("0.5", "50%"),
    ("1/3", "0.33"),
    ("5", "5 million"),
    ("B", "C"),
    ("\\text{Evelyn}", "Lyneve"),
    ("8", "-8"),
    ("2", "2/3"),
    ("x^2", "x^3"),
    ("18", "5 and 13"),
    ("(1,2)", "(2,1)"),
]
UNREADABLE = [("18", None), ("18", ""), ("18", "$"), ("18", "eighteen or so")]


@pytest.mark.parametrize(("reference", "answer"), SAME)
def test_one_answer_in_two_spellings_is_correct(
    verifier: AnswerVerifier, reference: str, answer: str
) -> None:
    assert verifier.compare([(reference, answer)]) == [Verdict.CORRECT]


@pytest.mark.parametrize(("reference", "answer"), DIFFERENT)
def test_another_answer_is_not_correct(
    verifier: AnswerVerifier, reference: str, answer: str
) -> None:
    assert verifier.compare([(reference, answer)])[0] in (Verdict.INCORRECT, Verdict.UNPARSED)


@pytest.mark.parametrize(("reference", "answer"), UNREADABLE)
def test_what_is_no_answer_is_unparsed(
    verifier: AnswerVerifier, reference: str, answer: str | None
) -> None:
    assert verifier.compare([(reference, answer)]) == [Verdict.UNPARSED]


def test_hostile_answers_end_in_time_and_are_not_called_incorrect() -> None:
    hostile = [
        "9^{9^{9^9}}",
        "(" * 3000 + "1" + ")" * 3000,
        "100000000!",
        "(" * 400 + "1" + ")" * 400,
    ]
    started_s = time.monotonic()
    with AnswerVerifier(workers=2, timeout_s=1.0) as verifier:
        verdicts = verifier.compare([("x^2+1", answer) for answer in hostile])
        assert set(verdicts) <= {Verdict.TIMEOUT, Verdict.UNPARSED}
        assert verdicts[0] is Verdict.TIMEOUT
        assert verdicts[1] is Verdict.UNPARSED
        after = verifier.compare([("x^2+1", "1+x^2"), ("x^2+1", "x^2-1")])
    assert after == [Verdict.CORRECT, Verdict.INCORRECT]
    assert time.monotonic() - started_s < 30


def test_it_works_when_called_from_a_thread(verifier: AnswerVerifier) -> None:
    verdicts: list[Verdict] = []
    pairs = [("2x", "x+x")]
    thread = threading.Thread(target=lambda: verdicts.extend(verifier.compare(pairs)))
    thread.start()
    thread.join()
    assert verdicts == [Verdict.CORRECT]


def test_the_number_of_workers_does_not_change_the_verdicts() -> None:
    pairs = [(f"x+{k}", f"{k % 3}+x") for k in range(12)]
    with AnswerVerifier(workers=1) as one, AnswerVerifier(workers=3) as three:
        assert one.compare(pairs) == three.compare(pairs)


def test_it_is_a_verifier_and_reads_the_answer_from_the_last_step(
    verifier: AnswerVerifier,
) -> None:
    problem = Problem("p", "2 + 3?", answer="5")
    chains = [
        Chain.of(problem, ["2 + 3 = 5", "The answer is 5"]),
        Chain.of(problem, ["2 + 3 = 5", "The answer is 5"], answer="6"),
        Chain.of(problem, ["So", "# Answer", "5"]),
        Chain.of(problem, ["2 + 3 = 5"]),
    ]
    assert isinstance(verifier, Verifier)
    assert verifier.verify(chains) == [
        Verdict.CORRECT,
        Verdict.INCORRECT,
        Verdict.CORRECT,
        Verdict.UNPARSED,
    ]


def test_a_problem_without_reference_answer_is_refused(verifier: AnswerVerifier) -> None:
    with pytest.raises(ValueError, match="no reference answer"):
        verifier.verify([Chain.of(Problem("p", "?"), ["1"])])


def test_plain_numbers_need_no_worker() -> None:
    assert quick_verdict("18", "19") is Verdict.INCORRECT
    assert quick_verdict("2x", "x+x") is None


@pytest.mark.parametrize("text", ["", "The answer is ", "\\boxed{", "#### ", "A: "])
def test_digits_without_end_are_unparsed_at_once(text: str, verifier: AnswerVerifier) -> None:
    """64 MiB; a gigabyte takes the same path, of which the end is read."""
    chain = Chain.of(Problem("p", "?", answer="7"), [text + "7" * 2**26])
    started_s = time.process_time()
    assert verifier.verify([chain]) == [Verdict.UNPARSED]
    assert time.process_time() - started_s < 2
