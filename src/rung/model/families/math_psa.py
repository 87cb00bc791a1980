r"""OpenR's Math-psa (openreasoner/Math-psa): "+" or "-" at a token of five line ends.

The text is ``question step1 \n\n\n\n\nstep2 \n\n\n\n\n``; the tag, a space and five line
ends, is one token of Qwen2.5's vocabulary (76325). The labels are the tokens of " +" and " -"
(488 and 481), read at the tag. The authors' trainer shifts labels by one and so trains the position
before; they read at the tag, and so do we.

Source: openreasoner/openr ``prm/infer_fns.py``. Where the model comes as a LoRA adapter, merge it
into its base first. How the authors combine the scores is not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.model.families.label_head import judged_by_words, spaced_signs
from rung.model.families.marked import MarkedText
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

TAG = " \n\n\n\n\n"
labels = spaced_signs


def open_math_psa(folder: Path, how: Opening) -> Reader:
    """Open the model."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    render = rendering(lm.tokenizer, lm.config.max_position_embeddings)
    return judged_by_words(FAMILY.name, lm, labels(lm.tokenizer), render, None)


def rendering(tokenizer: Any, max_tokens: int) -> MarkedText:
    """How chains are shown."""
    return MarkedText(tokenizer, TAG, max_tokens=max_tokens)


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture != "Qwen2ForCausalLM":
        return None
    return files.mentions("math-psa")


FAMILY = Family("math-psa", "OpenR's Math-psa on Qwen2.5-Math 7B", _recognize, open_math_psa)
