"""Where in a step's text its formula stands."""

from __future__ import annotations

import re

from rung.verify.arithmetic import MAX_STEP_CHARS

_CODE = re.compile(r"`([^`]+)`")
_CONCLUSION = re.compile(r"(?:\b(?:therefore|thus|hence|so)\b|∴|⊢)[,:]?", re.IGNORECASE)
_NUMBERING = re.compile(r"\s*(?:step\s+)?\d{1,4}[.):](?!\d)\s*|\s*step\s*:\s*", re.IGNORECASE)
_REASON = re.compile(r"\[[^\[\]]*\]\s*$|[,;]?\s+\b(?:by|from|because|since)\s.*$", re.I | re.S)


def claim_of(text: str) -> str:
    """The formula that a step states.

    Text in backticks is a formula, the last one the claim. Without backticks the whole step is
    the formula, less a number in front ("2.", "Step 2:"), what stands before the last "therefore",
    "thus", "hence", "so" or "⊢", a reason in brackets at the end or behind "by", "from", "because"
    or "since", and a full stop.

    Raises:
        ValueError: The text is longer than any step.
    """
    if len(text) > MAX_STEP_CHARS:
        raise ValueError(f"a step of {len(text)} characters, expected at most {MAX_STEP_CHARS}")
    marked = _CODE.findall(text)
    if marked:
        return marked[-1].strip()
    text = " ".join(text.split())
    text = _NUMBERING.sub("", text, count=1) if _NUMBERING.match(text) else text
    text = _CONCLUSION.split(text)[-1]
    return _REASON.sub("", text).strip().rstrip(".,;").strip()
