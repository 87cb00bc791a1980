import json
from dataclasses import replace

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from rung import Chain, InputError, Problem, RungError, StepLabels
from rung.core.progress import Silent
from rung.model import load_causal_lm, load_reward_model, new_reward_model, render
from rung.train import (
    Method,
    Optimization,
    PolicyTraining,
    RewardTraining,
    train_policy,
    train_reward,
)
from rung.train.examples import policy_examples
from rung.train.loop import learning_rate
from rung.train.trainable import freeze
from toy_chains import logits_of, make_toy_trunk, toy_records

FAST = Optimization(lr=3e-3, batch_tokens=256, evaluate_every=2, save_every=2, patience=0)


class Stopped(Exception):
    """The process dies here."""


class StopAfter(Silent):
    """Dies after so many optimizer steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, units: int = 1, note: str = "") -> None:
        self.left -= units
        if self.left == 0:
            raise Stopped


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


def prm(trunk, **changes) -> RewardTraining:
    optimization = replace(FAST, **changes)
    return RewardTraining(kind="prm", trunk=trunk, optimization=optimization)


def weights(folder):
    return load_file(folder / "model.safetensors")


def are_equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def metrics(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


TRAIN, HELD_OUT = toy_records(60), toy_records(20, first=1000)


@pytest.fixture(scope="module")
def unbroken(trunk, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "prm"
    return out, train_reward(prm(trunk, epochs=2), TRAIN, HELD_OUT, out)


def test_a_run_leaves_a_checkpoint_its_report_and_no_state(unbroken):
    out, report = unbroken
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "run.json",
        "rung.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]
    assert msgspec.json.decode((out / "training.json").read_bytes(), type=type(report)) == report
    reading = load_reward_model(out).reading
    assert (reading.kind, reading.label_source, reading.max_tokens) == ("prm", "toy", 128)


def test_the_report_is_what_the_metrics_say(unbroken):
    out, report = unbroken
    steps = [row for row in metrics(out) if "loss" in row]
    looks = [row for row in metrics(out) if "validation_loss" in row]
    assert [row["step"] for row in steps] == list(range(1, report.steps + 1))
    assert sum(row["tokens"] for row in steps) == report.tokens == 2 * report.train.tokens
    best = min(looks, key=lambda row: row["validation_loss"])
    assert (best["step"], best["validation_loss"]) == (report.best_step, report.validation_loss)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(unbroken, trunk, tmp_path):
    out, _ = unbroken
    torch.manual_seed(99)
    train_reward(prm(trunk, epochs=2), TRAIN, HELD_OUT, tmp_path / "again")
    assert are_equal(weights(tmp_path / "again"), weights(out))
    train_reward(prm(trunk, epochs=2, seed=1), TRAIN, HELD_OUT, tmp_path / "other")
    assert not are_equal(weights(tmp_path / "other"), weights(out))


def test_training_leaves_the_callers_random_numbers_alone(trunk, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_reward(prm(trunk), TRAIN[:10], [], tmp_path / "prm")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("stops", [(1,), (2,), (3, 4), (9, 1, 1), (13,)])
def test_a_stopped_run_goes_on_to_the_same_weights(unbroken, trunk, tmp_path, stops):
    out, report = unbroken
    settings, here = prm(trunk, epochs=2), tmp_path / "prm"
    for steps in stops:
        with pytest.raises(Stopped):
            train_reward(settings, TRAIN, HELD_OUT, here, StopAfter(steps))
        with pytest.raises(InputError, match="lacks"):
            load_reward_model(here)
    resumed = train_reward(settings, TRAIN, HELD_OUT, here)
    assert are_equal(weights(here), weights(out))
    assert metrics(here) == metrics(out)
    assert (resumed.best_step, resumed.weights_hash) == (report.best_step, report.weights_hash)


def test_dropout_too_goes_on_exactly(tmp_path, trunk):
    config = json.loads((trunk / "config.json").read_text())
    noisy = make_toy_trunk(tmp_path / "noisy")
    (noisy / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.3}))
    settings = prm(noisy)
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, HELD_OUT, tmp_path / "broken", StopAfter(5))
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "broken")
    assert are_equal(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def test_a_finished_run_is_not_run_again(unbroken, trunk):
    out, report = unbroken
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    said = Said()
    assert train_reward(prm(trunk, epochs=2), TRAIN, HELD_OUT, out, said) == report
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert "has ended before" in said.lines[0]


def test_a_folder_of_another_run_is_refused(unbroken, trunk, tmp_path):
    out, _ = unbroken
    with pytest.raises(InputError, match="a run with other lr; choose a new folder"):
        train_reward(prm(trunk, epochs=2, lr=1e-3), TRAIN, HELD_OUT, out)
    with pytest.raises(InputError, match="a run with other training chains;"):
        train_reward(prm(trunk, epochs=2), TRAIN[1:], HELD_OUT, out)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="the folder is not empty"):
        train_reward(prm(trunk), TRAIN, HELD_OUT, tmp_path)
    with pytest.raises(InputError, match="this is a file"):
        train_reward(prm(trunk), TRAIN, HELD_OUT, tmp_path / "notes.txt")


def test_accumulated_batches_make_the_step_of_one_big_batch(trunk, tmp_path):
    # chains of unequal numbers of steps, so that batches hold unequal numbers of targets
    records = [
        record.with_labels(StepLabels((*record.labels[0].labels[:k], *[None] * (4 - k)), "toy"))
        for k, record in zip([1, 4, 2, 3] * 6, toy_records(24), strict=True)
    ]
    for name, changes in {
        "one": {"batch_tokens": 100_000},
        "many": {"batch_tokens": 64, "accumulation": 1000},
    }.items():
        train_reward(prm(trunk, **changes), records, [], tmp_path / name)
    one, many = metrics(tmp_path / "one"), metrics(tmp_path / "many")
    assert len(one) == len(many) == 1
    assert many[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)
    assert many[0]["gradient_norm"] == pytest.approx(one[0]["gradient_norm"], rel=1e-4)


def test_activations_that_are_computed_again_give_the_same_losses(unbroken, trunk, tmp_path):
    out, _ = unbroken
    train_reward(prm(trunk, epochs=2, checkpointing=True), TRAIN, HELD_OUT, tmp_path / "prm")
    for ours, expected in zip(metrics(tmp_path / "prm"), metrics(out), strict=True):
        assert ours == pytest.approx(expected, rel=1e-4)


def test_early_stopping_keeps_the_best_weights(trunk, tmp_path):
    wrong = [
        r.with_labels(StepLabels(tuple(1 - y for y in r.labels[0].labels), "toy")) for r in HELD_OUT
    ]
    settings = prm(
        trunk, epochs=20, evaluate_every=1, save_every=1, patience=2, schedule="constant"
    )
    report = train_reward(settings, TRAIN, wrong, tmp_path / "prm")
    looks = [row["validation_loss"] for row in metrics(tmp_path / "prm") if len(row) == 2]
    assert report.is_stopped_early
    assert report.steps == report.best_step + 2 == len(looks)
    assert report.validation_loss == min(looks) == looks[report.best_step - 1]
    again = replace(settings, optimization=replace(settings.optimization, patience=0))
    with pytest.raises(Stopped):
        train_reward(again, TRAIN, wrong, tmp_path / "again", StopAfter(report.best_step + 1))
    at_best = load_file(tmp_path / "again" / "state" / "latest.safetensors")
    kept = weights(tmp_path / "prm")
    assert torch.equal(kept["score.weight"], at_best["weight.score.weight"])
    assert torch.equal(kept["model.norm.weight"], at_best["weight.trunk.norm.weight"])


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_a_prm_learns_what_can_be_learned(trunk, tmp_path, loss):
    settings = replace(prm(trunk, epochs=8, lr=1e-2), method=Method(loss=loss))
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "prm")
    model, tokenizer, reading = load_reward_model(tmp_path / "prm")
    for record in HELD_OUT:
        shown = render(record.chain, tokenizer, reading)
        logits_T = logits_of(model, shown.ids)
        read = [logits_T[end].item() > 0 for end in shown.step_ends]
        assert read == [label > 0.5 for label in record.labels[0].labels]


def test_an_orm_learns_outcomes_at_the_last_step(trunk, tmp_path):
    settings = replace(prm(trunk, epochs=12, lr=1e-2), kind="orm")
    report = train_reward(settings, toy_records(150), HELD_OUT, tmp_path / "orm")
    assert report.train.targets == 150
    model, tokenizer, reading = load_reward_model(tmp_path / "orm")
    assert (reading.kind, reading.label_source) == ("orm", None)
    right = 0
    for record in HELD_OUT:
        shown = render(record.chain, tokenizer, reading)
        is_right = logits_of(model, shown.ids)[shown.step_ends[-1]].item() > 0
        right += is_right == record.outcome.is_correct
    assert right >= 18


def test_a_policy_learns_to_write_the_chain_and_to_end_it(trunk, tmp_path):
    chain = Chain.of(Problem("p", "Add 3 and 4."), ["step 0 is good 1", "step 1 is bad 2"])
    record = replace(TRAIN[0], chain=chain, labels=())
    settings = PolicyTraining(trunk=trunk, optimization=replace(FAST, epochs=60, lr=1e-2))
    report = train_policy(settings, [record], [], tmp_path / "policy")
    assert report.train_loss < 0.1
    model, tokenizer, _ = load_causal_lm(tmp_path / "policy")
    ids = list(render(chain.prefix(0), tokenizer, settings).ids)
    written = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        max_new_tokens=40,
        do_sample=False,
    )[0, len(ids) :]
    assert tokenizer.decode(written) == "\n".join([*chain.texts, ""]) + tokenizer.eos_token


def test_a_policys_run_resumes_exactly(trunk, tmp_path):
    settings = PolicyTraining(trunk=trunk, optimization=FAST)
    train_policy(settings, TRAIN, HELD_OUT, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_policy(settings, TRAIN, HELD_OUT, tmp_path / "broken", StopAfter(3))
    train_policy(settings, TRAIN, HELD_OUT, tmp_path / "broken")
    assert are_equal(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def test_of_a_policy_the_last_layers_can_learn_alone(trunk, tmp_path):
    settings = PolicyTraining(trunk=trunk, trainable="last:1", optimization=FAST)
    train_policy(settings, TRAIN, [], tmp_path / "policy")
    old, new = (load_causal_lm(at).model.state_dict() for at in (trunk, tmp_path / "policy"))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert {name.split(".")[2] for name in changed if ".layers." in name} == {"1"}
    assert "model.norm.weight" in changed
    assert "model.embed_tokens.weight" not in changed


def test_of_a_policy_adapters_can_learn_alone(trunk, tmp_path):
    settings = PolicyTraining(trunk=trunk, lora=2, optimization=FAST)
    train_policy(settings, TRAIN, [], tmp_path / "policy")
    old, new = (load_causal_lm(at).model.state_dict() for at in (trunk, tmp_path / "policy"))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all("_proj." in name for name in changed)
    with pytest.raises(RungError, match="it can't go with 'last:1'"):
        PolicyTraining(trunk=trunk, lora=2, trainable="last:1")


def test_a_policy_without_anything_that_learns_is_refused(trunk):
    with pytest.raises(RungError, match="last:K layers"):
        PolicyTraining(trunk=trunk, trainable="head")


def test_a_policys_logits_are_made_only_where_a_token_is_learned(trunk, tmp_path, monkeypatch):
    rows: list[int] = []

    def opened(source, **options):
        loaded = load_causal_lm(source, **options)
        loaded.model.lm_head.register_forward_hook(lambda *told: rows.append(told[-1].shape[1]))
        return loaded

    monkeypatch.setattr("rung.train.policy.load_causal_lm", opened)
    report = train_policy(PolicyTraining(trunk=trunk), TRAIN[:4], [], tmp_path / "policy")
    tokenizer = load_causal_lm(trunk).tokenizer
    ours = policy_examples(PolicyTraining(trunk=trunk), TRAIN[:4], tokenizer).examples
    assert sum(rows) == sum(len(example.targets) for example in ours) < report.tokens


def test_bf16_trains_fp32_weights_to_about_the_same_loss(unbroken, trunk, tmp_path):
    _, exact = unbroken
    report = train_reward(prm(trunk, epochs=2, precision="bf16"), TRAIN, HELD_OUT, tmp_path / "prm")
    assert all(weight.dtype == torch.float32 for weight in weights(tmp_path / "prm").values())
    assert report.validation_loss == pytest.approx(exact.validation_loss, rel=0.05)
    assert report.validation_loss != exact.validation_loss


@pytest.mark.parametrize(("trainable", "moves"), [("head", 0), ("last:1", 1), ("last:2", 2)])
def test_what_is_frozen_stays_as_it_was(trunk, tmp_path, trainable, moves):
    settings = replace(prm(trunk), method=Method(trainable=trainable))
    with pytest.raises(Stopped):
        train_reward(settings, TRAIN, HELD_OUT, tmp_path / "prm", StopAfter(3))
    train_reward(settings, TRAIN, HELD_OUT, tmp_path / "prm")
    before, _ = new_reward_model(trunk, seed=0)
    after = load_reward_model(tmp_path / "prm").model
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    layers = {name.split(".")[2] for name in changed if ".layers." in name}
    assert layers == {str(k) for k in range(2 - moves, 2)}
    assert "score.weight" in changed
    assert ("trunk.norm.weight" in changed) == (moves > 0)
    assert "trunk.embed_tokens.weight" not in changed


@pytest.mark.parametrize("trainable", ["last:0", "last:3", "last:x", "some"])
def test_a_share_of_the_model_that_is_not_there_is_refused(trunk, trainable):
    model, _ = new_reward_model(trunk, seed=0)
    with pytest.raises(RungError, match="last:1 to last:2"):
        freeze(model.trunk, trainable)


def test_nothing_to_learn_is_said_and_leaves_nothing(trunk, tmp_path):
    unlabeled = [r.with_labels(StepLabels((None,) * 4, "toy")) for r in TRAIN[:3]]
    with pytest.raises(RungError, match=r"0 targets of 12 steps.*12 unlabeled"):
        train_reward(prm(trunk), unlabeled, [], tmp_path / "prm")
    short = replace(prm(trunk), max_tokens=4)
    with pytest.raises(RungError, match=r"12 steps.*12 beyond the context"):
        train_reward(short, TRAIN[:3], [], tmp_path / "prm")
    with pytest.raises(RungError, match=r"0 targets of 3 chains.*3 beyond the context"):
        train_reward(replace(short, kind="orm"), TRAIN[:3], [], tmp_path / "prm")
    with pytest.raises(RungError, match=r"validation: 0 targets"):
        train_reward(prm(trunk), TRAIN, unlabeled, tmp_path / "prm")
    assert not (tmp_path / "prm").exists()


def test_problems_on_both_sides_are_told(trunk, tmp_path):
    said = Said()
    train_reward(prm(trunk), TRAIN, TRAIN[:2], tmp_path / "prm", said)
    assert "careful: 2 problems are in training and validation" in said.lines


def test_a_run_that_learned_nothing_says_so(trunk, tmp_path):
    short, long = Said(), Said()
    report = train_reward(prm(trunk, lr=1e-7), TRAIN, HELD_OUT, tmp_path / "short", short)
    assert report.constant_loss is not None and report.validation_loss >= report.constant_loss
    assert "to score all alike would lose" in short.lines[-1]
    learned = train_reward(prm(trunk, epochs=6), TRAIN, HELD_OUT, tmp_path / "long", long)
    assert learned.constant_loss == report.constant_loss
    assert learned.validation_loss < learned.constant_loss
    assert not any("score all alike" in line for line in long.lines)
    assert "| loss if all were scored alike |  |" in (tmp_path / "long" / "README.md").read_text()


def test_a_loss_that_is_no_number_is_said(trunk, tmp_path):
    with pytest.raises(RungError, match=r"no number at step .*; try a lower lr"):
        train_reward(prm(trunk, lr=1e30, epochs=3), TRAIN, [], tmp_path / "prm")


def test_a_damaged_state_is_said(trunk, tmp_path):
    with pytest.raises(Stopped):
        train_reward(prm(trunk), TRAIN, [], tmp_path / "prm", StopAfter(4))
    (tmp_path / "prm" / "state" / "latest.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="the state can't be read"):
        train_reward(prm(trunk), TRAIN, [], tmp_path / "prm")


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"lr": 0.0}, {"patience": -1}, {"warmup_fraction": 2.0}]
)
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Optimization(**changes)


def test_the_learning_rate_rises_then_falls_or_stays():
    settings = Optimization(lr=1.0, warmup_fraction=0.2)
    rates = [learning_rate(step, 50, settings) for step in range(50)]
    assert rates[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01
    level = replace(settings, schedule="constant")
    assert {learning_rate(step, 50, level) for step in range(10, 50)} == {1.0}
