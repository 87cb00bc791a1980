"""The completer on transformers: equal to plain generate, and exact about stops and ends."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from rung import Completer, Completing, Completion
from rung.generate import TransformersCompleter
from rung.model import load_causal_lm
from tiny_lms import byte_tokenizer, save_lm

PROMPTS = ["How many? we add", "Step 1: we add 3 and", "so it is", "How many?"]
GREEDY = Completing(max_tokens=20, temperature=0, num_logprobs=3)


@pytest.fixture(scope="module")
def completer(tmp_path_factory: pytest.TempPathFactory) -> TransformersCompleter:
    folder = tmp_path_factory.mktemp("completer") / "lm"
    save_lm(folder, byte_tokenizer(bos="<|begin|>"), max_tokens=60)
    return TransformersCompleter(*load_causal_lm(folder))


def generated(completer: TransformersCompleter, prompt: str) -> list[int]:
    ids = completer.tokenizer(prompt, return_tensors="pt")["input_ids"]
    out: Any = completer.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20, pad_token_id=0
    )
    new = out[0, ids.shape[1] :].tolist()
    end = completer.tokenizer.eos_token_id
    return new[: new.index(end)] if end in new else new


def test_it_is_a_completer(completer: TransformersCompleter):
    assert isinstance(completer, Completer)


def test_greedy_equals_transformers_generate(completer: TransformersCompleter):
    for prompt, found in zip(PROMPTS, completer.complete(PROMPTS, GREEDY), strict=True):
        expected = generated(completer, prompt)
        assert list(found.token_ids) == expected
        assert found.text == completer.tokenizer.decode(expected)
        assert found.finish_reason == ("length" if len(expected) == 20 else "stop")
        assert found.stop is None


def test_logprobs_are_those_of_the_model_itself(completer: TransformersCompleter):
    """Whatever the temperature, top-p and top-k."""
    how = Completing(max_tokens=8, temperature=0.5, top_p=0.9, top_k=5, num_logprobs=4)
    for prompt, found in zip(PROMPTS, completer.complete(PROMPTS, how), strict=True):
        ids = completer.tokenizer.encode(prompt)
        with torch.no_grad():
            logits = completer.model(torch.tensor([[*ids, *found.token_ids]])).logits[0]
        logprobs = logits.log_softmax(-1)
        assert len(found.top_logprobs) == len(found.token_ids) > 0
        for at, (token, top) in enumerate(zip(found.token_ids, found.top_logprobs, strict=True)):
            here = logprobs[len(ids) - 1 + at]
            assert token in top and 4 <= len(top) <= 5
            assert set(here.topk(4).indices.tolist()) <= set(top)
            for number, value in top.items():
                assert value == pytest.approx(float(here[number]), abs=1e-4)
            assert math.exp(max(top.values())) <= 1.0


def test_the_log_probability_of_a_named_token_is_told_however_unlikely(
    completer: TransformersCompleter,
):
    with torch.no_grad():
        ids = completer.tokenizer.encode(PROMPTS[0])
        logprobs = completer.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    least, next_to_it = logprobs.topk(2, largest=False).indices.tolist()
    how = Completing(max_tokens=1, temperature=0, logprobs_of=(least, next_to_it))
    [found] = completer.complete(PROMPTS[:1], how)
    for token in (least, next_to_it, *found.token_ids):
        assert found.top_logprobs[0][token] == pytest.approx(float(logprobs[token]), abs=1e-4)
    assert len(found.top_logprobs[0]) == 3


def test_a_completion_ends_before_the_first_stop_string(completer: TransformersCompleter):
    whole = completer.complete(PROMPTS[:1], GREEDY)[0]
    for stop in (whole.text[4:7], whole.text[3:5], whole.text[:1]):
        how = replace(GREEDY, stop=("never written", stop))
        [found] = completer.complete(PROMPTS[:1], how)
        assert found.text == whole.text[: whole.text.index(stop)]
        assert (found.stop, found.finish_reason) == (stop, "stop")
        assert found.token_ids == whole.token_ids[: len(found.token_ids)]
        assert len(found.token_ids) < len(whole.token_ids)
        assert stop in completer.tokenizer.decode(found.token_ids)


def test_top_k_of_one_takes_the_likeliest(completer: TransformersCompleter):
    likeliest = completer.complete(PROMPTS, GREEDY)
    drawn = completer.complete(PROMPTS, replace(GREEDY, temperature=1.0, top_k=1))
    assert [found.token_ids for found in drawn] == [found.token_ids for found in likeliest]


def test_top_k_draws_from_so_many(completer: TransformersCompleter):
    ids = completer.tokenizer.encode(PROMPTS[0])
    with torch.no_grad():
        logits = completer.model(torch.tensor([ids])).logits[0, -1]
    three = set(logits.topk(3).indices.tolist())
    how = Completing(max_tokens=1, temperature=3.0, top_k=3)
    drawn = {found.token_ids for found in completer.complete(PROMPTS[:1] * 200, how)}
    assert drawn == {(token,) for token in three if token != completer.tokenizer.eos_token_id}


def test_seeds_repeats_and_batches(completer: TransformersCompleter):
    how = Completing(max_tokens=12, seed=1)
    together = completer.complete(PROMPTS, how)
    assert together == completer.complete(PROMPTS, how)
    assert together != completer.complete(PROMPTS, replace(how, seed=2))
    small = replace(completer, max_batch_prompts=2).complete(PROMPTS, how)
    assert [found.text for found in small] == [found.text for found in together]
    assert [completer.complete([p], how)[0].text for p in PROMPTS] == [f.text for f in together]
    first, second = completer.complete(PROMPTS[:1] * 2, how)
    assert first.text == together[0].text and first != second
    assert completer.complete([], how) == []


def test_a_prompt_that_fills_the_context_is_completed_by_nothing(
    completer: TransformersCompleter,
):
    [found, other] = completer.complete(["How many? " * 100, "so"], Completing(max_tokens=80))
    assert found == Completion("", finish_reason="length")
    assert len(other.token_ids) <= 60


def test_a_start_token_is_put_before_a_prompt_once(completer: TransformersCompleter):
    plain, begun = completer.complete(["so it is", "<|begin|>so it is"], GREEDY)
    assert plain.token_ids == begun.token_ids
