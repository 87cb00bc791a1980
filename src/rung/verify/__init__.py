"""Is it right? Final answers, the equations in a step, and programs by their tests."""

from rung.verify.answer import AnswerVerifier, answer_of
from rung.verify.arithmetic import Equation, StepCheck, check_step
from rung.verify.code import CodeReport, CodeVerifier, TestResult
from rung.verify.extract import extract_answer
from rung.verify.sandbox import LocalSandbox, Sandbox, find_sandbox
from rung.verify.supervise import Limits, Outcome

__all__ = [
    "AnswerVerifier",
    "CodeReport",
    "CodeVerifier",
    "Equation",
    "Limits",
    "LocalSandbox",
    "Outcome",
    "Sandbox",
    "StepCheck",
    "TestResult",
    "answer_of",
    "check_step",
    "extract_answer",
    "find_sandbox",
]
