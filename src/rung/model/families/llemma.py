r"""Llemma PRMs (ScalableMath/llemma-7b-prm-*): the mean of all logits at the end of a step.

The text is ``# Question\n\n{question}\n\n# Solution\n\n{step1}\n\n{step2}\n\n``, tokenized
with BOS; a score is the sigmoid of the mean over the vocabulary of the logits at the first token of
the two line ends behind a step. Two line ends within a step are taken out, and steps are stripped.

Source: ssmisya/PRMBench ``mr_eval/models/llemma7b_prm.py``, after the model card. The folder may
come without a tokenizer: EleutherAI/llemma_7b has it. How the authors combine the scores is not
known.
"""

from __future__ import annotations

from pathlib import Path

from rung.core.types import Step
from rung.model.families.label_head import MeanHead
from rung.model.families.marked import MarkedText
from rung.model.families.texts import shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader

STEP_END = "\n\n"


def open_llemma(folder: Path, how: Opening) -> Reader:
    """Open the model."""
    lm = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    render = MarkedText(
        lm.tokenizer,
        STEP_END,
        max_tokens=lm.config.max_position_embeddings,
        before_question="# Question\n\n",
        before_steps="\n\n# Solution\n\n",
        step_text=step_text,
    )
    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=lm.trunk,
        head=MeanHead(lm),
        render=render,
        aggregation=None,
        tokenizer=lm.tokenizer,
        weight_files=lm.weights.files,
    )


def step_text(step: Step) -> str:
    """A step that can't be taken for two."""
    return shown(step).replace(STEP_END, "").strip()


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture != "LlamaForCausalLM":
        return None
    return files.mentions("llemma-7b-prm")


FAMILY = Family("llemma", "ScalableMath's Llemma 7B", _recognize, open_llemma)
