"""What judges are asked, and how their answers are read.

A reading is one verdict a slot: 1 right, 0 wrong, None unsure. The slots are the steps asked
about, or with a rubric the steps of the first criterion, those of the second, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from rung.core.errors import InputError
from rung.core.templates import filled
from rung.core.types import Chain
from rung.core.urls import local_copy, name_of
from rung.data.rows import labels_to_first_error
from rung.label.rubric import Rubric

FormName = Literal["first-error", "chain", "step"]
Reading = tuple[float | str | None, ...]
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*(-?\d+)\s*\}?\s*\}")
_VERDICTS: Mapping[str, float | None] = {"right": 1.0, "wrong": 0.0, "unsure": None}
MAX_DIGITS = 9
"""Of a paragraph's number."""
_RUBRIC_VERDICTS = ("pass", "fail", "unsure", "none")


class UnreadableError(Exception):
    """An answer does not have the form that was asked for; the message tells the judge why."""


class Form(Protocol):
    """A question to a judge about a chain, or about its last step."""

    @property
    def name(self) -> str:
        """What is asked."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether votes are counted on whole readings, and not slot by slot."""
        ...

    def prompt(self, chain: Chain) -> str:
        """The question."""
        ...

    def read(self, text: str, chain: Chain) -> Reading:
        """The verdicts in an answer.

        Raises:
            UnreadableError: They are not all there, or there are others.
        """
        ...


@dataclass(frozen=True, slots=True)
class FirstErrorForm:
    r"""Which step is the first wrong one? The answer is in \boxed{}, -1 is none.

    The form, numbers from 0, of ProcessBench's critics (Zheng et al., arXiv 2412.06559, appendix
    B); the words are ours.
    """

    template: str
    name: str = "first-error"
    is_whole: bool = True

    def prompt(self, chain: Chain) -> str:
        """The question."""
        return _asked(self.template, chain)

    def read(self, text: str, chain: Chain) -> Reading:
        """Labels up to the first error, by the last box."""
        boxes = _BOXED.findall(text)
        if not boxes:
            raise UnreadableError(r"it has no paragraph's number in \boxed{}")
        said, count = boxes[-1], len(chain.steps)
        # cut off, so that Python reads it however long it is
        index = int(said[:MAX_DIGITS])
        if not -1 <= index < count or len(said) > MAX_DIGITS:
            shown = said[:MAX_DIGITS]
            raise UnreadableError(f"there is no paragraph {shown}, only -1 to {count - 1}")
        return labels_to_first_error(count, None if index == -1 else index)


@dataclass(frozen=True, slots=True)
class ChainForm:
    """Is each step right? One pass over the whole chain, answered in JSON."""

    template: str
    name: str = "chain"
    is_whole: bool = False

    def prompt(self, chain: Chain) -> str:
        """The question."""
        return _asked(self.template, chain)

    def read(self, text: str, chain: Chain) -> Reading:
        """One label a step."""
        verdicts = _list_of(_last_object(text), "verdicts", len(chain.steps), tuple(_VERDICTS))
        return tuple(_VERDICTS[verdict] for verdict in verdicts)


@dataclass(frozen=True, slots=True)
class StepForm:
    """Is the last step right, given those before it? One question a step, answered in JSON."""

    template: str
    name: str = "step"
    is_whole: bool = False

    def prompt(self, chain: Chain) -> str:
        """The question about a prefix."""
        return _asked(self.template, chain)

    def read(self, text: str, chain: Chain) -> Reading:
        """The last step's label."""
        said = _last_object(text).get("verdict")
        return (_VERDICTS[_one_of(said, tuple(_VERDICTS), '"verdict"')],)


@dataclass(frozen=True, slots=True)
class RubricForm:
    """One verdict for each criterion and step, in one pass over the chain, answered in JSON."""

    template: str
    rubric: Rubric
    name: str = "rubric"
    is_whole: bool = False

    def prompt(self, chain: Chain) -> str:
        """The question."""
        criteria = self.rubric.criteria
        example = {criterion.name: ["pass", "fail", "unsure", "none"] for criterion in criteria}
        lines = "\n".join(f"- {criterion.name}: {criterion.ask}" for criterion in criteria)
        shown = msgspec.json.encode(example).decode()
        return _asked(self.template, chain, criteria=lines, example=shown)

    def read(self, text: str, chain: Chain) -> Reading:
        """The criteria's verdicts, as words, criterion after criterion."""
        found = _last_object(text)
        return tuple(
            verdict
            for criterion in self.rubric.criteria
            for verdict in _list_of(found, criterion.name, len(chain.steps), _RUBRIC_VERDICTS)
        )


_FORMS = {"first-error": FirstErrorForm, "chain": ChainForm, "step": StepForm}


def make_form(name: FormName, prompt: Path | None = None, rubric: Rubric | None = None) -> Form:
    """The form of a name, or the rubric's; its prompt comes from a file or from the package.

    Raises:
        InputError: The prompt can't be read, or lacks a name in braces that it needs.
    """
    template = _template("rubric" if rubric else name, prompt)
    return RubricForm(template, rubric) if rubric else _FORMS[name](template)


def _template(name: str, prompt: Path | None) -> str:
    if prompt is None:
        return (files("rung.label") / "prompts" / f"{name}.txt").read_text("utf-8")
    try:
        with local_copy(prompt) as here:
            template = here.read_text("utf-8")
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror})", file=name_of(prompt)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"this is no text ({error})", file=name_of(prompt)) from error
    needed = ["question", "paragraphs", *(["criteria"] if name == "rubric" else [])]
    missing = [f"{{{word}}}" for word in needed if f"{{{word}}}" not in template]
    if missing:
        reason = f"the prompt lacks {' and '.join(missing)}, where they are to stand"
        raise InputError(reason, file=name_of(prompt))
    return template


def _asked(template: str, chain: Chain, **more: str) -> str:
    count = len(chain.steps)
    shown = (s.text if s.observation is None else f"{s.text}\n{s.observation}" for s in chain.steps)
    paragraphs = "\n".join(
        f"<paragraph_{k}>\n{text}\n</paragraph_{k}>" for k, text in enumerate(shown)
    )
    return filled(
        template,
        question=chain.problem.question,
        paragraphs=paragraphs,
        count=str(count),
        number=str(count - 1),
        **more,
    )


def _last_object(text: str) -> dict[str, Any]:
    """The last outermost JSON object in a text; thinking and code fences around it are fine."""
    import json

    decoder, at, last = json.JSONDecoder(), 0, None
    while (at := text.find("{", at)) >= 0:
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        last = found
    if last is None:
        raise UnreadableError("it has no JSON object")
    return last


def _list_of(found: Mapping[str, Any], name: str, count: int, known: Sequence[str]) -> list[str]:
    values = found.get(name)
    if not isinstance(values, list):
        raise UnreadableError(f'its JSON object has no list "{name}"')
    if len(values) != count:
        raise UnreadableError(f'"{name}" has {len(values)} verdicts for {count} paragraphs')
    return [_one_of(value, known, f'a verdict of "{name}"') for value in values]


def _one_of(value: Any, known: Sequence[str], what: str) -> str:
    word = value.strip().lower() if isinstance(value, str) else value
    if word not in known:
        choices = ", ".join(f'"{one}"' for one in known)
        raise UnreadableError(f"{what} is {str(value)[:40]!r}, expected one of {choices}")
    return word
