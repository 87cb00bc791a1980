"""Templates of prompts: names in braces, replaced once."""

from __future__ import annotations

import re


def filled(template: str, **values: str) -> str:
    """The template with each {name} replaced once; other braces, and those in values, stay."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)
