"""TRL and Math-Shepherd rows survive reading and writing."""

from hypothesis import given
from hypothesis import strategies as st

from rung.data import math_shepherd, trl

label = st.none() | st.booleans() | st.sampled_from([0, 1]) | st.floats(0, 1)
words = st.text(alphabet="ab 12+=.", min_size=1, max_size=12).filter(lambda t: t.strip())


@st.composite
def trl_rows(draw):
    labels = draw(st.lists(label, min_size=1, max_size=6))
    steps = draw(st.lists(st.text(max_size=9), min_size=len(labels), max_size=len(labels)))
    return {"prompt": draw(st.text(max_size=9)), "completions": steps, "labels": labels}


@given(trl_rows())
def test_a_trl_row_comes_back_with_every_label_and_its_type(row):
    record = trl.read(row)
    again = trl.write(record, record.labels[0])
    assert again == row
    assert [type(y) for y in again["labels"]] == [type(y) for y in row["labels"]]


@st.composite
def math_shepherd_rows(draw):
    steps = draw(st.lists(words.map(str.strip), min_size=1, max_size=5))
    signs = draw(st.lists(st.sampled_from("+-"), min_size=len(steps), max_size=len(steps)))
    lines = [f"Step {k}: {text}".strip() for k, text in enumerate(steps, start=1)]
    question = draw(words).strip()

    def joined(ends):
        return f"{question} " + "\n".join(f"{a} {b}" for a, b in zip(lines, ends, strict=True))

    return {"input": joined(["ки"] * len(lines)), "label": joined(signs), "task": "MATH"}


@given(math_shepherd_rows())
def test_a_math_shepherd_row_comes_back(row):
    record = math_shepherd.read(row)
    assert math_shepherd.write(record, record.labels[0]) == row
