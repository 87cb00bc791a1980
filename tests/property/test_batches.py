from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rung.train.batches import bundles_of, plan_batches, plan_epoch
from rung.train.examples import Example

CHAINS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 2), min_size=1, max_size=9)),
    max_size=30,
)
BUDGETS = st.integers(1, 40)


def examples_of(chains):
    return [Example(tuple(ids), (len(ids) - 1,), (1.0,), question) for question, ids in chains]


def flat(plan):
    return [index for step in plan for batch in step for index in batch]


@given(CHAINS, BUDGETS, st.booleans())
def test_bundles_hold_every_chain_once_within_the_budget(chains, budget, share):
    bundles = bundles_of(examples_of(chains), batch_tokens=budget, share=share)
    held = [example for bundle in bundles for example in bundle.examples]
    assert sorted((e.question, e.ids) for e in held) == sorted((q, tuple(i)) for q, i in chains)
    for bundle in bundles:
        assert bundle.num_tokens <= budget or len(bundle.examples) == 1
        assert bundle.num_targets == len(bundle.examples)
        assert len({example.question for example in bundle.examples}) == 1


@given(CHAINS, BUDGETS, st.integers(1, 4), st.integers(0, 9), st.integers(0, 3))
def test_an_epoch_takes_every_bundle_once_within_the_budget(chains, budget, group, seed, epoch):
    bundles = bundles_of(examples_of(chains), batch_tokens=budget, share=True)
    plan = plan_epoch(bundles, batch_tokens=budget, accumulation=group, seed=seed, epoch=epoch)
    assert sorted(flat(plan)) == list(range(len(bundles)))
    assert all(len(step) == group for step in plan[:-1])
    for batch in (batch for step in plan for batch in step):
        assert len(batch) == 1 or sum(bundles[i].num_tokens for i in batch) <= budget


@given(st.integers(0, 9))
def test_a_plan_depends_on_the_seed_and_the_epoch_alone(seed):
    chains = examples_of([(str(k), [k]) for k in range(50)])
    bundles = bundles_of(chains, batch_tokens=64, share=True)

    def plan(epoch):
        return plan_epoch(bundles, batch_tokens=64, accumulation=1, seed=seed, epoch=epoch)

    assert plan(0) == plan(0)
    assert plan(0) != plan(1)


@given(CHAINS, BUDGETS)
def test_batches_keep_the_order_and_are_as_full_as_they_can_be(chains, budget):
    bundles = bundles_of(examples_of(chains), batch_tokens=budget, share=False)
    batches = plan_batches(range(len(bundles)), bundles, budget)
    assert [i for batch in batches for i in batch] == list(range(len(bundles)))
    for batch, following in pairwise(batches):
        filled = sum(bundles[i].num_tokens for i in batch)
        assert filled + bundles[following[0]].num_tokens > budget
