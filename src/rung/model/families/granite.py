"""IBM's PRMs on Granite 3.3 8B (ibm-granite/granite-3.3-8b-lora-math-prm, -math-prm-v2): Y, a turn.

The user's first turn is the question and the first step, each further turn a step, all with
"Is this response correct so far (Y/N)?" behind; the model answers Y or N. A score is the
probability of Y among all tokens at the token before the answer, not Y against N. Granite divides
its logits by the config's ``logits_scaling``. The chat template writes the day's date into the
system message, so scores are those of the day.

Sources: the card of granite-3.3-8b-math-prm-v2; generative-computing/mellea
``stdlib/rewards/prm.py``, which combines step scores by their mean. Where the model comes as a
LoRA adapter, merge it into its base first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.core.types import Chain
from rung.model.families.label_head import VocabularyHead
from rung.model.families.texts import shown
from rung.model.families.turns import JudgedTurns
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

GOOD = "Y"
ASK = "Is this response correct so far (Y/N)?"
NAMES = ("granite-3.3-8b-lora-math-prm", "granite-3.3-8b-math-prm")


def open_granite(folder: Path, how: Opening) -> Reader:
    """Open the model."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    good = lm.tokenizer.encode(GOOD, add_special_tokens=False)[0]
    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=lm.trunk,
        head=VocabularyHead(lm, good, lm.config.logits_scaling),
        render=rendering(lm.tokenizer, lm.config.max_position_embeddings),
        aggregation="mean",
        tokenizer=lm.tokenizer,
        weight_files=lm.weights.files,
    )


def rendering(tokenizer: Any, max_tokens: int) -> JudgedTurns:
    """How chains are shown."""
    return JudgedTurns(tokenizer, GOOD, turns, max_tokens=max_tokens)


def turns(chain: Chain) -> list[str]:
    """The user's turns."""
    steps = [f"{shown(step)} {ASK}" for step in chain.steps]
    return [f"{chain.problem.question} {steps[0]}", *steps[1:]]


def _recognize(files: CheckpointFiles) -> str | None:
    return files.mentions(*NAMES) if files.architecture == "GraniteForCausalLM" else None


FAMILY = Family("granite", "IBM's PRMs on Granite 3.3 8B", _recognize, open_granite)
