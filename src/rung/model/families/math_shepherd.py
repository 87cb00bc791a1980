r"""Math-Shepherd (peiyi9979/math-shepherd-mistral-7b-prm): "+" or "-" at the tag behind a step.

The text is ``question step1 ки\nstep2 ки``, tokenized with BOS; a score is the softmax over the
logits of "+" and "-" at the tag itself. In training every step begins with "Step i: "; steps are
shown as the chain has them, so give them so.

Sources: the model card; huggingface/search-and-learn ``reward_models.py``; openreasoner/openr
``prm/infer_fns.py``. The ids of "+", "-" and the tag are 648, 387 and 12902.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.model.families.label_head import judged_by_words
from rung.model.families.marked import MarkedText
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

TAG = " ки"
ARCHITECTURES = ("MistralForCausalLM", "LlamaForCausalLM")


def open_math_shepherd(folder: Path, how: Opening) -> Reader:
    """Open the model, which is published as a pickle."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    render = rendering(lm.tokenizer, lm.config.max_position_embeddings)
    return judged_by_words(FAMILY.name, lm, labels(lm.tokenizer), render)


def labels(tokenizer: Any) -> tuple[int, int]:
    """The tokens of right and wrong."""
    good, bad = tokenizer.encode("+ -", add_special_tokens=False)[-2:]
    return good, bad


def rendering(tokenizer: Any, max_tokens: int) -> MarkedText:
    """How chains are shown."""
    return MarkedText(tokenizer, TAG, max_tokens=max_tokens, step_break="\n")


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture not in ARCHITECTURES:
        return None
    return files.mentions("math-shepherd-mistral-7b-prm")


FAMILY = Family("math-shepherd", "Math-Shepherd's Mistral 7B", _recognize, open_math_shepherd)
