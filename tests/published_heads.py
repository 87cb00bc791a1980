"""Published reward models with heads of their own: built small, and read slowly and literally.

Every reading is written out from its authors' description and shares no code with the families:
one string or list of ids a chain, one plain forward pass, scores by position.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from published import (
    WIDTH,
    Small,
    llama_tokenizer,
    qwen_tokenizer,
    random_heads,
    save,
    two_layer_heads,
)
from rung import Chain

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."


class Read(NamedTuple):
    """Where a step is read: all ids up to there, and the score."""

    ids: list[int]
    score: float


Literal = Callable[[Small, Chain], list[Read | None]]


class Case(NamedTuple):
    """One published model."""

    family: str
    folder: str
    build: Callable[[Path], Small]
    literal: Literal
    aggregation: str | None
    reads_unfinished_steps: bool = True
    kind: str = "prm"
    load: Mapping[str, Any] = MappingProxyType({})


def at(small: Small, ids: list[int], places: Sequence[int], score: Callable[[Tensor], Tensor]):
    states = small.states(ids)
    return [Read(ids[: place + 1], float(score(states[place]))) for place in places]


def right(logits: Tensor) -> Tensor:
    return logits.softmax(-1)[1]


def squash(logits: Tensor) -> Tensor:
    return logits.squeeze(-1).sigmoid()


def turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


# --- Qwen2.5-Math-PRM, ReasonFlux-PRM-7B, Qwen2.5-Math-RM ---------------------------------------


def qwen_prm(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
        "model_type": "qwen2",
    }
    heads = two_layer_heads(2) | {"lm_head.weight": torch.zeros(3, WIDTH)}
    return save(folder, qwen_tokenizer("<extra_0>"), heads, config)


def read_extra_0(system: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        answer = "<extra_0>".join(chain.texts) + "<extra_0>"
        text = turn("system", system) + turn("user", chain.problem.question)
        ids = small.tokenizer.encode(text + turn("assistant", answer))
        marker = small.tokenizer.encode("<extra_0>")[0]
        places = [place for place, token in enumerate(ids) if token == marker]
        return at(small, ids, places, lambda h: right(small.two_layers(h)))

    return literal


def qwen_rm(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForRewardModel"],
        "auto_map": {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"},
        "model_type": "qwen2",
    }
    return save(folder, qwen_tokenizer(), two_layer_heads(1), config)


def read_qwen_rm(small: Small, chain: Chain) -> list[Read | None]:
    text = turn("system", BOXED) + turn("user", chain.problem.question)
    text += turn("assistant", "\n\n".join(chain.texts))
    ids = small.tokenizer.encode(text, add_special_tokens=False)
    last = at(small, ids, [len(ids) - 1], lambda h: squash(small.two_layers(h)))
    return [None] * (len(chain.steps) - 1) + last


def reasonflux_orm(folder: Path) -> Small:
    head = random_heads(weight=(1, WIDTH), bias=(1,))
    small = save(folder, qwen_tokenizer(), {"lm_head.weight": torch.zeros(3, WIDTH)})
    torch.save(head, folder / "reward_head.pt")
    return Small(folder, small.trunk, small.tokenizer, {f"head.{n}": w for n, w in head.items()})


def read_reasonflux_orm(small: Small, chain: Chain) -> list[Read | None]:
    ids = small.tokenizer.encode(chain.problem.question + "\n\n".join(chain.texts))
    last = at(small, ids, [len(ids) - 1], lambda h: squash(small.linear("head", h)))
    return [None] * (len(chain.steps) - 1) + last


# --- Skywork, PQM: TRL's value head -------------------------------------------------------------

VALUE_HEAD = {"v_head__summary__weight": (1, WIDTH), "v_head__summary__bias": (1,)}


def skywork(folder: Path) -> Small:
    tokenizer = qwen_tokenizer(bos="<|bos|>")
    return save(folder, tokenizer, random_heads(**VALUE_HEAD), prefix="pretrained_model.model.")


def read_skywork(small: Small, chain: Chain) -> list[Read | None]:
    encode, bos = small.tokenizer.encode, small.tokenizer.bos_token
    ids = encode(bos + chain.problem.question + "\n")
    newline = encode("\n")[-1]
    lines = [(k, line) for k, step in enumerate(chain.texts) for line in step.split("\n")]
    flagged: dict[int, int] = {}
    for k, line in lines:  # every line is a step to them; ours ends with its last
        ids = ids + (encode(line) if line != "" else []) + [newline]
        flagged[k] = len(ids) - 1
    return at(
        small, ids, list(flagged.values()), lambda h: squash(small.linear("v_head.summary", h))
    )


def pqm(folder: Path) -> Small:
    tokenizer = qwen_tokenizer()
    return save(
        folder,
        tokenizer,
        random_heads(**VALUE_HEAD),
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 7},
        kind="llama",
        file="pqm-zeta-4.bin",
        vocab=len(tokenizer) + 1,
    )


def read_pqm(query: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        tokenizer = small.tokenizer
        tokenizer.add_tokens(["[PRM]"], special_tokens=True)  # the folder's lacks it
        steps = [f"Step {k + 1}: {text.strip()}" for k, text in enumerate(chain.texts)]
        answer = " [PRM]\n".join(steps) + " [PRM]"
        text = f"{query.format(chain.problem.question)}\n{answer}"
        ids = tokenizer.encode(text, add_special_tokens=False)
        marker = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
        places = [place for place, token in enumerate(ids) if token == marker]
        return at(small, ids, places, lambda h: squash(small.linear("v_head.summary", h)))

    return literal


ALPACA = (
    "Below is an instruction that describes a task.\nWrite a response that appropriately completes"
    " the request.\n\n### Instruction:\n{}\n\n### Response: Let's think step by step"
)

# --- token classifiers --------------------------------------------------------------------------


def classifier(num_labels: int, *, bos: str | None = None, kind: str = "qwen2"):
    name = {"qwen2": "Qwen2", "mistral": "Mistral"}[kind]
    config: dict[str, Any] = {"architectures": [f"{name}ForTokenClassification"]}
    config["model_type"] = kind
    if num_labels != 2:  # transformers leaves its default out
        config["id2label"] = {str(k): f"LABEL_{k}" for k in range(num_labels)}
        config["label2id"] = {f"LABEL_{k}": k for k in range(num_labels)}

    def build(folder: Path) -> Small:
        tokenizer = qwen_tokenizer(bos=bos)
        heads = random_heads(score__weight=(num_labels, WIDTH), score__bias=(num_labels,))
        return save(folder, tokenizer, heads, config, kind=kind)

    return build


def read_pieces(separator: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        def encode(text: str) -> list[int]:
            return small.tokenizer.encode(text, add_special_tokens=False)

        bos = small.tokenizer.bos_token_id
        ids = ([] if bos is None else [bos]) + encode(chain.problem.question)
        places: list[int] = []
        for step in chain.texts:
            ids = ids + encode(step) + encode(separator)
            places.append(len(ids) - 1)
        return at(small, ids, places, lambda h: right(small.linear("score", h)))

    return literal


def read_strings(separator: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        found: list[Read | None] = []
        for k in range(1, len(chain.steps) + 1):
            text = separator.join((chain.problem.question, *chain.texts[:k])) + separator
            ids = small.tokenizer.encode(text)
            found += at(small, ids, [len(ids) - 1], lambda h: right(small.linear("score", h)))
        return found

    return literal


def read_minos(small: Small, chain: Chain) -> list[Read | None]:
    text = f"Human: {chain.problem.question}\n\nAssistant:"
    text += "".join(f"Step {k + 1}: {step.strip()} и\n" for k, step in enumerate(chain.texts))
    ids = small.tokenizer.encode(text)
    letter = small.tokenizer.encode(" и")[-1]
    places = [place for place, token in enumerate(ids) if token == letter]
    return at(small, ids, places, lambda h: squash(small.linear("score", h)))


# --- ReasonEval ---------------------------------------------------------------------------------


def reasoneval(size: str) -> Callable[[Path], Small]:
    kind, dimension, bias = {
        "7B": ("mistral", "score_dimension", "use_bias"),
        "34B": ("llama", "score_dim", "bias"),
    }[size]
    config = {
        "architectures": [f"ReasonEval_{size}"],
        "model_type": kind,
        dimension: 3,
        bias: False,
    }

    def build(folder: Path) -> Small:
        tokenizer = llama_tokenizer(pad="<end>" if size == "7B" else "<pad>")
        return save(
            folder, tokenizer, random_heads(score_head__weight=(3, WIDTH)), config, kind=kind
        )

    return build


def validity(probabilities: Tensor) -> Tensor:
    return probabilities[1:].sum()


def read_reasoneval(size: str, score: Callable[[Tensor], Tensor] = validity) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        sep = small.tokenizer.pad_token
        prompt = f"Question:\n{chain.problem.question}\nAnswer:\nLet's think step by step.\n"
        whole = small.tokenizer.encode(prompt + sep + "".join(s + sep for s in chain.texts))
        separator = small.tokenizer.encode(sep)[-1]
        places: list[int] = []
        ids: list[int] = []
        for place, token in enumerate(whole):
            if token == separator:
                places.append(place - 1 - len(places))
            else:
                ids.append(token)
        if size == "7B":
            ids, places = [1, *ids], places[2:]
        else:
            places = places[1:]
        assert len(places) == len(chain.steps)
        return at(small, ids, places, lambda h: score(small.linear("score_head", h).softmax(-1)))

    return literal


# --- ActPRM, Universal-PRM ----------------------------------------------------------------------

NUM_HEADS = 3


def actprm(marker: str | None) -> Callable[[Path], Small]:
    config = {
        "architectures": ["Qwen2ForEnsemblePRM"],
        "auto_map": {"AutoModel": "modeling_qwen2.Qwen2ForEnsemblePRM"},
        "model_type": "qwen2",
        "num_ensemble": NUM_HEADS,
        "rr_token": marker,
        "rr_token_id": None,
    }

    def build(folder: Path) -> Small:
        shapes = {"nn1": (WIDTH, 8), "nn2": (8, 8), "nn_out": (8, 1)}
        heads = random_heads(
            **{f"score__model__{n}__weight": (NUM_HEADS, *s) for n, s in shapes.items()},
            **{f"score__model__{n}__bias": (NUM_HEADS, s[1]) for n, s in shapes.items()},
            **{f"score__reg_model__{n}__weight": (NUM_HEADS, *s) for n, s in shapes.items()},
        )
        return save(folder, qwen_tokenizer(marker or " \n\n"), heads, config)

    return build


def read_actprm(marker: str) -> Literal:
    system = (
        "You are a helpful and harmless assistant. You should think step-by-step and put your"
        " final answer within \\boxed{}."
    )

    def literal(small: Small, chain: Chain) -> list[Read | None]:
        def score(h: Tensor) -> Tensor:
            found: list[Tensor] = []
            for e in range(NUM_HEADS):
                x = h
                for layer in ("nn1", "nn2", "nn_out"):
                    name = f"score.model.{layer}"
                    x = x @ small.heads[f"{name}.weight"][e] + small.heads[f"{name}.bias"][e]
                    x = x if layer == "nn_out" else x.relu()
                found.append(squash(x))
            return torch.stack(found).mean()

        text = turn("system", system) + turn("user", chain.problem.question)
        steps = [step.strip() for step in chain.texts]
        text += "<|im_start|>assistant\n" + marker.join(steps) + marker
        ids = small.tokenizer.encode(text)
        token = small.tokenizer.encode(marker)[0]
        places = [place for place, id_ in enumerate(ids) if id_ == token]
        return at(small, ids, places, score)

    return literal


def universal(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForRewardModel"],
        "auto_map": {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"},
        "model_type": "qwen2",
    }
    return save(folder, qwen_tokenizer(), two_layer_heads(1), config)


def read_universal(small: Small, chain: Chain) -> list[Read | None]:
    question = chain.problem.question + (
        "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    )
    text = turn("system", "You are a helpful assistant.") + turn("user", question)
    prompt = small.tokenizer.encode(text + "<|im_start|>assistant\n")
    eos = small.tokenizer.eos_token_id
    found: list[Read | None] = []
    for k in range(1, len(chain.steps) + 1):
        answer = small.tokenizer.encode("\n\n".join(chain.texts[:k]) + "\n\n")
        ids = [*prompt, *answer, eos]
        found += at(small, ids, [len(ids) - 1], lambda h: squash(small.two_layers(h)))
    return found


TRUSTED = {"trust_pickle": True}
CASES = [
    Case("qwen-prm", "Qwen2.5-Math-PRM-7B", qwen_prm, read_extra_0(BOXED), "product"),
    Case("reasonflux-prm", "ReasonFlux-PRM-7B", qwen_prm, read_extra_0("Be brief."), None),
    Case("qwen-rm", "Qwen2.5-Math-RM-72B", qwen_rm, read_qwen_rm, "last", False, "orm"),
    Case(
        "reasonflux-orm",
        "ReasonFlux-PRM-1.5B",
        reasonflux_orm,
        read_reasonflux_orm,
        "last",
        False,
        "orm",
        TRUSTED,
    ),
    Case("skywork", "Skywork-o1-Open-PRM-Qwen-2.5-7B", skywork, read_skywork, None),
    Case("trl", "Qwen2-0.5B-Reward-Math-Sheperd", classifier(2), read_strings("\n"), None),
    Case("trl", "Qwen2.5-Math-7B-Instruct-PRM-0.2", classifier(2), read_strings("\n\n"), None),
    Case(
        "trl",
        "with-bos",
        classifier(2, bos="<|bos|>"),
        read_pieces(" ;"),
        None,
        load={"options": {"mode": "training", "separator": " ;"}},
    ),
    Case("pure", "PURE-PRM-7B", classifier(2), read_pieces("\n"), "soft_min"),
    Case("math-minos", "minos_mistral", classifier(1, kind="mistral"), read_minos, None),
    Case("reasoneval", "ReasonEval-7B", reasoneval("7B"), read_reasoneval("7B"), "min", False),
    Case("reasoneval", "ReasonEval-34B", reasoneval("34B"), read_reasoneval("34B"), "min", False),
    Case("pqm", "pqm-zeta-4", pqm, read_pqm("[INST] {} [/INST]"), "min", load=TRUSTED),
    Case(
        "pqm",
        "PQM-alpaca",
        pqm,
        read_pqm(ALPACA),
        "min",
        load={**TRUSTED, "options": {"query": "alpaca"}},
    ),
    Case("actprm", "ActPRM", actprm("<extra_0>"), read_actprm("<extra_0>"), None),
    Case("actprm", "ActPRM-X", actprm(None), read_actprm(" \n\n"), None),
    Case("universal-prm", "Universal-PRM-7B", universal, read_universal, None),
]
BY_FOLDER = {case.folder: case for case in CASES}
