"""A run's policy writes where it can write fastest."""

from pathlib import Path

import pytest
import torch

from rung.loop import policy


def test_a_runs_policy_goes_to_the_gpu_where_there_is_one(
    tiny_lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = policy.load_causal_lm(tiny_lm)
    monkeypatch.setattr(policy, "load_causal_lm", lambda folder: loaded)
    monkeypatch.setattr(policy, "pick_device", lambda: torch.device("meta"))
    policy.open_policy(tiny_lm)
    assert {weight.device.type for weight in loaded.model.parameters()} == {"meta"}
