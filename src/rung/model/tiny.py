"""A tiny Llama with a tokenizer of its own, for models that train in a minute on a CPU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from rung.model.trunk import quiet_transformers

PAD, END = "<pad>", "<end>"
MAX_VOCAB = 2048


def make_tiny(
    folder: Path,
    texts: Iterable[str],
    *,
    seed: int,
    width: int = 64,
    num_layers: int = 2,
    num_heads: int = 4,
    max_tokens: int = 512,
) -> None:
    """Write an untrained causal LM as a Hugging Face folder.

    With the defaults and the lab's vocabulary it has about 160,000 parameters.

    Args:
        folder: Where config, weights and tokenizer go.
        texts: What the tokenizer learns from: their words and numbers become single tokens.
        seed: Of the weights.
        width: D.
        num_layers: Transformer layers.
        num_heads: Attention heads.
        max_tokens: The context.
    """
    tokenizer = make_tokenizer(texts)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        max_position_embeddings=max_tokens,
        initializer_range=0.04,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer, lossless on every text.

    It merges until each word of `texts` (with the space before it) is one token, or the
    vocabulary is full.
    """
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=MAX_VOCAB,
        min_frequency=1,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )
