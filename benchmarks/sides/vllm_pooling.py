"""vLLM's pooling of Qwen2.5-Math-PRM: every chain whole, as reward-hub gives chains to it.

vLLM keeps no keys and values between pooling requests, so a prefix is encoded anew each time.
"""

from __future__ import annotations

import os
from typing import Any

from side import Job, serve, settings

SETTINGS = settings()
CORES = sorted(os.sched_getaffinity(0))[: SETTINGS["threads"]]
os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, CORES)),
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}

from vllm import LLM  # noqa: E402  (it reads the environment as it is imported)
from vllm.config import PoolerConfig  # noqa: E402


def main() -> None:
    folder = SETTINGS["model"]
    llm: Any = LLM(
        model=folder,
        runner="pooling",
        dtype="float32" if SETTINGS["precision"] == "fp32" else "bfloat16",
        enforce_eager=True,
        max_model_len=4096,
        pooler_config=PoolerConfig(
            task="token_classify", step_tag_id=SETTINGS["step_tag_id"], returned_token_ids=[0, 1]
        ),
    )
    tokenizer = llm.get_tokenizer()

    def do(job: Job) -> Job:
        scores, tokens = [], 0
        for chains in job["levels"]:
            texts = [_text(tokenizer, job["questions"], chain) for chain in chains]
            outs = llm.encode(texts, pooling_task="token_classify", use_tqdm=False)
            tokens += sum(len(out.prompt_token_ids) for out in outs)
            scores.append([[row[-1].item() for row in out.outputs.data] for out in outs])
        return {"scores": scores, "tokens": tokens}

    serve(do)


def _text(tokenizer: Any, questions: list[str], chain: list[Any]) -> str:
    question, steps = chain
    turns = [
        {"role": "system", "content": SETTINGS["system"]},
        {"role": "user", "content": questions[question]},
        {"role": "assistant", "content": "".join(step + SETTINGS["step_tag"] for step in steps)},
    ]
    return tokenizer.apply_chat_template(turns, tokenize=False)


main()
