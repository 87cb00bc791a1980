"""The floor under every PRM: a bag-of-words logistic regression that sees one step's text.

It knows neither the problem, nor the steps before, nor where the step stands: what it finds is
what wrong steps look like. Position and chain length are left out on purpose, since PRM800K's
chains stop at their first error (with them it reaches 0.91 there, and means nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rung.core import Chain, ChainRecord, StepScores

TOKEN = r"[A-Za-z]+|\d|[^\sA-Za-z\d]"
"""Words, single digits, single signs."""
REGULARIZATION = 0.03


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """A `Scorer`: which words a step has, and how long it is."""

    words: CountVectorizer
    regression: LogisticRegression
    name: str = "bag-of-words"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """P(right) of every step by its text alone."""
        texts = [text for chain in chains for text in chain.texts]
        scores = iter(self.regression.predict_proba(_features(self.words, texts))[:, 1].tolist())
        return [StepScores(tuple(next(scores) for _ in c.steps), self.name) for c in chains]


def train_floor(
    records: Sequence[ChainRecord], regularization: float = REGULARIZATION
) -> BagOfWords:
    """Fit on all judged steps of labeled chains."""
    judged = [
        (text, label >= 0.5)
        for record in records
        for text, label in zip(record.chain.texts, record.labels[0].labels, strict=True)
        if label is not None
    ]
    texts, labels = [text for text, _ in judged], [label for _, label in judged]
    words = CountVectorizer(binary=True, min_df=2, token_pattern=TOKEN).fit(texts)
    regression = LogisticRegression(C=regularization, max_iter=1000)
    return BagOfWords(words, regression.fit(_features(words, texts), labels))


def _features(words: CountVectorizer, texts: Sequence[str]) -> Any:
    lengths = np.array([[np.log1p(len(t)), np.log1p(len(t.split()))] for t in texts])
    return hstack([words.transform(texts), csr_matrix(lengths)]).tocsr()
