"""Losses, heads, LoRA and the frozen trunk, in whole runs."""

import sys
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file

from rung import InputError, RungError
from rung.core.progress import Silent
from rung.model import load_reward_model, load_trunk, new_reward_model
from rung.model.engine import PrefixEngine
from rung.score import load_scorer
from rung.train import Method, Optimization, RewardTraining, train_reward
from rung.train import reward as reward_module
from rung.train.trainable import add_adapters
from toy_chains import make_toy_trunk, toy_records

TRAIN, HELD_OUT = toy_records(60), toy_records(20, first=1000)
FAST = Optimization(lr=3e-3, batch_tokens=256, epochs=2, evaluate_every=4, save_every=2, patience=0)


class Stopped(Exception):
    """The process dies here."""


class StopAfter(Silent):
    """Dies after so many units of work of the stages whose names begin like `what`."""

    def __init__(self, units: int, what: str) -> None:
        self.left, self.what, self.counts = units, what, False

    def start(self, what: str, total: int | None = None) -> None:
        self.counts = what.startswith(self.what)

    def advance(self, units: int = 1, note: str = "") -> None:
        self.left -= units * self.counts
        if self.left <= 0:
            raise Stopped


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


def prm(trunk, method: Method, **changes) -> RewardTraining:
    optimization = replace(FAST, **changes)
    return RewardTraining(kind="prm", trunk=trunk, method=method, optimization=optimization)


def weights(folder):
    return load_file(folder / "model.safetensors")


def are_equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def share_right(folder) -> float:
    scores = load_scorer(folder).score([record.chain for record in HELD_OUT])
    pairs = [
        ((score > 0.5) == (label > 0.5))
        for found, record in zip(scores, HELD_OUT, strict=True)
        for score, label in zip(found.scores, record.labels[0].labels, strict=True)
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize(
    "method",
    [
        Method(loss="pqm"),
        Method(head="2-class"),
        Method(head="3-class"),
        Method(head="tokens", label_words=(" good", " bad")),
        Method(lora=4),
    ],
    ids=lambda m: m.head if m.lora is None and m.loss is None else (m.loss or "lora"),
)
def test_every_method_learns_what_can_be_learned_and_resumes_exactly(trunk, tmp_path, method):
    settings = prm(trunk, method, lr=1e-2, epochs=6, evaluate_every=20, save_every=10)
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, HELD_OUT, tmp_path / "broken", StopAfter(15, "training"))
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "broken")
    assert are_equal(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    assert share_right(tmp_path / "whole") > 0.97
    reading = load_reward_model(tmp_path / "whole").reading
    assert (reading.head, reading.loss) == (method.head, method.step_loss)
    assert reading.label_words == method.label_words


def test_an_adapter_of_lora_starts_at_nothing_and_its_merged_weights_say_the_same(trunk):
    model = load_trunk(trunk).model
    before = model.state_dict().keys()
    ids = torch.tensor([[5, 9, 12, 40, 7]])
    plain = model(ids).last_hidden_state
    merge = add_adapters(model, 3, seed=0)
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora_" in name for name in learning)
    assert len(learning) == 2 * 2 * 7  # A and B of 7 maps in 2 layers
    assert torch.equal(model(ids).last_hidden_state, plain)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    adapted = model(ids).last_hidden_state
    assert not torch.allclose(adapted, plain)
    merge()
    assert model.state_dict().keys() == before
    assert torch.allclose(model(ids).last_hidden_state, adapted, atol=1e-4)


def test_loras_random_numbers_are_its_seeds_and_leave_the_callers_alone(trunk):
    def adapters(seed: int, state: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(state)
        model, _ = new_reward_model(trunk, seed=0)
        expected = torch.get_rng_state()
        add_adapters(model.trunk, 2, seed)
        assert torch.equal(torch.get_rng_state(), expected)
        return {n: w for n, w in model.named_parameters() if "lora_" in n}

    first = adapters(3, state=1)
    assert are_equal(first, adapters(3, state=2))
    assert not are_equal(first, adapters(4, state=1))


def test_lora_finds_the_maps_of_a_trunk_with_other_layers():
    config = transformers.GPT2Config(
        vocab_size=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1
    )
    trunk = transformers.GPT2Model(config)
    before = trunk.state_dict().keys()
    merge = add_adapters(trunk, 2, seed=0)
    assert sum("lora_A" in name for name, _ in trunk.named_parameters()) == 4
    merge()
    assert trunk.state_dict().keys() == before


def test_without_peft_the_command_that_installs_it_is_named(trunk, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RungError, match=r"needs the package peft: pip install 'rung\[train\]'"):
        train_reward(prm(trunk, Method(lora=2)), TRAIN, [], tmp_path / "prm")
    assert not (tmp_path / "prm").exists()


def test_a_checkpoint_of_lora_opens_in_plain_transformers(trunk, tmp_path):
    train_reward(prm(trunk, Method(lora=2), epochs=1), TRAIN[:20], [], tmp_path / "prm")
    _, info = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path / "prm", output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.mark.parametrize("method", [Method(), Method(head="2-class"), Method(loss="pqm")])
def test_training_on_kept_features_is_training_with_the_frozen_trunk(
    trunk, tmp_path, method, monkeypatch
):
    settings = prm(trunk, replace(method, trainable="head"), lr=3e-2)
    kept = train_reward(settings, TRAIN, HELD_OUT, tmp_path / "kept")
    monkeypatch.setattr(reward_module, "_known_features", lambda *_: None)
    run = train_reward(settings, TRAIN, HELD_OUT, tmp_path / "run")
    assert kept.validation_loss == pytest.approx(run.validation_loss, rel=1e-4)
    ours, theirs = weights(tmp_path / "kept"), weights(tmp_path / "run")
    assert torch.allclose(ours["score.weight"], theirs["score.weight"], atol=1e-4)
    start, _ = new_reward_model(trunk, seed=0, head=method.head)
    assert (ours["score.weight"] - start.score.weight).abs().max() > 0.05
    assert all(torch.equal(ours[k], theirs[k]) for k in ours if not k.startswith("score."))


def test_the_frozen_trunk_is_run_once_and_a_killed_run_goes_on_with_what_is_missing(
    trunk, tmp_path, monkeypatch
):
    asked = list[int]()
    features = PrefixEngine.features

    def counted(self, requests):
        asked.append(len(requests))
        return features(self, requests)

    monkeypatch.setattr(PrefixEngine, "features", counted)
    settings = prm(trunk, Method(trainable="head"), batch_tokens=64, epochs=3)
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "whole")
    once = list(asked)
    assert sum(once) == len(TRAIN) + len(HELD_OUT)
    assert len(once) == 3
    asked.clear()
    broken = tmp_path / "broken"
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, HELD_OUT, broken, StopAfter(2, "running the frozen trunk"))
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, HELD_OUT, broken, StopAfter(5, "training"))
    train_reward(settings, TRAIN, HELD_OUT, broken)
    assert asked == once
    assert are_equal(weights(tmp_path / "whole"), weights(broken))
    assert {path.name for path in broken.iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_damaged_features_are_named(trunk, tmp_path):
    settings = prm(trunk, Method(trainable="head"))
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, [], tmp_path / "prm", StopAfter(1, "training"))
    (tmp_path / "prm" / "state" / "features-00000.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"features-00000.*can't be read"):
        train_reward(settings, TRAIN, [], tmp_path / "prm")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"head": "2-class", "loss": "bce"}, "a 2-class head learns by ce, not by bce"),
        ({"loss": "ce"}, "a scalar head learns by bce or mse or pqm, not by ce"),
        ({"label_words": ("+", "-")}, "label words belong to --head tokens"),
        ({"lora": 0}, "at least 1, not 0"),
        ({"lora": 8, "trainable": "head"}, "can't go with 'head'"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(choices, said):
    with pytest.raises(RungError, match=said):
        Method(**choices)


@pytest.mark.parametrize("method", [Method(loss="pqm"), Method(head="3-class")])
def test_what_makes_no_sense_for_an_orm_is_refused(method):
    with pytest.raises(RungError, match=r"an ORM has one label|for PRMs"):
        RewardTraining(kind="orm", trunk="t", method=method)


def test_each_head_has_its_usual_loss():
    usual = {head: Method(head=head).step_loss for head in ("scalar", "2-class", "tokens")}
    assert usual == {"scalar": "bce", "2-class": "ce", "tokens": "ce"}
    assert Method(head="tokens").words == ("+", "-")
