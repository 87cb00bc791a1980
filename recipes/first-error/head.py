"""The reward model's head, fitted: a logistic regression on the frozen trunk's states.

It is what `rung train --trainable head` would end at, in one pass over the chains: the states at
the step ends don't change, so they are kept, and the fit itself takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from pages import write_results
from sklearn.linear_model import LogisticRegression

from rung.core import ChainRecord
from rung.core.files import replacing
from rung.model import Reading, new_reward_model, save_reward_model
from rung.model.engine import PrefixEngine, Request
from rung.model.reading import Kind
from rung.score.reward import dtype_for
from rung.train import Method, RewardTraining
from rung.train.distributed import World
from rung.train.examples import Example, reward_examples
from rung.train.folder import begin, claim, fingerprint

REGULARIZATION = 1e-3
"""scikit-learn's C, on standardized states."""
MAX_TOKENS = 768
"""Tokens of a chain."""
BATCH_TOKENS = 1024
CHAINS_A_FILE = 200
REPORT_FILE = "fitted.json"


def fit_head(kind: Kind, trunk: Path, records: Sequence[ChainRecord], out: Path) -> Any:
    """Write a PRM or an ORM: the trunk as it was, and a head fitted to the records.

    Stopped and called again, it goes on with the states that it has.

    Args:
        kind: "prm" learns the labels of the first record's source, "orm" the outcomes.
        trunk: A Hugging Face folder.
        records: What to learn from.
        out: The model's folder; a finished one is taken as it is.

    Returns:
        What became of the labels.

    Raises:
        RungError: `out` holds something else, or a model of other chains or another trunk.
    """
    settings = RewardTraining(
        kind=kind, trunk=trunk, method=Method(trainable="head"), max_tokens=MAX_TOKENS
    )
    run = fingerprint(settings, records, [])
    claim(out, run, dict)
    begin(out, run, World())
    report = out / REPORT_FILE
    if report.exists():
        return msgspec.json.decode(report.read_bytes())
    source = records[0].labels[0].source if kind == "prm" else None
    model, loaded = new_reward_model(trunk, seed=0)
    found = reward_examples(settings, records, loaded.tokenizer, source)
    examples = sorted(found.examples, key=lambda example: (example.question, example.ids))
    weight_D, bias = _regression(_states(trunk, examples, out / "states"), examples)
    with torch.no_grad():
        model.score.weight.copy_(torch.from_numpy(weight_D)[None])
        model.score.bias.fill_(bias)
    reading = Reading(kind=kind, max_tokens=MAX_TOKENS, label_source=source, trunk=loaded.name)
    save_reward_model(model, loaded.tokenizer, reading, out)
    wrong = sum(target < 0.5 for example in examples for target in example.targets)
    told = {**msgspec.to_builtins(found.counts), "wrong": wrong}
    write_results(told, report)
    return told


def _regression(states_KD: np.ndarray, examples: Sequence[Example]) -> tuple[np.ndarray, float]:
    """Weights and bias for the states as they are."""
    right_K = np.array([target >= 0.5 for e in examples for target in e.targets])
    mean_D, spread_D = states_KD.mean(0), states_KD.std(0) + 1e-6
    regression = LogisticRegression(C=REGULARIZATION, max_iter=1000)
    regression.fit((states_KD - mean_D) / spread_D, right_K)
    weight_D = regression.coef_[0] / spread_D
    return weight_D, float(regression.intercept_[0] - weight_D @ mean_D)


def _states(trunk: Path, examples: Sequence[Example], folder: Path) -> np.ndarray:
    """The states where the examples are read (K, D); a file of them is made once."""
    folder.mkdir(parents=True, exist_ok=True)
    model, _ = new_reward_model(trunk, seed=0)
    dtype = dtype_for("auto", model.trunk, torch.device("cpu"))  # bf16 where that is fast
    engine = PrefixEngine(model.trunk.eval().to(dtype), batch_tokens=BATCH_TOKENS)
    files = list[Path]()
    for start in range(0, len(examples), CHAINS_A_FILE):
        files.append(folder / f"{start:06}.npy")
        if not files[-1].exists():
            requests = [Request(e.ids, e.reads) for e in examples[start : start + CHAINS_A_FILE]]
            with replacing(files[-1]) as aside, open(aside, "wb") as stream:
                np.save(stream, engine.features(requests).float().numpy())
    return np.concatenate([np.load(file) for file in files])
