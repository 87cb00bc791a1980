r"""ActPRM and ActPRM-X: an ensemble of heads; the score is their mean (arXiv:2504.10559).

Each head is Linear(D, 128), ReLU, Linear(128, 128), ReLU, Linear(128, 1), a sigmoid behind it. The
chat template with a system message and the generation prompt is followed by the stripped steps,
each with a marker behind it, at which the score is read: ``rr_token`` of the config, by default
<extra_0>, and " \n\n" where it is null. Source: github.com/sail-sg/ActivePRM,
src/active_prm/models/nets.py and qwen2_ensemble_prm/,
examples/py_scripts/test_actprm_on_processbench.py. How scores are combined is not told.

E is the number of heads, K the positions that are read, D the width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rung.core.types import Chain
from rung.model.families.texts import chat, encode, plain_text, read_markers, shown
from rung.model.foreign import Weights, open_foreign
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.rendering import Rendered

SYSTEM = (
    "You are a helpful and harmless assistant. You should think step-by-step and put your final"
    r" answer within \boxed{}."
)
DEFAULT_MARKER, MARKER_FOR_NULL = "<extra_0>", " \n\n"
HEADS = "score.model"
LAYERS = ("nn1", "nn2", "nn_out")
ARCHITECTURE = "Qwen2ForEnsemblePRM"


@dataclass(frozen=True, slots=True)
class ActprmOptions:
    """How ActPRM is shown a chain."""

    system: str = SYSTEM
    """The system message: by default that of the authors' ProcessBench runs. Their card's example
    has Qwen's (`rung.model.families.qwen_prm.SYSTEM`)."""


class EnsembleHead(nn.Module):
    """The mean of what E heads say; their weights stand in one tensor a layer, (E, in, out)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for layer in LAYERS:
            for part in ("weight", "bias"):
                tensor = weights[f"{HEADS}.{layer}.{part}"].float()
                self.register_buffer(f"{layer}_{part}", tensor)

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        num_heads = self.get_buffer("nn1_weight").shape[0]
        x_EKD = states_KD.expand(num_heads, *states_KD.shape)
        for layer in LAYERS:
            weight, bias = (self.get_buffer(f"{layer}_{part}") for part in ("weight", "bias"))
            x_EKD = torch.baddbmm(bias[:, None], x_EKD, weight)
            if layer != LAYERS[-1]:
                x_EKD = torch.relu(x_EKD)
        return torch.sigmoid(x_EKD.squeeze(-1)).mean(0)


def open_actprm(folder: Path, how: Opening) -> Reader:
    """Open a checkpoint of ActPRM."""
    found = open_foreign(folder, dtype=how.dtype, trust_pickle=how.trust_pickle)
    marker = getattr(found.config, "rr_token", DEFAULT_MARKER)
    marker = MARKER_FOR_NULL if marker is None else marker
    options: ActprmOptions = how.options

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        max_tokens = found.config.max_position_embeddings
        return render_answer(chains, found.tokenizer, options.system, marker, max_tokens)

    return Reader(
        family=FAMILY.name,
        kind="prm",
        trunk=found.trunk,
        head=EnsembleHead(found.weights),
        render=render,
        aggregation=None,
        tokenizer=found.tokenizer,
        weight_files=found.weights.files,
        settings={"marker": marker},
    )


def render_answer(
    chains: Sequence[Chain], tokenizer: Any, system: str, marker: str, max_tokens: int
) -> list[Rendered]:
    """The rendering."""
    plain = plain_text(tokenizer, marker)
    marker_token = encode([marker], tokenizer)[0][0]

    def text(chain: Chain) -> str:
        turns = [("system", system), ("user", plain(chain.problem.question))]
        answer = "".join(plain(shown(step).strip()) + marker for step in chain.steps)
        return chat(tokenizer, turns, generation_prompt=True) + answer

    ids_BT = encode([text(chain) for chain in chains], tokenizer)
    return [
        read_markers(ids, marker_token, len(chain.steps), max_tokens)
        for chain, ids in zip(chains, ids_BT, strict=True)
    ]


def _recognize(files: CheckpointFiles) -> str | None:
    if files.architecture == ARCHITECTURE:
        return f"config.json names {ARCHITECTURE}"
    name = f"{HEADS}.nn1.weight"
    return f"the weights hold {name}" if name in files.weight_names else None


FAMILY = Family("actprm", "ActPRM, ActPRM-X", _recognize, open_actprm, ActprmOptions)
