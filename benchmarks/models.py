"""The models that the benchmarks run: real weights in the forms that every side can open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers
from safetensors.torch import save_file

from rung.core.files import new_folder
from rung.model.checkpoint import new_reward_model, write_reward_model
from rung.model.reading import Reading
from rung.model.trunk import load_trunk, quiet_transformers

PRM_NAME = "Qwen/Qwen2.5-Math-PRM-7B"
"""reward-hub knows models by name alone; a folder of this name in the working folder passes."""
STEP_TAG = "<extra_0>"
REMOTE_CODE = "modeling_prm.py"
HEAD_SCALE = 0.5
"""Of the random head: its logits are then about as far apart as those of a trained one."""
CHAT_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}"""
"""ChatML, as Qwen and SmolLM2 have it."""


def qwen_prm(trunk: str, parent: Path) -> Path:
    """A trunk of Llama's kind with a head of its own, in the layout of Qwen2.5-Math-PRM.

    Llama is Qwen2 without biases on queries, keys and values, so with zeros there the trunk
    computes what it computed. The head is random: what it says is no judgment, but every side must
    say the same. The folder carries the code that reward-hub lets transformers run (`REMOTE_CODE`).

    Returns:
        ``parent/Qwen/Qwen2.5-Math-PRM-7B``; what is there already is taken as it is.
    """
    out = parent / PRM_NAME
    if out.exists():
        return out
    loaded = load_trunk(trunk)
    tokenizer, model = loaded.tokenizer, loaded.model
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP_TAG]})
    tokenizer.chat_template = CHAT_TEMPLATE
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        weights = _qwen_weights(model)
    code = Path(__file__).with_name("sides") / REMOTE_CODE
    with new_folder(out) as aside:
        save_file(weights, aside / "model.safetensors", {"format": "pt"})
        (aside / "config.json").write_bytes(msgspec.json.encode(_qwen_config(model)))
        (aside / REMOTE_CODE).write_bytes(code.read_bytes())
        tokenizer.save_pretrained(aside)
    return out


def own_prm(trunk: str, out: Path) -> Path:
    """A checkpoint of rung's own with a new head; what is there already is taken as it is."""
    if not out.exists():
        model, loaded = new_reward_model(trunk, seed=0)
        with new_folder(out) as aside:
            write_reward_model(model, loaded.tokenizer, Reading(kind="prm"), aside)
    return out


def _qwen_weights(model: Any) -> dict[str, torch.Tensor]:
    weights = {f"model.{name}": weight.contiguous() for name, weight in model.state_dict().items()}
    for name in [
        n for n in weights if n.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))
    ]:
        bias = name.replace("weight", "bias")
        weights[bias] = torch.zeros(weights[name].shape[0])
    width = model.config.hidden_size
    for place, size in ((0, width), (2, 2)):
        weights[f"score.{place}.weight"] = torch.randn(size, width) * HEAD_SCALE * width**-0.5
        weights[f"score.{place}.bias"] = torch.zeros(size)
    return weights


def _qwen_config(model: Any) -> dict[str, Any]:
    kept = (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "hidden_act", "max_position_embeddings", "rms_norm_eps"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "vocab_size", "tie_word_embeddings"),
    )
    config = {name: getattr(model.config, name) for name in kept}
    theta = model.config.rope_parameters["rope_theta"]
    shape = transformers.Qwen2Config(
        **config, rope_parameters={"rope_type": "default", "rope_theta": theta}
    )
    return shape.to_diff_dict() | {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {"AutoModel": f"{Path(REMOTE_CODE).stem}.Qwen2ForProcessRewardModel"},
        "dtype": "float32",
        "num_labels": 2,
    }
