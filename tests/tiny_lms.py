"""Causal LMs with random weights and tokenizers that behave as the published ones do."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPECIALS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA3_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first %}{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n"
    "Today Date: 26 Jul 2024\n\n<|eot_id|>{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CHATML_SPECIALS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CHATML_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GRANITE_SPECIALS = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")
GRANITE_TEMPLATE = (
    "<|start_of_role|>system<|end_of_role|>You are Granite.<|end_of_text|>\n"
    "{% for message in messages %}"
    "{{ '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] }}"
    "{{ '<|end_of_text|>\n' }}{% endfor %}"
)
TEXTS = [
    "How many? What is 3 + 4?",
    "Step 1: we add 3 and 4 to get 7. Step 2: so it is 42 =",
    "a ки и к + - correct incorrect assistant Yes No yes no Y",
    "a \n\n\n\n\nb\n\nc\nd",
    "assistant\ncorrect\nincorrect\nuser\nsystem\nYes\nNo\n",
]

DECODER_SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""Of tiny decoders that need no tokenizer."""


def byte_tokenizer(
    texts: Sequence[str] = TEXTS,
    *,
    bos: str | None = None,
    eos: str = "<|end|>",
    specials: Sequence[str] = (),
    template: str | None = None,
) -> Any:
    """A byte-level BPE that cuts words as Llama 3's does; most words are single tokens."""
    core = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(LLAMA3_WORDS), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    named = list(dict.fromkeys([eos, *([bos] if bos else []), *specials]))
    trainer = BpeTrainer(
        vocab_size=2000,
        special_tokens=named,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    if bos:
        core.post_processor = begins_with(core, bos)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        additional_special_tokens=list(specials),
        chat_template=template,
    )


def sentencepiece_tokenizer(texts: Sequence[str] = TEXTS) -> Any:
    """A BPE as in Llama 2: a dummy space before every text, line ends as single bytes, BOS."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.train_from_iterator(
        (text.replace("\n", " ") for text in texts), BpeTrainer(vocab_size=600, show_progress=False)
    )
    learned = json.loads(core.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += learned["vocab"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    merges = [tuple(merge) for merge in learned["merges"]]
    core = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    core.post_processor = begins_with(core, "<s>")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def begins_with(core: Tokenizer, bos: str) -> processors.TemplateProcessing:
    number = core.token_to_id(bos)
    return processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, number)])


def save_lm(
    folder: Path,
    tokenizer: Any,
    config: type[Any] = transformers.LlamaConfig,
    *,
    seed: int = 0,
    max_tokens: int = 512,
    **options: Any,
) -> Path:
    """A causal LM of one of the published architectures, with visible differences of logits."""
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    told = config(
        **width,
        **heads,
        **options,
        vocab_size=len(tokenizer),
        max_position_embeddings=max_tokens,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(told)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_implicit(folder: Path) -> Path:
    """An implicit PRM as `rung train implicit` leaves it, untrained."""
    from rung.model.implicit import REFERENCE, ImplicitReading, save_implicit_reading

    for place, seed in ((folder, 0), (folder / REFERENCE, 1)):
        save_lm(place, byte_tokenizer(), seed=seed)
    reading = ImplicitReading(
        question_separator="\n",
        step_separator="\n",
        max_tokens=256,
        coefficient=0.05,
        loss="ce",
        trunk="tiny",
    )
    save_implicit_reading(reading, folder)
    return folder


def logits_of(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """Plain transformers over one whole sequence: logits (T, V)."""
    with torch.no_grad():
        return _opened(folder)(torch.tensor([list(ids)])).logits[0]


@functools.lru_cache(4)
def _opened(folder: Path) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()
