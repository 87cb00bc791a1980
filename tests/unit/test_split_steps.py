"""Text to steps: each way of splitting finds what a reader would call the steps."""

import time

import pytest

from rung import RungError
from rung.data import gaps, join_steps, split_steps, step_texts
from rung.data.split import WAYS


@pytest.mark.parametrize(
    ("how", "text", "steps"),
    [
        ("blank-line", "One\nmore.\n\nTwo.\n \t\n\nThree.\n", ["One\nmore.", "Two.", "Three."]),
        ("newline", "One.\nTwo.\n\n  Three.  ", ["One.", "Two.", "Three."]),
        (
            "numbered",
            "Let me see.\nStep 1: add.\nmore\nStep 2: mul.\n**Step 3**: end",
            ["Let me see.", "Step 1: add.\nmore", "Step 2: mul.", "**Step 3**: end"],
        ),
        ("numbered", "1. add\n2) mul\n### Step 3 - end", ["1. add", "2) mul", "### Step 3 - end"]),
        ("numbered", "It costs\n2.5 dollars\n3 times", ["It costs\n2.5 dollars\n3 times"]),
        ("numbered", "No numbers at all.", ["No numbers at all."]),
        (
            "sentence",
            "We get 2.5 apples, e.g. Anna's. So $x=3$. What? Yes! Then stop",
            ["We get 2.5 apples, e.g. Anna's.", "So $x=3$.", "What?", "Yes!", "Then stop"],
        ),
        (
            "sentence",
            'He said "no." Mr. Smith left.\nEnd.',
            ['He said "no."', "Mr. Smith left.", "End."],
        ),
        ("marker:ки", "Step 1: a ки\nStep 2: b ки", ["Step 1: a", "Step 2: b"]),
        ("marker:<|sep|>", "a<|sep|><|sep|>b", ["a", "b"]),
        ("newline", " \n\n ", []),
        ("sentence", "", []),
    ],
)
def test_steps_are_cut_where_a_reader_would_cut_them(how, text, steps):
    assert step_texts(text, how) == steps
    spans = split_steps(text, how)
    assert join_steps(steps, gaps(text, spans)) == text


@pytest.mark.parametrize("how", ["lines", "marker:", ""])
def test_an_unknown_way_to_split_lists_the_known_ones(how):
    known = "blank-line, newline, numbered, sentence, function, cell, block, line, marker"
    with pytest.raises(RungError, match=f"expected {known}"):
        split_steps("a", how)


@pytest.mark.parametrize("how", [*WAYS, "marker:x"])
def test_a_long_text_is_split_in_time_linear_in_its_length(how):
    text = ("Step 1. " * 5 + " " * 200 + "\n") * 2000
    started_s = time.monotonic()
    split_steps(text, how)
    assert time.monotonic() - started_s < 3
