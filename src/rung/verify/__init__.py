"""Is it right? Answers, the equations in a step, programs, proofs, and the calls of tools."""

from rung.verify.answer import AnswerVerifier, answer_of
from rung.verify.arithmetic import Equation, StepCheck, check_step
from rung.verify.code import CodeReport, CodeVerifier, TestResult
from rung.verify.extract import extract_answer
from rung.verify.findings import Finding, Findings, StepChecker
from rung.verify.proof import ProofVerifier
from rung.verify.sandbox import LocalSandbox, Sandbox, find_sandbox
from rung.verify.supervise import Limits, Outcome

__all__ = [
    "AnswerVerifier",
    "CodeReport",
    "CodeVerifier",
    "Equation",
    "Finding",
    "Findings",
    "Limits",
    "LocalSandbox",
    "Outcome",
    "ProofVerifier",
    "Sandbox",
    "StepCheck",
    "StepChecker",
    "TestResult",
    "answer_of",
    "check_step",
    "extract_answer",
    "find_sandbox",
]
