r"""Universal-PRM-7B: each prefix of the steps is asked for its score by an EOS of its own.

The chat template with the system message, the question with a note on the reference answer, and
the generation prompt; then ``"\n\n".join(steps[:k]) + "\n\n"``, tokenized for itself, and EOS,
where the sigmoid of the head's value is the score of step k. The EOS is no part of the next
prefix: it is a branch of the token tree. Source: the model card, which was not run; the head is
taken for ``score``, one layer or Linear, ReLU, Linear, as the weights have it. How scores are
combined is not told.

The card can show the reference answer; we never do: a score that has seen the answer must not
choose among chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rung.core.errors import RungError
from rung.core.types import Chain
from rung.model.families.heads import Head, linear, sigmoid, two_layers
from rung.model.families.texts import Encoder, chat, plain_text, read_growing, shown
from rung.model.foreign import open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

SYSTEM = "You are a helpful assistant."
NO_REFERENCE = "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
STEP_END = "\n\n"


def open_universal(folder: Path, how: Opening) -> Reader:
    """Open Universal-PRM."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    layers = linear if "score.weight" in found.weights.tensors else two_layers

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_probed(chains, found.tokenizer, found.config.max_position_embeddings)

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=Head(layers(found.weights, "score", num_outputs=1), sigmoid),
        render=render,
        aggregation=None,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
    )


def render_probed(chains: Sequence[Chain], tokenizer: Any, max_tokens: int) -> list[Rendered]:
    """The rendering.

    Raises:
        RungError: The tokenizer has no EOS or no chat template.
    """
    if tokenizer.eos_token_id is None:
        raise RungError("the tokenizer has no EOS, at which Universal-PRM is read")
    plain, encoder = plain_text(tokenizer), Encoder(tokenizer)
    found: list[Rendered] = []
    for chain in chains:
        question = plain(chain.problem.question) + NO_REFERENCE
        turns = [("system", SYSTEM), ("user", question)]
        prompt = encoder(chat(tokenizer, turns, generation_prompt=True))
        answer, prefixes = "", list[list[int]]()
        for step in chain.steps:
            answer += plain(shown(step)) + STEP_END
            prefixes.append([*prompt, *encoder(answer)])
        found.append(read_growing(prefixes, max_tokens, probe=(tokenizer.eos_token_id,)))
    return found


def _recognize(files: CheckpointFiles) -> str | None:
    return files.mentions("universal-prm")


FAMILY = Family("universal-prm", "Universal-PRM-7B", _recognize, open_universal)
