"""Rows of logits for sequences of token ids, as an inference server pools them.

B is the number of sequences, T of tokens, L of labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rung.core.errors import RungError
from rung.model.engine import Request
from rung.model.families.heads import Head
from rung.model.families.label_head import LabelHead
from rung.score.reward import RewardScorer

Rows = list[list[float]]


class Pooling:
    """What `/pooling` needs of a reward model that runs here.

    Raises:
        RungError: The model has no logits of its own, as with a head over the whole vocabulary.
    """

    def __init__(self, scorer: RewardScorer) -> None:
        head = scorer.reader.head
        if not isinstance(head, Head | LabelHead):
            raise RungError(f"{scorer.name} has no logits: models of its kind give scores alone")
        self._scorer, self._logits = scorer, head.logits
        config = scorer.reader.trunk.config.get_text_config()
        self.max_tokens: int = config.max_position_embeddings
        self.num_ids: int = scorer.reader.trunk.get_input_embeddings().num_embeddings

    @property
    def tokenizer(self) -> object:
        """The model's."""
        return self._scorer.reader.tokenizer

    def check(self, ids: Sequence[int]) -> None:
        """See that the model can read a sequence.

        Raises:
            RungError: It is empty or too long, or an id is none of the model's.
        """
        if not 0 < len(ids) <= self.max_tokens:
            raise RungError(
                f"the input has {len(ids)} tokens, expected 1 to {self.max_tokens}, the model's"
                " context"
            )
        wrong = next((one for one in ids if not 0 <= one < self.num_ids), None)
        if wrong is not None:
            raise RungError(f"the input has the token {wrong}, expected 0 to {self.num_ids - 1}")

    def rows(self, ids_BT: Sequence[Sequence[int]]) -> list[Rows]:
        """For each of B sequences a row of L logits a token, from the head in fp32."""
        requests = [Request(tuple(ids), tuple(range(len(ids)))) for ids in ids_BT]
        features_KD = self._scorer.engine.features(requests)
        with torch.inference_mode():
            logits_KL = self._logits(features_KD.float()).tolist()
        rows = iter(logits_KL)
        return [[next(rows) for _ in ids] for ids in ids_BT]
