"""FoVer's PRMs (ryokamoi/Llama-3.1-8B-FoVer-PRM, Qwen-2.5-7B-FoVer-PRM): "correct" or not, a turn.

The user's first turn holds the problem, the task and the first step, each further turn a step; the
model answers "correct" or "incorrect". A score is the softmax over the logits of the first tokens
of both words at the token before the answer. The misspelled heading is what the models learned.

Source: psunlpgroup/FoVer ``src/prm/preprocessing.py`` and ``postprocessing.py``. The authors
combine step scores by their minimum.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.label_head import judged_by_words
from rung.model.families.texts import shown
from rung.model.families.turns import JudgedTurns
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

GOOD, BAD = "correct", "incorrect"
ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")
TASK = (
    "Your task is to evaluate the accuracy of each step in the provided solution to the above"
    ' question. For each step, respond with "correct" if the reasoning is logically valid and'
    " mathematically sound, or if the step is a general statement or transition that does not"
    ' contain reasoning. Respond with "incorrect" if the step includes any errors or flawed logic.'
)


def open_fover(folder: Path, how: Opening) -> Reader:
    """Open the model."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    render = rendering(lm.tokenizer, lm.config.max_position_embeddings)
    return judged_by_words(FAMILY.name, lm, labels(lm.tokenizer), render)


def labels(tokenizer: Any) -> tuple[int, int]:
    """The tokens of right and wrong."""
    good, bad = (tokenizer.encode(word, add_special_tokens=False)[0] for word in (GOOD, BAD))
    return good, bad


def rendering(tokenizer: Any, max_tokens: int) -> JudgedTurns:
    """How chains are shown."""
    return JudgedTurns(tokenizer, GOOD, turns, max_tokens=max_tokens)


def turns(chain: Chain) -> list[str]:
    """The user's turns."""
    first, *further = map(shown, chain.steps)
    problem = f"** Problem **\n{chain.problem.question}\n\n"
    return [f"{problem}** Task **\n{TASK}\n\n** Sotluion **\n{first}", *further]


def _recognize(files: CheckpointFiles) -> str | None:
    return files.mentions("FoVer-PRM") if files.architecture in ARCHITECTURES else None


FAMILY = Family("fover", "FoVer's PRMs on Llama 3.1 8B and Qwen2.5 7B", _recognize, open_fover)
