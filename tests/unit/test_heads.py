"""Heads of 1, 2 and 3 rows: what is written, and what opens it again."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from rung import InputError, RungError
from rung.model import Reading, load_causal_lm, load_reward_model, new_reward_model
from rung.model import save_reward_model as save
from rung.model.families import open_reader
from rung.model.reading import CLASSES, HeadName
from rung.score import load_scorer
from toy_chains import make_toy_trunk, toy_records

CHAINS = [record.chain for record in toy_records(3)]
WORDS = {"tokens": ("+", "-")}


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


def checkpoint(trunk: Path, head: HeadName, folder: Path) -> Path:
    words = WORDS.get(head)
    model, loaded = new_reward_model(trunk, seed=1, head=head, label_words=words)
    with torch.no_grad():
        model.score.weight.mul_(20)  # so that scores differ visibly
        model.score.bias.copy_(torch.linspace(-0.5, 0.5, len(model.score.bias)))
    reading = Reading(kind="prm", head=head, label_words=words, max_tokens=128)
    save(model, loaded.tokenizer, reading, folder)
    return folder


@pytest.mark.parametrize("head", CLASSES)
def test_plain_transformers_open_every_head_with_named_classes_and_agree(trunk, head, tmp_path):
    folder = checkpoint(trunk, head, tmp_path)
    plain, info = transformers.AutoModelForTokenClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert tuple(plain.config.id2label.values()) == CLASSES[head]
    assert plain.config.label2id == {name: row for row, name in enumerate(CLASSES[head])}
    reader = open_reader(folder)
    scores = load_scorer(folder).score(CHAINS)
    for chain, rendered, found in zip(CHAINS, reader.render(CHAINS), scores, strict=True):
        with torch.no_grad():
            logits = plain(torch.tensor([rendered.ids])).logits[0, list(rendered.step_ends)]
        p = logits[:, 0].sigmoid() if head == "scalar" else 1 - logits.softmax(-1)[:, 0]
        assert found.scores == pytest.approx(p.tolist(), abs=1e-5)
        assert len(found.scores) == len(chain.steps)
    assert len({round(p, 4) for found in scores for p in found.scores}) > 3


def test_neutral_is_no_mistake(trunk, tmp_path):
    reader = open_reader(checkpoint(trunk, "3-class", tmp_path))
    states = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    wrong, neutral, right = reader.head.layers(states).softmax(-1).unbind(-1)
    assert torch.allclose(reader.head(states), neutral + right, atol=1e-6)
    assert torch.allclose(1 - reader.head(states), wrong, atol=1e-6)


def test_a_head_of_label_tokens_starts_as_the_lm_heads_rows_and_says_the_words_odds(trunk):
    lm = load_causal_lm(trunk)
    model, loaded = new_reward_model(trunk, seed=9, head="tokens", label_words=(" good", " bad"))
    rows = [loaded.tokenizer.encode(word)[0] for word in (" bad", " good")]
    assert torch.equal(model.score.weight, lm.model.lm_head.weight[rows])
    assert model.trunk.state_dict().keys() == lm.model.model.state_dict().keys()
    other, _ = new_reward_model(trunk, seed=1, head="tokens", label_words=(" good", " bad"))
    assert torch.equal(model.score.weight, other.score.weight)


def test_the_head_of_a_trunk_with_another_layout_starts_so_too(tmp_path, trunk):
    config = transformers.GPTNeoXConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    config.intermediate_size = 32
    transformers.GPTNeoXForCausalLM(config).save_pretrained(tmp_path)
    load_causal_lm(trunk).tokenizer.save_pretrained(tmp_path)
    lm = load_causal_lm(tmp_path).model
    model, loaded = new_reward_model(tmp_path, seed=0, head="tokens", label_words=("+", "-"))
    rows = [loaded.tokenizer.encode(word)[0] for word in ("-", "+")]
    assert torch.equal(model.score.weight, lm.get_output_embeddings().weight[rows])


def test_label_words_of_several_tokens_are_refused(trunk):
    with pytest.raises(RungError, match=r"the label word 'perhaps' is \d+ tokens of this trunk"):
        new_reward_model(trunk, seed=0, head="tokens", label_words=("perhaps", "-"))


def test_a_reward_model_has_no_label_tokens(trunk, tmp_path):
    folder = checkpoint(trunk, "scalar", tmp_path)
    with pytest.raises(InputError, match="expected a causal LM"):
        new_reward_model(folder, seed=0, head="tokens", label_words=("+", "-"))


def test_a_head_of_another_shape_is_named(trunk, tmp_path):
    folder = checkpoint(trunk, "2-class", tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] = weights["score.weight"][:1].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"the head has shape \(1, 32\), expected 2 rows"):
        load_reward_model(folder)


def test_a_checkpoint_that_names_no_head_has_a_scalar_one(trunk, tmp_path):
    folder = checkpoint(trunk, "scalar", tmp_path)
    told = json.loads((folder / "rung.json").read_text())
    del told["head"], told["label_words"]
    (folder / "rung.json").write_text(json.dumps(told))
    assert load_reward_model(folder).reading.head == "scalar"
