import json
import os
import pickle
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from rung import InputError
from rung.model import (
    Reading,
    load_causal_lm,
    load_reward_model,
    load_trunk,
    new_reward_model,
    save_reward_model,
    weights_hash,
)
from toy_chains import logits_of, make_toy_trunk

IDS = [5, 9, 12, 40, 7]
READING = Reading(kind="orm", step_separator="\n\n", max_tokens=99, label_source="x", trunk="t")


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


@pytest.fixture
def checkpoint(tmp_path, trunk):
    model, loaded = new_reward_model(trunk, seed=3)
    save_reward_model(model, loaded.tokenizer, READING, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_checkpoint_opens_again_with_equal_weights_reading_and_scores(checkpoint, trunk):
    model, loaded = new_reward_model(trunk, seed=3)
    again = load_reward_model(checkpoint)
    assert again.reading == READING
    assert torch.allclose(logits_of(again.model, IDS), logits_of(model.eval(), IDS), atol=1e-6)
    assert again.model.state_dict().keys() == model.state_dict().keys()
    assert again.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()


def test_plain_transformers_open_it_and_agree(checkpoint):
    plain, info = transformers.AutoModelForTokenClassification.from_pretrained(
        checkpoint, output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours = load_reward_model(checkpoint).model
    with torch.no_grad():
        # not bit by bit: where weights lie in memory decides how a product is summed
        logits = plain(torch.tensor([IDS])).logits[0, :, 0]
        assert torch.allclose(logits, logits_of(ours, IDS), atol=1e-6)


def test_a_trunk_of_another_layout_comes_back_too(tmp_path, trunk):
    config = transformers.GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    load_trunk(trunk).tokenizer.save_pretrained(tmp_path / "gpt2")
    model, loaded = new_reward_model(tmp_path / "gpt2", seed=0)
    save_reward_model(model, loaded.tokenizer, READING, tmp_path / "checkpoint")
    again = load_reward_model(tmp_path / "checkpoint")
    assert torch.allclose(logits_of(again.model, IDS), logits_of(model.eval(), IDS), atol=1e-6)


def test_a_new_head_depends_on_the_seed_alone(trunk, checkpoint):
    torch.manual_seed(1)
    first, _ = new_reward_model(trunk, seed=3)
    torch.manual_seed(2)
    second, _ = new_reward_model(checkpoint, seed=3)
    other, _ = new_reward_model(trunk, seed=4)
    assert torch.equal(first.score.weight, second.score.weight)
    assert not torch.equal(first.score.weight, other.score.weight)
    assert first.score.weight.abs().max() > 0


def test_the_hash_follows_the_weights(checkpoint, tmp_path, trunk):
    before = weights_hash(checkpoint)
    shutil.copytree(checkpoint, tmp_path / "copy")
    assert weights_hash(tmp_path / "copy") == before
    model, loaded = new_reward_model(trunk, seed=4)
    save_reward_model(model, loaded.tokenizer, READING, checkpoint)
    assert weights_hash(checkpoint) != before


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "rung.json", "tokenizer.json"]
)
def test_a_lacking_file_is_named(checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(InputError, match=f"lacks {name}"):
        load_reward_model(checkpoint)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder"):
        load_reward_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no such folder"):
        load_trunk(tmp_path / "nowhere")


def test_damaged_files_are_named(checkpoint):
    weights = checkpoint / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    with pytest.raises(InputError, match="the model can't be read"):
        load_reward_model(checkpoint)
    (checkpoint / "rung.json").write_text('{"kind": "prm", "max_tokens": "many"}')
    with pytest.raises(InputError, match="does not say how to read the model"):
        load_reward_model(checkpoint)
    (checkpoint / "rung.json").write_text('{"kind": "prm", "version": 99}')
    with pytest.raises(InputError, match="version 99"):
        load_reward_model(checkpoint)


@pytest.mark.parametrize("gone", ["score.weight", "model.layers.0.mlp.up_proj.weight"])
def test_a_lacking_weight_is_named(checkpoint, gone):
    weights = load_file(checkpoint / "model.safetensors")
    del weights[gone]
    save_file(weights, checkpoint / "model.safetensors")
    with pytest.raises(InputError, match="the weights lack"):
        load_reward_model(checkpoint)


def test_pickled_weights_are_refused(trunk, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(trunk, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"such as pytorch_model.bin are refused.*--trust-pickle"):
        load_causal_lm(folder)


def test_pickles_that_are_trusted_are_read_whole_or_in_shards(trunk, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(trunk, folder)
    state = load_file(folder / "model.safetensors")
    whole = load_causal_lm(trunk).model.state_dict()

    def is_whole() -> bool:
        found = load_causal_lm(folder, trust_pickle=True).model.state_dict()
        return found.keys() == whole.keys() and all(torch.equal(found[n], whole[n]) for n in whole)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    assert is_whole()  # safetensors beside it: the pickle isn't touched
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="pickled: the model can't be read"):
        load_causal_lm(folder, trust_pickle=True)
    torch.save(state, folder / "pytorch_model.bin")
    assert is_whole()
    (folder / "pytorch_model.bin").unlink()
    names = [f"pytorch_model-0000{k}-of-00002.bin" for k in (1, 2)]
    halves = list(state)[::2], list(state)[1::2]
    for name, half in zip(names, halves, strict=True):
        torch.save({n: state[n] for n in half}, folder / name)
    weight_map = {n: name for name, half in zip(names, halves, strict=True) for n in half}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert is_whole()
    (folder / names[0]).unlink()
    with pytest.raises(InputError, match=f"the folder lacks {names[0]}$"):
        load_causal_lm(folder, trust_pickle=True)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


def test_remote_code_is_never_run(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoModel": "evil.Model"}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "evil.py").write_text("raise SystemExit('remote code was run')")
    with pytest.raises(InputError, match="can't be read"):
        load_reward_model(checkpoint)
