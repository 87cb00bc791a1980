"""Is it right? Final answers, and the equations in a step."""

from rung.verify.answer import AnswerVerifier, answer_of
from rung.verify.arithmetic import Equation, StepCheck, check_step
from rung.verify.extract import extract_answer

__all__ = [
    "AnswerVerifier",
    "Equation",
    "StepCheck",
    "answer_of",
    "check_step",
    "extract_answer",
]
