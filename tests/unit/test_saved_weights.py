"""What another engine is handed is what would be saved."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, LlamaConfig, MixtralConfig

from rung.model import load_causal_lm
from rung.train.trainable import add_adapters, saved_weights
from tiny_lms import byte_tokenizer, save_lm

KINDS = [
    pytest.param(LlamaConfig, {"tie_word_embeddings": True}, id="tied"),
    pytest.param(LlamaConfig, {}, id="untied"),
    pytest.param(GPT2Config, {}, id="transposed maps"),
    pytest.param(MixtralConfig, {"num_local_experts": 3}, id="experts"),
]


@pytest.mark.parametrize("is_adapted", [False, True])
@pytest.mark.parametrize(("config", "options"), KINDS)
def test_weights_have_the_names_and_values_of_a_checkpoint(
    tmp_path: Path, config: type[Any], options: dict[str, Any], is_adapted: bool
):
    model = load_causal_lm(save_lm(tmp_path / "lm", byte_tokenizer(), config, **options)).model
    merge = add_adapters(model.base_model, 2, 0) if is_adapted else lambda: None
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    before = copy.deepcopy(model.state_dict())
    handed = {name: weight.clone() for name, weight in saved_weights(model)}
    after = model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    merge()
    model.save_pretrained(tmp_path / "saved")
    written = load_file(tmp_path / "saved" / "model.safetensors")
    assert handed.keys() == written.keys()
    for name, weight in written.items():
        torch.testing.assert_close(handed[name], weight)
