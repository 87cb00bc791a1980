"""Is it right? Final answers, and the equations in a step."""

from rung.verify.answer import AnswerVerifier
from rung.verify.extract import extract_answer

__all__ = ["AnswerVerifier", "extract_answer"]
