"""The numbers that authors print for causal LMs that judge, from the real weights.

RUNG_WEIGHTS names a folder of models, each in a folder of its published name.
"""

import os
import re
from pathlib import Path

import pytest

from rung import Chain, Problem
from rung.score import load_scorer

pytestmark = pytest.mark.weights
BF16 = 0.03


def weights(name: str) -> Path:
    root = os.environ.get("RUNG_WEIGHTS")
    if not root:
        pytest.skip("needs real weights: set RUNG_WEIGHTS to a folder of published models")
    if not (Path(root) / name).exists():
        pytest.skip(f"needs {Path(root) / name}")
    return Path(root) / name


def test_the_step_scores_on_math_shepherd_s_card():
    """The card's text is read from the folder; its numbers are of the authors' run."""
    folder = weights("math-shepherd-mistral-7b-prm")
    card = (folder / "README.md").read_text()
    said = dict(re.findall(r'^(question|output1|output2) = """(.*?)"""', card, re.M | re.S))
    assert said.keys() == {"question", "output1", "output2"}, "the card has another form"
    chains = [
        Chain.of(
            Problem("card", said["question"]),
            [text.strip() for text in said[name].split("ки") if text.strip()],
        )
        for name in ("output1", "output2")
    ]
    right, wrong = load_scorer(folder, trust_pickle=True, precision="bf16").score(chains)
    assert right.scores == pytest.approx((0.9955, 0.9958, 0.9983, 0.9957), abs=BF16)
    assert wrong.scores[-1] == pytest.approx(0.0240, abs=BF16)


def test_the_step_scores_in_fover_s_readme():
    folder = weights("Qwen-2.5-7B-FoVer-PRM")
    one = Chain.of(Problem("readme", "Calculate (1+1)*(1+2)"), ["1+1=2", "1+2=3", "2*3=8"])
    (scores,) = load_scorer(folder).score([one])
    expected = (0.9099470376968384, 0.9997847676277161, 0.012338237836956978)
    assert scores.scores == pytest.approx(expected, abs=BF16)


def test_the_step_scores_on_granite_s_card():
    folder = weights("granite-3.3-8b-math-prm-v2")
    card = (folder / "README.md").read_text()
    query, *_ = re.findall(r'^   "query": "(.*)",$', card, re.M)
    steps = re.findall(r'^        "(.*)",?$', card, re.M)[:8]
    [scores] = load_scorer(folder, precision="bf16").score(
        [Chain.of(Problem("card", query), steps)]
    )
    expected = (1.0, 1.0, 1.0, 0.99609375, 0.9921875, 0.0849609375, 0.408203125, 0.8515625)
    assert scores.scores == pytest.approx(expected, abs=BF16)
