"""Scores from a causal LM's own head: the rows of label tokens, one among all, or all rows' mean.

K is the number of positions that are read, D the trunk's width, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rung.core.errors import InputError
from rung.core.types import Chain
from rung.model.foreign import Foreign
from rung.model.reader import Reader
from rung.model.rendering import Rendered


class LabelHead(nn.Module):
    """P(good) against bad: softmax over the LM head's logits of the two label tokens alone.

    Args:
        lm: The opened causal LM.
        good: The id of the token that says right.
        bad: The id of the token that says wrong.

    Raises:
        InputError: The LM head has no such rows.
    """

    def __init__(self, lm: Foreign, good: int, bad: int) -> None:
        super().__init__()
        weight_VD = lm_head(lm)
        if max(good, bad) >= len(weight_VD):
            reason = f"the LM head has {len(weight_VD)} rows, the label tokens are {good} and {bad}"
            raise InputError(reason, file=str(lm.weights.folder))
        self.labels = nn.Parameter(weight_VD[[good, bad]].float(), requires_grad=False)

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        return torch.softmax(states_KD @ self.labels.T, -1)[:, 0]

    def logits(self, states_KD: Tensor) -> Tensor:
        """The one logit (K, 1) that vLLM makes of such a model: good's less bad's."""
        good_K, bad_K = (states_KD @ self.labels.T).T
        return (good_K - bad_K)[:, None]


class VocabularyHead(nn.Module):
    """P(good) among all tokens: softmax over the whole LM head.

    Args:
        lm: The opened causal LM.
        good: The id of the token that says right.
        scaling: What the model divides its logits by.

    Raises:
        InputError: The weights hold no LM head.
    """

    def __init__(self, lm: Foreign, good: int, scaling: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(lm_head(lm).float() / scaling, requires_grad=False)
        self._good = good

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        logits_KV = states_KD @ self.logits.T
        return (logits_KV[:, self._good] - logits_KV.logsumexp(-1)).exp()


class MeanHead(nn.Module):
    """Sigmoid of the mean of all logits, which is one row: the mean of the head's rows."""

    def __init__(self, lm: Foreign) -> None:
        super().__init__()
        self.mean = nn.Parameter(lm_head(lm).float().mean(0), requires_grad=False)

    def forward(self, states_KD: Tensor) -> Tensor:
        """Scores (K,) of states (K, D)."""
        return torch.sigmoid(states_KD @ self.mean)


def lm_head(lm: Foreign) -> Tensor:
    """The LM head (V, D): weights of its own, or the embedding where the config ties them.

    Raises:
        InputError: The weights hold no LM head.
    """
    own = lm.weights.get("lm_head.weight")
    if own is not None:
        return own
    if not lm.config.tie_word_embeddings:
        reason = "the weights lack lm_head.weight, which says what the label tokens mean"
        raise InputError(reason, file=str(lm.weights.folder))
    return lm.trunk.get_input_embeddings().weight.detach()


def judged_by_words(
    family: str,
    lm: Foreign,
    words: tuple[int, int],
    render: Callable[[Sequence[Chain]], list[Rendered]],
    aggregation: str | None = "min",
) -> Reader:
    """The reader of a causal LM that says right or wrong with one of two tokens behind each step.

    Args:
        family: Its name.
        lm: The opened model.
        words: The tokens of right and of wrong.
        render: How chains are shown.
        aggregation: As in `Reader`.

    Raises:
        InputError: The LM head has no such rows.
    """
    return Reader(
        family=family,
        kind="prm",
        trunk=lm.trunk,
        head=LabelHead(lm, *words),
        render=render,
        aggregation=aggregation,
        tokenizer=lm.tokenizer,
        weight_files=lm.weights.files,
    )


def spaced_signs(tokenizer: Any) -> tuple[int, int]:
    """The tokens of " +" and " -", right and wrong."""
    good, bad = (tokenizer.encode(sign, add_special_tokens=False)[-1] for sign in (" +", " -"))
    return good, bad
