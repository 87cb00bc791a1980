"""RLHFlow's reward models on Llama 3.1 8B: the model answers every turn with "+" or "-".

PRMs (RLHFlow/Llama3.1-8B-PRM-Mistral-Data, -Deepseek-Data) see the question and the first step,
with a space between, as the user's first turn, each further step as another, all stripped. ORMs
(RLHFlow/Llama3.1-8B-ORM-*) see the question and the whole solution as one. A score is the softmax
over the logits of "+" and "-" (ids 10 and 12) at the token before the answer. The two PRMs differ
only in how their authors split texts into steps; the two ORMs in what stood between steps: one
line end for the Mistral data, two for the Deepseek data.

Sources: RLHFlow/RLHF-Reward-Modeling ``math-rm/prm_evaluate.py`` and ``orm_evaluate.py``, which
encode the conversation anew for every step; RyanLiu112/compute-optimal-tts ``infer_fns.py``, which
reads all of it at once. The authors combine step scores by their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.label_head import LabelHead
from rung.model.families.texts import shown
from rung.model.families.turns import JudgedTurns
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.reading import Kind
from rung.model.rendering import Rendered


def open_prm(folder: Path, how: Opening) -> Reader:
    """Open a PRM."""
    return _open(folder, how, PRM.name, "prm", step_turns)


def open_orm(folder: Path, how: Opening, *, family: str, step_separator: str) -> Reader:
    """Open an ORM."""
    return _open(folder, how, family, "orm", partial(whole_turn, step_separator=step_separator))


def step_turns(chain: Chain) -> list[str]:
    """A PRM's turns."""
    steps = [shown(step).strip() for step in chain.steps]
    return [f"{chain.problem.question} {steps[0]}", *steps[1:]]


def whole_turn(chain: Chain, *, step_separator: str) -> list[str]:
    """An ORM's one turn."""
    return [f"{chain.problem.question} {step_separator.join(map(shown, chain.steps))}"]


def labels(tokenizer: Any) -> tuple[int, int]:
    """The tokens of right and wrong."""
    good, bad = (tokenizer.encode(label, add_special_tokens=False)[-1] for label in "+-")
    return good, bad


def rendering(
    tokenizer: Any, max_tokens: int, turns: Callable[[Chain], list[str]] = step_turns
) -> JudgedTurns:
    """How chains are shown; a PRM's turns by default."""
    return JudgedTurns(tokenizer, "+", turns, max_tokens=max_tokens)


def _open(
    folder: Path, how: Opening, family: str, kind: Kind, turns: Callable[[Chain], list[str]]
) -> Reader:
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    is_prm = kind == "prm"
    render = rendering(lm.tokenizer, lm.config.max_position_embeddings, turns)
    return Reader(
        family=family,
        kind=kind,
        trunk=lm.trunk,
        head=LabelHead(lm, *labels(lm.tokenizer)),
        render=render if is_prm else lambda chains: list(map(_at_last, chains, render(chains))),
        aggregation="mean" if is_prm else "last",
        reads_unfinished_steps=is_prm,
        tokenizer=lm.tokenizer,
        weight_files=lm.weights.files,
    )


def _at_last(chain: Chain, rendered: Rendered) -> Rendered:
    """The one score as that of the last step."""
    ends = (*(None for _ in chain.steps[1:]), *rendered.step_ends)
    return rendered._replace(step_ends=ends)


def _recognize(files: CheckpointFiles, *, names: Sequence[str]) -> str | None:
    if files.architecture != "LlamaForCausalLM":
        return None
    return files.mentions(*names)


def _orm(data: str, step_separator: str) -> Family:
    family = f"rlhflow-orm-{data.lower()}"
    return Family(
        family,
        f"RLHFlow's ORM on {data} data",
        partial(_recognize, names=[f"Llama3.1-8B-ORM-{data}-Data"]),
        partial(open_orm, family=family, step_separator=step_separator),
    )


PRM = Family(
    "rlhflow",
    "RLHFlow's PRMs on Mistral and Deepseek data",
    partial(_recognize, names=[f"Llama3.1-8B-PRM-{data}-Data" for data in ("Mistral", "Deepseek")]),
    open_prm,
)
ORM_MISTRAL = _orm("Mistral", "\n")
ORM_DEEPSEEK = _orm("Deepseek", "\n\n")
