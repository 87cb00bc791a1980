"""The lower layers of a causal LM as a trunk of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from rung.core.files import new_folder
from rung.model.gguf import causal_lm_folder
from rung.model.trunk import quiet_transformers


def lower_layers(source: str, num_layers: int, out: Path) -> Path:
    """Write the first layers of `source` as a Hugging Face folder; return the folder.

    The upper layers of a language model turn what it has understood into the next token. Probes
    on frozen SmolLM2 tell right steps from wrong ones best in the middle (README.md), and layers
    that are not there cost nothing.

    Args:
        source: A folder, a GGUF file or "smollm2".
        num_layers: How many layers stay, from the embeddings up.
        out: The folder to write; one that is there is taken as it is.
    """
    if out.exists():
        return out
    folder = causal_lm_folder(source)
    auto: Any = transformers.AutoModelForCausalLM
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    with quiet_transformers(), new_folder(out) as aside:
        auto.from_pretrained(folder, num_hidden_layers=num_layers).save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    return out
