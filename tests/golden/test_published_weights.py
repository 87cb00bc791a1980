"""The numbers that authors print, from the real weights: RUNG_WEIGHTS names a folder of models.

Each model lies in a folder of its published name. Its own card holds example and expected numbers,
so nothing is copied here; ReasonEval's stand in its authors' codes/examples.py, to be put beside
the weights. The cards ran in bf16, so the numbers agree up to its rounding.
"""

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from rung import Chain, Problem
from rung.model.families.qwen_prm import SYSTEM
from rung.score import load_scorer

pytestmark = pytest.mark.weights
BF16 = 0.03


def weights(name: str, *files: str) -> Path:
    root = os.environ.get("RUNG_WEIGHTS")
    if not root:
        pytest.skip("needs real weights: set RUNG_WEIGHTS to a folder of published models")
    folder = Path(root) / name
    for path in (folder, *(folder / file for file in files)):
        if not path.exists():
            pytest.skip(f"needs {path}")
    return folder


def literal_behind(text: str, name: str, closing: str) -> Any:
    """The value of the first `name = ...` in a Python text, which ends at `closing`."""
    found = re.search(rf"^\s*{name} = (.*?{closing})", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return ast.literal_eval(found[1])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Qwen2.5-Math-PRM-7B", {}),
        ("Qwen2.5-Math-PRM-72B", {}),
        ("Qwen2.5-Math-7B-PRM800K", {}),
        ("ActPRM", {"system": SYSTEM}),
        ("ActPRM-X", {"system": SYSTEM}),
    ],
)
def test_the_step_scores_on_the_card(name: str, options: dict[str, str]):
    folder = weights(name, "README.md")
    card = (folder / "README.md").read_text()
    printed = re.search(r"print\(step_reward\)\s*#\s*(\[\[.*?\]\])", card)
    if printed is None:
        pytest.skip(f"the card of {name} prints no numbers")
    data = literal_behind(card, "data", r"\n\}")
    chain = Chain.of(Problem("card", data["query"]), data["response"])
    (scores,) = load_scorer(folder, options=options, precision="bf16").score([chain])
    assert scores.scores == pytest.approx(ast.literal_eval(printed[1])[0], abs=BF16)


def test_the_reward_on_the_card_of_qwen_s_outcome_model():
    folder = weights("Qwen2.5-Math-RM-72B", "README.md")
    card = (folder / "README.md").read_text()
    _, user, assistant = literal_behind(card, "chat", r"\n\]")
    printed = re.search(r"^\] # (-?[\d.]+)", card, re.MULTILINE)
    assert printed is not None
    chain = Chain.of(Problem("card", user["content"]), [assistant["content"]])
    (scores,) = load_scorer(folder, precision="bf16").score([chain])
    (score,) = scores.known
    assert torch.logit(torch.tensor(score)) == pytest.approx(float(printed[1]), abs=0.2)


@pytest.mark.parametrize("size", ["7B", "34B"])
def test_the_validity_in_reasoneval_s_example(size: str):
    folder = weights(f"ReasonEval-{size}", "examples.py")
    example = (folder / "examples.py").read_text()
    question = literal_behind(example, "question", r'"$')
    steps = literal_behind(example, "reasoning_steps", r'"\]')
    numbers = re.search(
        rf"validity_scores}}.*?{size} for the example: \[(.*?)\]", example, re.DOTALL
    )
    assert numbers is not None
    (scores,) = load_scorer(folder).score([Chain.of(Problem("example", question), steps)])
    expected = [float(number) for number in re.findall(r"[\d.]+", numbers[1])]
    assert scores.scores == pytest.approx(expected, abs=BF16)
