"""What is found in a step: equations with their verdicts, and the words that take one back."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_SUPPOSES = re.compile(
    r"\b(?:suppos|assum|whether|guess|try|tri|is it|claim|wrong|not|contradict|instead)\w*"
    r"[^.\n]{0,60}$",
    re.IGNORECASE,
)
_REFUTES = re.compile(
    r"\s*\?|\b(?:false|untrue|not true|contradict|incorrect|wrong|mistake|impossible|invalid|"
    r"(?:is not|isn't|not) (?:equal|possible|valid|correct|an? |the )|does(?:n't| not) "
    r"(?:equal|hold|work|satisfy|match|add|make)|no solutions?|fails|oops|actually|should be|"
    r"too (?:high|low|big|small|large|much|many|few)|re-?(?:calculate|check|evaluate)|"
    r"less than|more than|exceeds|unequal)|✗|❌|\\n(?:eq?|ot)\b|≠",
    re.IGNORECASE,
)
_REFUTED_WITHIN = 160


@dataclass(frozen=True, slots=True)
class Equation:
    """Two neighboring sides of a chain of equations or inequalities, at text[start:end]."""

    start: int
    end: int
    is_right: bool | None
    """None: it was read, but rounding, a percent sign or the text around it leaves it open."""


@dataclass(frozen=True, slots=True)
class StepCheck:
    """What the equations of a step say of it."""

    equations: tuple[Equation, ...]

    @property
    def is_right(self) -> bool | None:
        """False when an equation is wrong; True when one is right and none wrong; else None."""
        verdicts = {equation.is_right for equation in self.equations}
        return False if False in verdicts else True if True in verdicts else None


def unless_refuted(equation: Equation, text: str) -> Equation:
    """Leave a wrong equation open when the text itself supposes, asks or denies it."""
    if equation.is_right is not False:
        return equation
    before = text[max(0, equation.start - _REFUTED_WITHIN) : equation.start]
    after = text[equation.end : equation.end + _REFUTED_WITHIN]
    if _SUPPOSES.search(before) or _REFUTES.search(after):
        return replace(equation, is_right=None)
    return equation
