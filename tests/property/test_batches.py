from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rung.train.batches import plan_batches, plan_epoch

LENGTHS = st.lists(st.integers(1, 60), max_size=80)
BUDGETS = st.integers(1, 200)


def flat(plan):
    return [index for step in plan for batch in step for index in batch]


@given(LENGTHS, BUDGETS, st.integers(1, 4), st.integers(0, 9), st.integers(0, 3))
def test_an_epoch_takes_every_chain_once_within_the_budget(lengths, budget, group, seed, epoch):
    plan = plan_epoch(lengths, batch_tokens=budget, accumulation=group, seed=seed, epoch=epoch)
    assert sorted(flat(plan)) == list(range(len(lengths)))
    assert all(len(step) == group for step in plan[:-1])
    for batch in (batch for step in plan for batch in step):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(LENGTHS, st.integers(0, 9))
def test_a_plan_depends_on_the_seed_and_the_epoch_alone(lengths, seed):
    def plan(epoch):
        return plan_epoch(lengths, batch_tokens=64, accumulation=1, seed=seed, epoch=epoch)

    assert plan(0) == plan(0)
    if len(set(lengths)) > 40:
        assert plan(0) != plan(1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), BUDGETS)
def test_batches_keep_the_order_and_are_as_full_as_they_can_be(lengths, budget):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches = plan_batches(order, lengths, budget)
    assert [i for batch in batches for i in batch] == order
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > budget


def test_sorting_within_pools_leaves_little_padding():
    lengths = [10 + (k * 7919) % 490 for k in range(2000)]
    plan = plan_epoch(lengths, batch_tokens=4096, accumulation=1, seed=0, epoch=0)
    padded = sum(len(b) * max(lengths[i] for i in b) for step in plan for b in step)
    assert padded < 1.06 * sum(lengths)
