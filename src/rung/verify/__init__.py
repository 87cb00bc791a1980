"""Is it right? Answers, the equations in a step, programs, proofs, and the calls of tools."""

from rung.verify.algebra import AlgebraChecker
from rung.verify.answer import AnswerVerifier, answer_of
from rung.verify.arithmetic import check_step
from rung.verify.calculator import Calculator
from rung.verify.code import CodeReport, CodeVerifier, TestResult
from rung.verify.equations import Equation, StepCheck
from rung.verify.extract import extract_answer
from rung.verify.findings import Finding, Findings, StepChecker
from rung.verify.lean import LeanVerifier
from rung.verify.proof import ProofVerifier
from rung.verify.sandbox import LocalSandbox, Sandbox, find_sandbox
from rung.verify.supervise import Limits, Outcome
from rung.verify.tool_calls import ToolCall, calls_in
from rung.verify.tool_schema import ToolSchema, read_tool_schema
from rung.verify.tools import ToolVerifier

__all__ = [
    "AlgebraChecker",
    "AnswerVerifier",
    "Calculator",
    "CodeReport",
    "CodeVerifier",
    "Equation",
    "Finding",
    "Findings",
    "LeanVerifier",
    "Limits",
    "LocalSandbox",
    "Outcome",
    "ProofVerifier",
    "Sandbox",
    "StepCheck",
    "StepChecker",
    "TestResult",
    "ToolCall",
    "ToolSchema",
    "ToolVerifier",
    "answer_of",
    "calls_in",
    "check_step",
    "extract_answer",
    "find_sandbox",
    "read_tool_schema",
]
