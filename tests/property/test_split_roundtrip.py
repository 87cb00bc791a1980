"""Splitting loses nothing: steps and gaps give the text back, whatever the text."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rung.data import gaps, join_steps, split_steps
from rung.data.split import WAYS as NAMED
from rung.data.split_code import CODE_WAYS

WAYS = [*NAMED, "marker:ки", "marker:."]
texts = st.text(
    alphabet=st.one_of(st.sampled_from(list(" \n\t\r.!?Step 12:)#*-ки$\\\"'")), st.characters()),
    max_size=120,
)


@given(text=texts, how=st.sampled_from(WAYS))
def test_the_steps_and_the_gaps_between_them_are_the_original_text(text, how):
    spans = split_steps(text, how)
    between = gaps(text, spans)
    assert join_steps([span.of(text) for span in spans], between) == text
    marker = how.removeprefix("marker:") if ":" in how else ""
    for gap in between:  # nothing but white space and the marker is left out
        assert not (gap.replace(marker, "") if marker else gap).strip()
    for span in spans:
        step = span.of(text)
        assert step.strip()
        assert step == step.rstrip()
        if how in CODE_WAYS:  # an indentation stays, blank lines don't
            assert step.split("\n")[0].strip()
        else:
            assert step == step.lstrip()
    assert all(a.end <= b.start for a, b in pairwise(spans))
