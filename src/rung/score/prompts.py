r"""The prompts of generative reward models, letter by letter as the models learned them.

Sources: RyanLiu112/GenPRM ``src/prm_evaluation/infer_module/genprm_inference.py`` and
``prm_evaluate.py``, README (GenPRM); mukhal/ThinkPRM ``utils/helper.py`` and
``prm/thinkprm_api.py``, and the model cards (ThinkPRM).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rung.core.templates import filled

GENPRM_SYSTEM = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution step by"
    " step."
)
GENPRM_SYSTEM_DIRECT = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution"
    r" directly. Output your judgement in the format of `\boxed{Yes}` if the paragraph is correct,"
    r" or `\boxed{No}` if the paragraph is incorrect."
)
GENPRM_FIRST_TURN = {"evaluation": "{question}\n{step}", "card": "Question: {question}\n\n{step}"}
"""How the authors' evaluation and their README show the question with the first step."""
GENPRM_ANALYZE = "<analyze>\nLet's analyze the Paragraph {number} step by step: "
GENPRM_ANALYZED = "</analyze>\n"
GENPRM_VERIFY = "<verify>\nLet's use python code to find any potential error:\n```python\n"
GENPRM_CODE_END = "\n```\n"
GENPRM_CODE_OUTPUT = "[Code Output]\n\n```\n{output}\n```\n"
GENPRM_NO_CODE = "Code format error: No code found."
GENPRM_JUDGE = "<output>\n**Judgement**: $\\boxed"
GENPRM_JUDGED = "</output>\n"

THINKPRM_TASK = """You are given a math problem and a proposed step-by-step solution:

[Math Problem]

{problem}

[Solution]

{solution}

Review and critique each step in the proposed solution to determine whether each step is correct. \
If the solution is incomplete, only verify the provided steps."""
THINKPRM_BEGIN = "\nLet's verify step by step:"
THINKPRM_STOPS = ("Is the solution correct?", "</think>")
THINKPRM_DECISION = "\nIs the solution correct?"
THINKPRM_DOUBTS = ("Let me double check", "Let's verify again", "Did I miss something?")
"""Written between rounds of thinking, to make the model think on."""

_STEP_NAME = re.compile(r"Step \d+:")


def genprm_turns(question: str, steps: Sequence[str], first_turn: str) -> list[str]:
    """The user's turns for a chain, one a step."""
    template = GENPRM_FIRST_TURN[first_turn]
    return [filled(template, question=question, step=steps[0]), *steps[1:]]


def thinkprm_task(problem: str, steps: Sequence[str], *, names_steps: bool = True) -> str:
    """The user's turn for a prefix. Steps are named "Step i:" or nothing, whatever their names."""
    plain = (_STEP_NAME.sub("", step).strip() for step in steps)
    shown = (f"Step {k}: {step}" if names_steps else step for k, step in enumerate(plain, 1))
    return filled(THINKPRM_TASK, problem=problem, solution="\n".join(shown))


def last_code(text: str) -> str | None:
    """The last block of Python in a text, stripped; None if there is none."""
    blocks = re.findall(r"```python\s*(.*?)\s*```", text, re.DOTALL)
    return blocks[-1].strip() if blocks else None
