"""What transformers carries runs on token trees as it runs alone, or is refused: never wrong."""

import pytest
import torch
import transformers

from rung import RungError
from rung.model.engine import PrefixEngine, Request
from rung.model.tree_attention import use_tree_attention
from tiny_lms import DECODER_SIZES

EXPERTS = {"num_local_experts": 2, "num_experts": 2, "num_experts_per_tok": 1}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
PLAIN = (
    *("llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "opt", "gemma", "gemma2"),
    *("gemma3_text", "cohere2", "phi", "smollm3", "glm4", "granite", "olmo2", "olmo3"),
    *("starcoder2", "ministral3", "internlm3"),
)
MIXED = ("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "olmoe", "minimax_m2")
RUN = {
    **{name: {} for name in PLAIN},
    **dict.fromkeys(MIXED, EXPERTS),
    "deepseek_v3": LATENT,
}
SEQUENCES = [(5, 6, 7, 8, 9, 3), (5, 6, 7, 4, 4), (5, 6, 7, 8, 11, 12, 13), (20, 21)]
REFUSED = {
    "mamba": "has an attention of its own",
    "bert": "reads tokens with those behind them",
    "minimax": r"has layers \(linear_attention\)",
    "llama4_text": r"has layers \(chunked_attention\)",
}


def make_trunk(name, **more):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **DECODER_SIZES | more)
    return transformers.AutoModel.from_config(config, attn_implementation="eager").eval()


@pytest.mark.parametrize("name", RUN)
def test_states_on_a_tree_equal_a_plain_pass(name):
    trunk = make_trunk(name, **RUN[name])
    with torch.no_grad():
        plain = [
            trunk(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
            for ids in SEQUENCES
        ]
    found = PrefixEngine(trunk, batch_tokens=9).features(
        [Request(ids, tuple(range(len(ids)))) for ids in SEQUENCES]
    )
    assert torch.allclose(found, torch.cat(plain), atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_on_a_tree_is_refused(name):
    with pytest.raises(RungError, match=REFUSED[name]):
        use_tree_attention(make_trunk(name))
