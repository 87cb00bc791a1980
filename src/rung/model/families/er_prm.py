"""ER-PRM (llama3.1-math-prm): Math-Shepherd's tag on Llama 3.1, with other label tokens.

The text is ``question step1 киstep2 ки`` without a break between a tag and the next step, tokenized
with BOS. The labels are the tokens of " +" and " -", read at the tag.

Source: RyanLiu112/compute-optimal-tts ``rm_call.py`` and ``infer_fns.py``, as the authors publish
no inference code. How the authors combine the scores is not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.model.families.label_head import judged_by_words, spaced_signs
from rung.model.families.marked import MarkedText
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

TAG = " ки"
labels = spaced_signs


def open_er_prm(folder: Path, how: Opening) -> Reader:
    """Open the model."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    render = rendering(lm.tokenizer, lm.config.max_position_embeddings)
    return judged_by_words(FAMILY.name, lm, labels(lm.tokenizer), render, None)


def rendering(tokenizer: Any, max_tokens: int) -> MarkedText:
    """How chains are shown."""
    return MarkedText(tokenizer, TAG, max_tokens=max_tokens)


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture != "LlamaForCausalLM":
        return None
    return files.mentions("llama3.1-math-prm")


FAMILY = Family("er-prm", "ER-PRM on Llama 3.1 8B", _recognize, open_er_prm)
