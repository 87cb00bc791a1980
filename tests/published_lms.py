"""Published reward models that are plain causal LMs: built small, and read literally."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from transformers import GraniteConfig, LlamaConfig, MistralConfig, Qwen2Config

from rung import Chain
from rung.model import load_tokenizer
from tiny_lms import (
    CHATML_SPECIALS,
    CHATML_TEMPLATE,
    GRANITE_SPECIALS,
    GRANITE_TEMPLATE,
    LLAMA3_SPECIALS,
    LLAMA3_TEMPLATE,
    byte_tokenizer,
    logits_of,
    save_lm,
    sentencepiece_tokenizer,
)


class Literal(NamedTuple):
    """What the authors' code gives for one chain."""

    ids: list[int]
    places: list[int]
    scores: list[float]


def label_scores(folder: Path, ids: Sequence[int], places: Sequence[int], labels: Sequence[int]):
    logits = logits_of(folder, ids)
    return [float(torch.softmax(logits[at, list(labels)], -1)[0]) for at in places]


# The literal readings: one function a family, over whole strings, with markers found by their ids.


def math_shepherd(folder: Path, tokenizer: Any, one: Chain) -> Literal:
    ids = tokenizer.encode(f"{one.problem.question} " + "\n".join(f"{s} ки" for s in one.texts))
    labels = tokenizer.encode("+ -")[-2:]
    tag = tokenizer.encode("a ки")[-1]
    places = [k for k, token in enumerate(ids) if token == tag]
    return Literal(ids, places, label_scores(folder, ids, places, labels))


def at_tag(tag: str) -> Callable[[Path, Any, Chain], Literal]:
    def read(folder: Path, tokenizer: Any, one: Chain) -> Literal:
        text = f"{one.problem.question} " + "".join(f"{step}{tag}" for step in one.texts)
        ids = tokenizer.encode(text)
        labels = [tokenizer.encode(" +")[-1], tokenizer.encode(" -")[-1]]
        marker = tokenizer.encode(tag)[-1]
        places = [k for k, token in enumerate(ids) if token == marker]
        return Literal(ids, places, label_scores(folder, ids, places, labels))

    return read


def llemma(folder: Path, tokenizer: Any, one: Chain) -> Literal:
    steps = "".join(f"{step}\n\n" for step in one.texts)
    ids = tokenizer.encode(f"# Question\n\n{one.problem.question}\n\n# Solution\n\n{steps}")
    begin = tokenizer.encode("\n\n# Solution", add_special_tokens=False)[1:]
    ends = tokenizer.encode("\n\n", add_special_tokens=False)[1:]
    begun, places = False, list[int]()
    for k in range(len(ids)):
        begun = begun or ids[k : k + len(begin)] == begin
        if begun and ids[k : k + len(ends)] == ends:
            places.append(k)
    del places[:2]  # before and behind "# Solution"
    logits = logits_of(folder, ids)
    return Literal(ids, places, [float(torch.sigmoid(logits[k].mean())) for k in places])


def conversation(tokenizer: Any, turns: Sequence[str], label: str) -> list[int]:
    messages = [
        {"role": role, "content": content}
        for turn in turns
        for role, content in (("user", turn), ("assistant", label))
    ]
    return tokenizer.apply_chat_template(messages)["input_ids"]


def rlhflow(folder: Path, tokenizer: Any, one: Chain) -> Literal:
    """The authors' loop: the conversation is encoded anew for every step and read at -3."""
    labels = [tokenizer.encode(sign)[-1] for sign in "+-"]
    turns = [f"{one.problem.question} {one.texts[0]}", *one.texts[1:]]
    ids, places, scores = list[int](), list[int](), list[float]()
    for k in range(len(turns)):
        ids = conversation(tokenizer, [turn.strip() for turn in turns[: k + 1]], "+")
        places.append(len(ids) - 3)
        scores += label_scores(folder, ids, places[-1:], labels)
    return Literal(ids, places, scores)


def rlhflow_orm(separator: str) -> Callable[[Path, Any, Chain], Literal]:
    def read(folder: Path, tokenizer: Any, one: Chain) -> Literal:
        labels = [tokenizer.encode(sign)[-1] for sign in "+-"]
        turn = f"{one.problem.question} {separator.join(one.texts)}"
        ids = conversation(tokenizer, [turn], "+")
        return Literal(ids, [len(ids) - 3], label_scores(folder, ids, [len(ids) - 3], labels))

    return read


FOVER_TASK = """** Problem **
{problem}

** Task **
Your task is to evaluate the accuracy of each step in the provided solution to the above question. \
For each step, respond with "correct" if the reasoning is logically valid and mathematically \
sound, or if the step is a general statement or transition that does not contain reasoning. \
Respond with "incorrect" if the step includes any errors or flawed logic.

** Sotluion **
{step}"""


def fover(folder: Path, tokenizer: Any, one: Chain) -> Literal:
    """Places are found by three tokens in a row, which differ between Llama and Qwen."""
    first = FOVER_TASK.replace("{step}", one.texts[0]).replace("{problem}", one.problem.question)
    ids = conversation(tokenizer, [first, *one.texts[1:]], "correct")
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    if "<|im_start|>" in tokenizer.get_vocab():
        opening = [*encode("<|im_start|>"), encode("assistant")[0], *encode("\n")]
    else:
        opening = [encode("assistant")[0], *encode("<|end_header_id|>"), *encode("\n\n")]
    places = [k + 2 for k in range(len(ids)) if ids[k : k + 3] == opening]
    labels = [encode("correct")[0], encode("incorrect")[0]]
    return Literal(ids, places, label_scores(folder, ids, places, labels))


def granite(folder: Path, tokenizer: Any, one: Chain) -> Literal:
    """As on the card: every Y behind what opens the assistant's turn, over the whole vocabulary."""
    ask = "Is this response correct so far (Y/N)?"
    first, *further = one.texts
    turns = [f"{one.problem.question} {first} {ask}", *(f"{step} {ask}" for step in further)]
    ids = conversation(tokenizer, turns, "Y")
    role = "<|start_of_role|>assistant<|end_of_role|>Y<|end_of_text|>"
    *opening, yes, _ = tokenizer.encode(role, add_special_tokens=False)
    ends = [k for k, token in enumerate(ids) if token == yes]
    places = [k - 1 for k in ends if ids[k - len(opening) : k] == opening]
    logits = logits_of(folder, ids)
    return Literal(ids, places, [float(torch.softmax(logits[at], -1)[yes]) for at in places])


def llama3_tokenizer() -> Any:
    return byte_tokenizer(
        bos="<|begin_of_text|>", specials=LLAMA3_SPECIALS, template=LLAMA3_TEMPLATE
    )


def qwen_tokenizer() -> Any:
    return byte_tokenizer(specials=CHATML_SPECIALS, template=CHATML_TEMPLATE)


def granite_tokenizer() -> Any:
    return byte_tokenizer(
        eos="<|end_of_text|>", specials=GRANITE_SPECIALS, template=GRANITE_TEMPLATE
    )


class Case(NamedTuple):
    family: str
    literal: Callable[[Path, Any, Chain], Literal]
    tokenizer: Callable[[], Any]
    config: type[Any]
    published: str
    """A name that is recognized."""


CASES = {
    "math-shepherd": Case(
        "math-shepherd", math_shepherd, sentencepiece_tokenizer, MistralConfig,
        "math-shepherd-mistral-7b-prm",
    ),
    "er-prm": Case("er-prm", at_tag(" ки"), llama3_tokenizer, LlamaConfig, "llama3.1-math-prm"),
    "math-psa": Case("math-psa", at_tag(" \n\n\n\n\n"), qwen_tokenizer, Qwen2Config, "Math-psa"),
    "llemma": Case(
        "llemma", llemma, sentencepiece_tokenizer, LlamaConfig,
        "llemma-7b-prm-prm800k-level-1to3-hf",
    ),
    "rlhflow": Case(
        "rlhflow", rlhflow, llama3_tokenizer, LlamaConfig, "Llama3.1-8B-PRM-Deepseek-Data"
    ),
    "rlhflow-orm-mistral": Case(
        "rlhflow-orm-mistral", rlhflow_orm("\n"), llama3_tokenizer, LlamaConfig,
        "Llama3.1-8B-ORM-Mistral-Data",
    ),
    "rlhflow-orm-deepseek": Case(
        "rlhflow-orm-deepseek", rlhflow_orm("\n\n"), llama3_tokenizer, LlamaConfig,
        "Llama3.1-8B-ORM-Deepseek-Data",
    ),
    "fover-llama": Case(
        "fover", fover, llama3_tokenizer, LlamaConfig, "Llama-3.1-8B-FoVer-PRM"
    ),
    "fover-qwen": Case("fover", fover, qwen_tokenizer, Qwen2Config, "Qwen-2.5-7B-FoVer-PRM"),
    "granite": Case(
        "granite", granite, granite_tokenizer, GraniteConfig, "granite-3.3-8b-math-prm-v2"
    ),
}  # fmt: skip
PRMS = [name for name in CASES if "orm" not in name]


def build(name: str, folder: Path, max_tokens: int = 512) -> Path:
    """Write a case's model."""
    case = CASES[name]
    options: dict[str, Any] = {"tie_word_embeddings": name == "fover-qwen"}
    if case.config is MistralConfig:
        options["sliding_window"] = 24  # of 4096 in the published model
    if case.config is GraniteConfig:  # multipliers as the published model has, of its own size
        options |= {"logits_scaling": 2.0, "attention_multiplier": 0.2}
        options |= {"embedding_multiplier": 3.0, "residual_multiplier": 0.5}
    save_lm(folder, case.tokenizer(), case.config, max_tokens=max_tokens, **options)
    if case.config is GraniteConfig:
        _say_often(folder, "Y")
    return folder


def _say_often(folder: Path, word: str) -> None:
    """Give one word a logit near the sum of all others, or its probability is nothing."""
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][load_tokenizer(folder).encode(word)[-1]] *= -8
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
