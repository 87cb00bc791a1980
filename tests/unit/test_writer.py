"""A policy's rows grow on kept prefixes: what is written is what plain passes give."""

import random

import pytest
import torch
import transformers

from rung.core import Sampling
from rung.generate.decoding import Writer
from rung.model import growing
from tiny_lms import DECODER_SIZES

VOCAB = DECODER_SIZES["vocab_size"]
GREEDY = Sampling(temperature=0, max_tokens=14)
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**DECODER_SIZES),
    "mistral, a window of 12": lambda: transformers.MistralConfig(
        **DECODER_SIZES, sliding_window=12
    ),
    "gemma2, soft caps": lambda: transformers.Gemma2Config(
        **DECODER_SIZES, head_dim=8, query_pre_attn_scalar=8, sliding_window=12
    ),
    "gpt-oss, sinks": lambda: transformers.GptOssConfig(
        **DECODER_SIZES, head_dim=8, sliding_window=12, num_local_experts=2, num_experts_per_tok=1
    ),
    "gpt2, no heads shared": lambda: transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=128
    ),
}


def make_lm(name="llama"):
    torch.manual_seed(0)
    config = CONFIGS[name]()
    lm = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for weight in lm.parameters():  # sharper than at first: what is likeliest depends on the text
        weight.data *= 3 if weight.dim() > 1 else 1
    return lm


def writer_of(lm, *, most_rows=64, max_kept_bytes=2**30):
    return Writer(lm, most_rows=most_rows, max_kept_bytes=max_kept_bytes)


def is_long_enough(ids):
    """Rows are done at different times."""
    return len(ids) >= 2 + ids[0] % 12


def write(writer, prompts, *, how=GREEDY, **options):
    streams = [str(k) for k in range(len(prompts))]
    options = {"context": 128, "ends": {7}, "at_stop": is_long_enough} | options
    return writer.write(prompts, streams, how, **options)


def plainly(lm, prompt):
    """The greedy text, by a whole pass a token."""
    ids = []
    while len(ids) < GREEDY.max_tokens:
        with torch.no_grad():
            token = int(lm(torch.tensor([[*prompt, *ids]])).logits[0, -1].argmax())
        if token == 7:
            break
        ids.append(token)
        if is_long_enough(ids):
            break
    return ids


def prompts_of(seed, num=7):
    """Prompts that share beginnings of all lengths, some twice."""
    draw = random.Random(seed)
    found = [tuple(draw.choices(range(VOCAB), k=20))]
    while len(found) < num:
        stem = draw.choice(found)[: draw.randint(0, 30)]
        found.append((*stem, *draw.choices(range(VOCAB), k=draw.randint(1, 12))))
    return [*found, found[3]]


@pytest.mark.parametrize(
    ("name", "most_rows", "kept_tokens"),
    [
        *((name, 4, 25) for name in CONFIGS),
        *(("llama", most, kept) for most in (1, 64) for kept in (0, 25, 10**6)),
    ],
)
def test_what_is_written_equals_plain_passes(name, most_rows, kept_tokens, monkeypatch):
    monkeypatch.setitem(growing.GROUP_BYTES, "cpu", 20_000)  # several groups a step
    monkeypatch.setitem(growing.SHARED_BYTES, "cpu", 1)
    lm = make_lm(name)
    writer = writer_of(lm, most_rows=most_rows, max_kept_bytes=kept_tokens * 512)
    for seed in (1, 2):  # the second time into a memory that is full
        prompts = prompts_of(seed)
        rows = write(writer, prompts)
        assert [row.ids for row in rows] == [plainly(lm, prompt) for prompt in prompts]
        grown = [(*prompt, *row.ids, 3) for prompt, row in zip(prompts, rows, strict=True)]
        longer = [row.ids for row in write(writer, grown)]
        assert longer == [plainly(lm, prompt) for prompt in grown]
        tree = writer.memory.tree
        assert tree.slots.used == sum(len(node.ids) for node in tree.nodes())
        assert tree.slots.used * writer.memory.bytes_a_token <= kept_tokens * 512
        assert not any(node.pins or node.waiting for node in tree.nodes())


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_that_share_a_prompt_see_it_as_rows_alone_do(name, monkeypatch):
    monkeypatch.setitem(growing.GROUP_BYTES, "cpu", 20_000)
    monkeypatch.setitem(growing.SHARED_BYTES, "cpu", 1)
    lm = make_lm(name)
    prompts = [tuple(range(8, 28)), (9, 3), *[tuple(range(20, 3, -1))] * 3, *[(*range(8, 28),)] * 4]
    how = Sampling(max_tokens=14, seed=3)
    rows = write(writer_of(lm, most_rows=8), prompts, how=how, drawn_logprobs=True)
    assert len({len(row.ids) for row in rows}) > 3, "rows leave at different times"
    for row in rows:
        drawn = [*row.ids, *([] if row.end is None else [row.end])]
        with torch.no_grad():
            logits = lm(torch.tensor([[*row.prompt, *drawn[:-1]]])).logits[0].log_softmax(-1)
        told = logits[len(row.prompt) - 1 :].gather(-1, torch.tensor(drawn)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(row.drawn_logprobs), told, atol=1e-4, rtol=0)


def test_what_was_read_and_written_costs_nothing_again():
    writer, prompts = writer_of(make_lm()), [tuple(range(8, 28)), (*range(8, 18), 1, 2)]
    rows = write(writer, prompts * 4, ends=())
    fed = sum(len(row.ids) - 1 for row in rows)
    assert writer.computed == 20 + 2 + fed
    grown = [(*prompts[0], *rows[0].ids, 3)]
    before = writer.computed
    (row,) = write(writer, grown, ends=())
    assert writer.computed - before == 2 + len(row.ids) - 1  # the last drawn token, and the new one


def test_what_is_not_to_be_kept_leaves_its_prompt_alone():
    writer, prompt = writer_of(make_lm()), tuple(range(8, 28))
    write(writer, [prompt] * 3, keeps_written=False)
    assert writer.memory.kept_tokens == 20


def test_changed_weights_are_seen():
    lm = make_lm()
    writer, prompts = writer_of(lm), prompts_of(4)
    write(writer, prompts)
    optimizer = torch.optim.SGD(lm.parameters(), lr=0.3)
    lm(torch.tensor([[1, 2, 3, 4]]), labels=torch.tensor([[1, 2, 3, 4]])).loss.backward()
    optimizer.step()
    assert [row.ids for row in write(writer, prompts)] == [plainly(lm, ids) for ids in prompts]


def test_the_model_is_left_as_it_was():
    lm = make_lm()
    write(writer_of(lm), prompts_of(5))
    assert lm.config._attn_implementation == "eager"
    with pytest.raises(ValueError):
        write(writer_of(lm), [(1,)], at_stop=raising)
    assert lm.config._attn_implementation == "eager"


def raising(ids):
    raise ValueError


def test_an_interrupted_call_leaves_nothing_half_written():
    lm = make_lm()
    writer, prompts = writer_of(lm), prompts_of(6)
    with pytest.raises(ValueError):
        write(writer, prompts, at_stop=raising)
    assert writer.memory.kept_tokens == 0
    assert [row.ids for row in write(writer, prompts)] == [plainly(lm, ids) for ids in prompts]


def test_rows_enter_as_others_leave():
    lm = make_lm()
    widths = []
    lm.register_forward_pre_hook(
        lambda _, args, told: widths.append(told["input_ids"].shape[1]), with_kwargs=True
    )
    prompts = [(k % VOCAB, k // VOCAB) for k in range(64)]
    rows = write(writer_of(lm, most_rows=16), prompts, ends=(), how=Sampling(max_tokens=40))
    longest, tokens = max(len(row.ids) for row in rows), sum(len(row.ids) for row in rows)
    assert len(widths) < 64 / 16 * longest  # what four batches that wait for their last row take
    assert len(widths) < 2 * tokens / 16
