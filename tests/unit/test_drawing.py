"""The next tokens: a draw says which, as their probabilities lie one behind the other."""

import pytest
import torch

from rung.core import Sampling
from rung.generate.drawing import pick

ROWS = 64


@pytest.mark.parametrize("vocabulary", [5, 80, 512, 513, 1000, 49_152])
@pytest.mark.parametrize("top_k", [None, 3])
def test_a_draw_takes_the_token_at_its_share_of_the_probabilities(vocabulary, top_k):
    torch.manual_seed(vocabulary)
    logits = 4 * torch.randn(ROWS, vocabulary)
    draws = torch.rand(ROWS, dtype=torch.float64).tolist()

    tokens = pick(logits, draws, Sampling(temperature=0.7), top_k)

    for row, draw, token in zip(logits, draws, tokens.tolist(), strict=True):
        if top_k is not None:
            row = row.masked_fill(row < row.topk(min(top_k, vocabulary)).values[-1], -torch.inf)
        upto = (row / 0.7).softmax(-1).double().cumsum(0) / (row / 0.7).softmax(-1).double().sum()
        assert upto[token] > draw - 1e-6
        assert token == 0 or upto[token - 1] <= draw + 1e-6


@pytest.mark.parametrize("vocabulary", [80, 1000, 49_152])
@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_no_draw_takes_a_token_of_no_probability(vocabulary, draw):
    torch.manual_seed(vocabulary)
    likely = torch.rand(ROWS, vocabulary) < 0.02
    likely[:, vocabulary // 2] = True
    logits = torch.randn(ROWS, vocabulary).masked_fill(~likely, -torch.inf)

    tokens = pick(logits, [draw] * ROWS, Sampling(), None)

    at_the_end = [row.nonzero()[0 if draw == 0 else -1].item() for row in likely]
    assert tokens.tolist() == at_the_end


def test_no_temperature_takes_the_likeliest():
    logits = torch.randn(ROWS, 1000)

    assert pick(logits, [0.9] * ROWS, Sampling(temperature=0), None).equal(logits.argmax(-1))
