"""The engine computes each distinct token once, and what a plain pass computes."""

import random

import pytest
import torch
import transformers

from rung import RungError
from rung.model import memory as memory_module
from rung.model.engine import PrefixEngine, Request
from rung.model.memory import PrefixMemory
from rung.model.packing import join, pack
from rung.model.tree_attention import use_tree_attention
from rung.train.batches import bundles_of, collate
from rung.train.examples import Example
from tiny_lms import DECODER_SIZES

VOCAB, WIDTH = DECODER_SIZES["vocab_size"], DECODER_SIZES["hidden_size"]
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**DECODER_SIZES),
    "qwen2": lambda: transformers.Qwen2Config(**DECODER_SIZES),
    "mistral, a window of 12": lambda: transformers.MistralConfig(
        **DECODER_SIZES, sliding_window=12
    ),
    "gemma2, soft caps": lambda: transformers.Gemma2Config(
        **DECODER_SIZES, head_dim=8, query_pre_attn_scalar=8, sliding_window=12
    ),
    "gpt-oss, attention sinks": lambda: transformers.GptOssConfig(
        **DECODER_SIZES, head_dim=8, sliding_window=12, num_local_experts=2, num_experts_per_tok=1
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=128
    ),
}


def make_trunk(name="llama"):
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(CONFIGS[name](), attn_implementation="eager").eval()


def random_tree(seed, num=14):
    """Sequences that share beginnings of all lengths, some twice."""
    draw = random.Random(seed)
    found = [tuple(draw.choices(range(VOCAB), k=draw.randint(1, 40)))]
    while len(found) < num:
        stem = draw.choice(found)[: draw.randint(0, 40)]
        found.append((*stem, *draw.choices(range(VOCAB), k=draw.randint(0, 30)))[:100] or (1,))
    return found


def plain_states(trunk, ids):
    with torch.no_grad():
        return trunk(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]


def requests_of(sequences, seed=0):
    draw = random.Random(seed)
    return [
        Request(ids, tuple(sorted(draw.sample(range(len(ids)), k=min(3, len(ids))))))
        for ids in sequences
    ]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("budget", [7, 1024])
def test_states_equal_a_plain_pass(name, budget):
    plain, requests = make_trunk(name), requests_of(random_tree(1))
    expected = torch.cat([plain_states(plain, r.ids)[list(r.reads)] for r in requests])
    found = PrefixEngine(make_trunk(name), batch_tokens=budget).features(requests)
    assert torch.allclose(found, expected, atol=1e-5)


def test_each_distinct_token_is_computed_once():
    requests = requests_of(random_tree(2))
    engine = PrefixEngine(make_trunk(), batch_tokens=16)
    engine.features(requests)
    read = [r.ids[: r.reads[-1] + 1] for r in requests]
    distinct = {ids[:k] for ids in read for k in range(1, len(ids) + 1)}
    assert engine.usage == (sum(map(len, read)), len(distinct))
    assert engine.kept_tokens == 0


def test_held_prefixes_cost_nothing_again_and_give_their_memory_back():
    engine, (ids, *_) = PrefixEngine(make_trunk(), batch_tokens=16), [tuple(range(30))]
    engine.features([Request(ids[:20], (19,), hold="a")])
    assert engine.usage.computed == engine.kept_tokens == 20
    engine.features([Request(ids, (25, 29), hold="b")])
    assert engine.usage.computed == engine.kept_tokens == 30
    engine.release("a")
    assert engine.kept_tokens == 30
    engine.release("b")
    assert engine.kept_tokens == 0


def test_a_read_inside_what_is_kept_is_computed_again_and_equal():
    engine, ids = PrefixEngine(make_trunk(), batch_tokens=16), tuple(range(30))
    engine.features([Request(ids, (29,), hold="a")])
    found = engine.features([Request(ids, (10,))])
    assert torch.allclose(found[0], plain_states(make_trunk(), ids)[10], atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_forgetting_under_a_memory_cap_changes_no_state(seed):
    draw, plain = random.Random(seed), make_trunk()
    engine = PrefixEngine(make_trunk(), batch_tokens=draw.choice([5, 64]))
    engine.features([Request((1,), (0,))])
    cap = draw.choice([0, 20, 60])
    memory = PrefixMemory(max_bytes=cap * engine.memory.bytes_a_token)
    engine = PrefixEngine(make_trunk(), batch_tokens=9, memory=memory)
    held = []
    for k, ids in enumerate(random_tree(seed)):
        found = engine.features([Request(ids, (len(ids) - 1,), hold=str(k))])
        held.append(str(k))
        assert engine.kept_tokens <= cap
        assert torch.allclose(found[0], plain_states(plain, ids)[-1], atol=1e-5)
        if draw.random() < 0.4:
            engine.release(held.pop(draw.randrange(len(held))))
    for name in held:
        engine.release(name)
    assert engine.kept_tokens == 0


def test_memory_shrinks_when_most_is_free(monkeypatch):
    monkeypatch.setattr(memory_module, "SHRINK_FROM", 32)
    engine, plain = PrefixEngine(make_trunk(), batch_tokens=64), make_trunk()
    sequences = [tuple((k + j) % VOCAB for j in range(20)) for k in range(10)]
    engine.features([Request(ids, (19,), hold=str(k)) for k, ids in enumerate(sequences)])
    for k in range(9):
        engine.release(str(k))
    assert engine.kept_tokens == 20
    assert engine.memory.tree.slots.size <= 4 * 20
    grown = (*sequences[9], 1, 2, 3)
    found = engine.features([Request(grown, (22,))])
    assert engine.usage.computed == 203
    assert torch.allclose(found[0], plain_states(plain, grown)[-1], atol=1e-5)


def test_an_interrupted_call_leaves_nothing_half_written(monkeypatch):
    engine, ids = PrefixEngine(make_trunk(), batch_tokens=8), tuple(range(30))
    forward, calls = engine.model.forward, []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine.model, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        engine.features([Request(ids, (29,), hold="a")])
    assert engine.kept_tokens == 0
    found = engine.features([Request(ids, (29,), hold="a")])
    assert torch.allclose(found[0], plain_states(make_trunk(), ids)[-1], atol=1e-5)


def test_a_trunk_with_an_attention_of_its_own_is_refused():
    config = transformers.MambaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1)
    with pytest.raises(RungError, match="MambaModel has an attention of its own"):
        use_tree_attention(transformers.MambaModel(config))


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_of_a_pack_equal_those_of_its_sequences_one_by_one(name):
    sequences = random_tree(3)
    reads = [r.reads for r in requests_of(sequences)]
    packed, plain = make_trunk(name), make_trunk(name)
    use_tree_attention(packed)
    weigh = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    for ids, at in zip(sequences, reads, strict=True):
        states = plain(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        torch.tanh(states[list(at)] @ weigh).sum().backward()
    batch, rows = join([pack(sequences[:5], reads[:5]), pack(sequences[5:], reads[5:])], CPU)
    torch.tanh(packed(**batch.inputs).last_hidden_state[0][rows] @ weigh).sum().backward()
    for ours, theirs in zip(packed.parameters(), plain.parameters(), strict=True):
        if theirs.grad is not None:
            scale = theirs.grad.abs().max().clamp(min=1e-3)
            assert torch.allclose(ours.grad / scale, theirs.grad / scale, atol=1e-4)


def test_bundles_hold_a_question_and_keep_the_budget():
    examples = [
        Example((q, *ids), (len(ids),), (1.0,), f"q{q}")
        for q in range(3)
        for ids in random_tree(q, num=10)
    ]
    bundles = bundles_of(examples, batch_tokens=80, share=True)
    assert sum(len(b.examples) for b in bundles) == 30
    for bundle in bundles:
        assert len({e.question for e in bundle.examples}) == 1
        assert bundle.num_tokens <= 80 or len(bundle.examples) == 1
    alone = bundles_of(examples, batch_tokens=80, share=False)
    assert [len(b.examples) for b in alone] == [1] * 30
    assert sum(b.num_tokens for b in bundles) < 0.8 * sum(b.num_tokens for b in alone)


def test_a_batch_says_which_chain_a_target_is_of():
    examples = [
        Example((5, 6, 7), (1, 2), (1.0, 0.5), "a"),
        Example((5, 6, 8), (2,), (0.0,), "a"),
        Example((9, 9), (1,), (0.25,), "b"),
    ]
    bundles = bundles_of(examples, batch_tokens=80, share=True)
    batch = collate(bundles, target_type=torch.float32, device=CPU)
    assert batch.tree.ids_T[batch.rows_K].tolist() == [6, 7, 8, 9]
    assert batch.targets_K.tolist() == [1.0, 0.5, 0.0, 0.25]
    assert batch.chains_K.tolist() == [0, 0, 1, 2]


CPU = torch.device("cpu")
