"""The token tree: sequences come back whole, slots are never shared, nothing is kept for nobody."""

from hypothesis import given
from hypothesis import strategies as st

from rung.model.packing import num_distinct, pack
from rung.model.radix import RadixTree

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)
SEQUENCES = st.lists(IDS, min_size=1, max_size=12)


def computed_tree(sequences, held):
    tree = RadixTree()
    ends = [tree.insert(ids) for ids in sequences]
    for name, end in zip(held, ends, strict=False):
        tree.hold(name, end)
    nodes = {id(n): n for end in ends for n in end.path() if n.slots is None}
    tree.wait_for(nodes.values())
    for node in nodes.values():
        node.slots = tree.slots.take(len(node.ids))
    for node in nodes.values():
        tree.computed(node)
    return tree


def ids_of(node):
    return tuple(token for passed in node.path() for token in passed.ids)


def prefixes(sequences):
    return {ids[:k] for ids in sequences for k in range(1, len(ids) + 1)}


@given(SEQUENCES)
def test_a_sequence_comes_back_from_its_node(sequences):
    tree = RadixTree()
    ends = [tree.insert(ids) for ids in sequences]
    assert [ids_of(end) for end in ends] == sequences


@given(SEQUENCES)
def test_held_tokens_have_one_slot_a_distinct_prefix(sequences):
    tree = computed_tree(sequences, held=[str(k) for k in range(len(sequences))])
    assert tree.slots.used == len(prefixes(sequences))
    for ids in sequences:
        end = tree.insert(ids)
        assert tree.known(end) == len(ids)


@given(SEQUENCES, st.integers(0, 12))
def test_what_nobody_holds_is_gone(sequences, num_held):
    held = sequences[:num_held]
    tree = computed_tree(sequences, held=[str(k) for k in range(len(held))])
    assert tree.slots.used == len(prefixes(held))
    for k in range(len(held)):
        tree.release(str(k))
    assert tree.slots.used == 0
    assert not tree.root.children


@given(SEQUENCES, st.integers(0, 20))
def test_eviction_keeps_the_budget_and_what_is_left_is_whole(sequences, budget):
    tree = computed_tree(sequences, held=[str(k) for k in range(len(sequences))])
    last = tree.insert(sequences[-1])
    tree.evict_down_to(budget)
    assert tree.slots.used <= budget
    if budget >= len(sequences[-1]):
        assert tree.known(last) == len(sequences[-1])
    for k in range(len(sequences)):
        tree.release(str(k))
    assert tree.slots.used == 0


@given(SEQUENCES, st.integers(0, 12))
def test_renumbering_says_where_everything_went(sequences, num_held):
    held = sequences[:num_held]
    tree = computed_tree(sequences, held=[str(k) for k in range(len(held))])
    before = {ids: [n.slots.tolist() for n in tree.insert(ids).path()] for ids in held}
    old = tree.renumber()
    assert tree.slots.used == tree.slots.size == len(old) == len(prefixes(held))
    for ids in held:
        now = [n.slots for n in tree.insert(ids).path()]
        assert [old[slots].tolist() for slots in now] == before[ids]


@given(SEQUENCES)
def test_a_pack_holds_each_distinct_prefix_once_and_reads_stand_in_it(sequences):
    packed = pack(sequences, [range(len(ids)) for ids in sequences])
    assert len(packed.ids_T) == len(prefixes(sequences))
    assert packed.ids_T[packed.rows_K].tolist() == [t for ids in sequences for t in ids]
    assert packed.positions_T[packed.rows_K].tolist() == [
        k for s in sequences for k in range(len(s))
    ]
    for run in packed.runs:
        path = packed.ids_T[run.keys].tolist()
        assert packed.positions_T[run.keys].tolist() == list(range(len(path)))
    ordered = sorted(sequences)
    assert sum(num_distinct(ordered)) == len(prefixes(sequences))
