"""Hypothesis strategies for the vocabulary."""

from dataclasses import replace

from hypothesis import strategies as st

from rung import (
    Chain,
    ChainRecord,
    Problem,
    Provenance,
    RolloutCount,
    Step,
    StepLabels,
    StepScores,
    Verdict,
)

texts = st.text(max_size=20)
maybe_texts = st.none() | texts
units = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

problems = st.builds(
    Problem,
    id=texts,
    question=texts,
    answer=maybe_texts,
    tests=st.none() | st.lists(texts, max_size=2).map(tuple),
    domain=maybe_texts,
    premises=st.none() | st.lists(texts, max_size=2).map(tuple),
)
sources = st.builds(
    Provenance,
    policy=maybe_texts,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | units,
    seed=st.none() | st.integers(0, 2**63 - 1),
    finish_reason=maybe_texts,
    num_tokens=st.none() | st.integers(0, 2**31),
)
steps = st.builds(Step, text=texts, role=maybe_texts, observation=maybe_texts)
rollout_counts = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
    lambda pair: RolloutCount(min(pair), max(pair))
)


@st.composite
def chains(draw, min_steps: int = 1, max_steps: int = 5) -> Chain:
    return Chain(
        draw(problems),
        tuple(draw(st.lists(steps, min_size=min_steps, max_size=max_steps))),
        answer=draw(maybe_texts),
        id=draw(maybe_texts),
        source=draw(st.none() | sources),
    )


@st.composite
def told(draw, chain: Chain) -> Chain:
    """The chain with its steps' log-probabilities, where it has a source."""
    size = len(chain.steps)
    logprobs = st.lists(st.none() | st.floats(-1e9, 0), min_size=size, max_size=size).map(tuple)
    if chain.source is None:
        return chain
    return replace(chain, source=replace(chain.source, step_logprobs=draw(st.none() | logprobs)))


@st.composite
def records(draw) -> ChainRecord:
    chain = draw(told(draw(chains())))

    def column(values):
        size = len(chain.steps)
        return st.lists(st.none() | values, min_size=size, max_size=size).map(tuple)

    labels = st.builds(
        StepLabels,
        labels=column(units),
        source=texts,
        ratings=st.none() | column(st.sampled_from([-1, 0, 1])),
        counts=st.none() | column(rollout_counts),
    )
    scores = st.builds(StepScores, scores=column(units), scorer=texts, weights_hash=maybe_texts)
    return ChainRecord(
        chain,
        labels=tuple(draw(st.lists(labels, max_size=2))),
        scores=tuple(draw(st.lists(scores, max_size=2))),
        outcome=draw(st.none() | st.sampled_from(Verdict)),
        meta=draw(st.dictionaries(texts, json_values, max_size=3)),
    )
