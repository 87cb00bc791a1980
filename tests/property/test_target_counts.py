from hypothesis import given
from hypothesis import strategies as st

from rung import Chain, ChainRecord, Problem, StepLabels, Verdict
from rung.train import RewardTraining
from rung.train.examples import reward_examples


class Letters:
    """A tokenizer with a token a character."""

    bos_token_id = None

    def encode(self, text, add_special_tokens):
        return [ord(letter) for letter in text]

    def __call__(self, texts, **_options):
        return {"input_ids": [self.encode(text, False) for text in texts]}


TEXTS = st.lists(st.sampled_from(["a", "b", "cc", ""]), min_size=1, max_size=4)
LABELS = st.sampled_from([0.0, 0.3, 1.0, None])


@st.composite
def records(draw):
    texts = draw(TEXTS)
    labels = StepLabels(tuple(draw(LABELS) for _ in texts), "x")
    outcome = draw(st.sampled_from([*Verdict, None]))
    return ChainRecord(Chain.of(Problem("p", "why"), texts), (labels,), outcome=outcome)


SETTINGS = st.builds(
    RewardTraining,
    kind=st.sampled_from(["prm", "orm"]),
    trunk=st.just("t"),
    orm_targets=st.sampled_from(["last", "every", "tokens"]),
    max_tokens=st.integers(1, 20),
)


@given(st.lists(records(), max_size=8), SETTINGS)
def test_no_label_is_lost_without_being_counted(chains, settings):
    made = reward_examples(settings, chains, Letters(), "x")
    counts = made.counts
    lost = counts.duplicate + counts.unlabeled + counts.truncated
    assert counts.targets + lost == counts.places
    assert counts.targets == sum(len(example.reads) for example in made.examples)
    assert counts.tokens == sum(len(example.ids) for example in made.examples)


@given(st.lists(records(), max_size=8), SETTINGS)
def test_a_step_of_one_prefix_is_a_target_at_most_once(chains, settings):
    made = reward_examples(settings, chains, Letters(), "x")
    read = [e.ids[: at + 1] for e in made.examples for at in e.reads]
    assert len(set(read)) == len(read)
    assert all(example.reads for example in made.examples)
    assert all(len(example.ids) <= settings.max_tokens for example in made.examples)
    assert all(0 <= t <= 1 for example in made.examples for t in example.targets)
