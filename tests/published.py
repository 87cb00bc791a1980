"""Small models in the layouts of published ones, and what a plain forward pass makes of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from torch import Tensor

WIDTH = 16
TEXTS = [
    "We add one and two to get three .",
    "Step 1: 12 + 30 = 42 и",
    "Question: Answer: Let's think step by step. Human: Assistant: system user assistant",
]
CHAT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen2.5's template: turns between marks, and a system message where none is given."""
QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


@dataclass(frozen=True, slots=True)
class Small:
    """A model on disk and in memory."""

    folder: Path
    trunk: Any
    tokenizer: Any
    heads: dict[str, Tensor]

    def states(self, ids: Sequence[int]) -> Tensor:
        """One forward pass of transformers over the whole sequence: (T, D)."""
        with torch.no_grad():
            return self.trunk(torch.tensor([list(ids)])).last_hidden_state[0]

    def linear(self, name: str, x: Tensor) -> Tensor:
        out = x @ self.heads[f"{name}.weight"].T
        return out + self.heads[f"{name}.bias"] if f"{name}.bias" in self.heads else out

    def two_layers(self, x: Tensor) -> Tensor:
        return self.linear("score.2", torch.relu(self.linear("score.0", x)))


def qwen_tokenizer(*specials: str, bos: str | None = None) -> Any:
    """Byte-level, no BOS unless asked for, with Qwen's marks and template."""
    from rung.model.tiny import make_tokenizer

    tokenizer = make_tokenizer(TEXTS)
    marks = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", *specials, *([bos] if bos else [])]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    if bos:
        tokenizer.bos_token = bos
    tokenizer.chat_template = CHAT
    return tokenizer


def llama_tokenizer(pad: str) -> Any:
    """Byte-level, puts BOS (id 1) before every text, with the pad token asked for."""
    from rung.model.tiny import make_tokenizer

    tokenizer = make_tokenizer(TEXTS)
    tokenizer.bos_token = "<end>"
    assert tokenizer.bos_token_id == 1
    tokenizer.pad_token = pad
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<end> $A", special_tokens=[("<end>", 1)]
    )
    return tokenizer


def save(
    folder: Path,
    tokenizer: Any,
    heads: dict[str, Tensor],
    config: dict[str, Any] = QWEN,
    *,
    prefix: str = "model.",
    kind: str = "qwen2",
    file: str = "model.safetensors",
    max_tokens: int = 512,
    vocab: int | None = None,
) -> Small:
    """Write a folder as authors publish it: config keys, weight names and code of their own."""
    folder.mkdir(parents=True)
    sizes = transformers.CONFIG_MAPPING[kind](
        vocab_size=vocab or len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_tokens,
        initializer_range=0.3,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = transformers.AutoModel.from_config(sizes).eval()
    told = {k: v for k, v in sizes.to_dict().items() if k != "architectures"} | config
    (folder / "config.json").write_text(json.dumps(told))
    weights = {f"{prefix}{n}": w for n, w in trunk.state_dict().items()} | heads
    if file.endswith(".safetensors"):
        save_file(weights, folder / file)
    else:
        torch.save(weights, folder / file)
    (folder / "modeling_qwen2_rm.py").write_text("raise SystemExit('remote code was run')")
    tokenizer.save_pretrained(folder)
    # transformers may choose another class by the model's type than the one that was saved
    loaded = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return Small(folder, trunk, loaded, heads)


def random_heads(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Weights whose scores differ visibly; two underscores in a name stand for a dot."""
    generator = torch.Generator().manual_seed(1)
    return {
        name.replace("__", "."): torch.randn(shape, generator=generator) * 0.5
        for name, shape in shapes.items()
    }


def two_layer_heads(num_outputs: int) -> dict[str, Tensor]:
    return random_heads(
        score__0__weight=(WIDTH, WIDTH),
        score__0__bias=(WIDTH,),
        score__2__weight=(num_outputs, WIDTH),
        score__2__bias=(num_outputs,),
    )
