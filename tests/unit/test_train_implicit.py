"""Implicit PRMs: a causal LM and what it was before, from outcomes alone."""

from dataclasses import replace

import pytest
import torch
from test_training_methods import StopAfter, Stopped, are_equal, weights

from rung import RungError
from rung.model import load_causal_lm, render
from rung.model.implicit import load_implicit_reading
from rung.score import load_implicit
from rung.train import ImplicitTraining, Optimization, train_implicit
from rung.train.examples import implicit_examples
from rung.train.implicit import in_order
from toy_chains import make_toy_trunk, solved

FAST = Optimization(lr=3e-3, batch_tokens=512, epochs=4, evaluate_every=10, patience=0)


TRAIN = [solved(problem, k) for problem in range(100, 148) for k in range(4)]
HELD_OUT = [solved(problem, k) for problem in range(20, 25) for k in range(4)]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk"))


def settings(trunk, loss="ce", **changes) -> ImplicitTraining:
    optimization = replace(FAST, **changes)
    return ImplicitTraining(trunk=trunk, loss=loss, coefficient=0.3, optimization=optimization)


@pytest.mark.parametrize("loss", ["ce", "dpo"])
def test_outcomes_alone_teach_which_step_is_wrong(trunk, tmp_path, loss):
    train_implicit(settings(trunk, loss, epochs=6), TRAIN, HELD_OUT, tmp_path / "prm")
    found = load_implicit(tmp_path / "prm").score([record.chain for record in HELD_OUT])
    whole = [scores.scores[-1] for scores in found]
    assert min(whole[0::2]) > max(whole[1::2])
    right, wrong = list[float](), list[float]()
    for record, scores in zip(HELD_OUT, found, strict=True):
        logits = torch.tensor([0.5, *scores.scores]).logit()
        for step, gain in zip(record.chain.texts, logits.diff().tolist(), strict=True):
            (wrong if "bad" in step else right).append(gain)
    mean_right, mean_wrong = sum(right) / len(right), sum(wrong) / len(wrong)
    assert mean_wrong < mean_right - 0.2
    if loss == "ce":  # preference says nothing of where 0 is
        assert mean_wrong < 0 < mean_right


def test_a_score_is_the_literal_sum_of_log_ratios(trunk, tmp_path):
    out = tmp_path / "prm"
    train_implicit(settings(trunk), TRAIN, HELD_OUT, out)
    policy, tokenizer, _ = load_causal_lm(out)
    reference = load_causal_lm(out / "reference").model
    assert are_equal(dict(reference.state_dict()), dict(load_causal_lm(trunk).model.state_dict()))
    reading = load_implicit_reading(out)
    chain = HELD_OUT[1].chain
    shown = render(chain, tokenizer, reading)
    ids = torch.tensor([shown.ids])
    with torch.no_grad():
        ours, theirs = (model(ids).logits[0].log_softmax(-1) for model in (policy, reference))
    expected = []
    for end in shown.step_ends:
        total = sum(
            (ours[at - 1, shown.ids[at]] - theirs[at - 1, shown.ids[at]]).item()
            for at in range(shown.num_question_tokens, end + 1)
        )
        expected.append(torch.sigmoid(torch.tensor(0.3 * total)).item())
    [found] = load_implicit(out).score([chain])
    assert found.scores == pytest.approx(expected, abs=1e-5)
    assert max(abs(p - 0.5) for p in expected) > 0.01


@pytest.mark.parametrize("lora", [None, 2])
def test_a_stopped_run_goes_on_to_the_same_weights(trunk, tmp_path, lora):
    run = replace(settings(trunk, batch_tokens=128, epochs=1, save_every=2), lora=lora)
    train_implicit(run, TRAIN, HELD_OUT, tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(Stopped):
        train_implicit(run, TRAIN, HELD_OUT, broken, StopAfter(1, "reading the chains"))
    with pytest.raises(Stopped):
        train_implicit(run, TRAIN, HELD_OUT, broken, StopAfter(5, "training"))
    train_implicit(run, TRAIN, HELD_OUT, broken)
    assert are_equal(weights(tmp_path / "whole"), weights(broken))
    assert {p.name for p in broken.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}
    old, new = (load_causal_lm(at).model.state_dict() for at in (trunk, broken))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all("_proj." in name for name in changed) == (lora is not None)


def test_an_untrained_policy_says_nothing(trunk, tmp_path):
    out = tmp_path / "prm"
    report = train_implicit(settings(trunk, lr=1e-12, epochs=1), TRAIN, HELD_OUT, out)
    assert report.validation_loss == pytest.approx(0.6931, abs=1e-4)
    scores = load_implicit(out).score([record.chain for record in HELD_OUT])
    assert all(p == pytest.approx(0.5, abs=1e-4) for found in scores for p in found.scores)


def test_every_chain_is_counted_once(trunk):
    records = [
        TRAIN[0],
        TRAIN[0],
        replace(TRAIN[1], outcome=None),
        TRAIN[2],
        *TRAIN[4:8],
    ]
    layout = settings(trunk)
    tokenizer = load_causal_lm(trunk).tokenizer
    made = implicit_examples(layout, records, tokenizer, pairs=False)
    counts = made.counts
    assert (counts.places, counts.targets, counts.duplicate, counts.unlabeled) == (8, 6, 1, 1)
    assert [example.targets for example in made.examples][:2] == [(1.0,), (1.0,)]
    pairs = implicit_examples(layout, records, tokenizer, pairs=True).counts
    assert (pairs.places, pairs.targets, pairs.duplicate, pairs.unlabeled) == (8, 4, 1, 3)
    short = implicit_examples(replace(layout, max_tokens=5), records, tokenizer, pairs=False)
    assert short.counts.truncated == 7


def test_questions_are_numbered_in_their_order_whatever_strings_hash_to():
    names = [f"q{k % 7}" for k in range(20)]
    assert in_order(names) == [k % 7 for k in range(20)]


def test_pairs_that_never_meet_are_said(trunk, tmp_path):
    with pytest.raises(RungError, match="no two chains of a problem fit one batch"):
        train_implicit(settings(trunk, "dpo", batch_tokens=8), TRAIN, [], tmp_path / "prm")
    with pytest.raises(RungError, match="--no-share keeps apart"):
        settings(trunk, "dpo", share=False)
    with pytest.raises(RungError, match="coefficient must be above 0"):
        ImplicitTraining(trunk=trunk, coefficient=0.0)


def test_a_causal_lm_of_others_needs_its_reference(trunk):
    with pytest.raises(RungError, match="name its reference and its coefficient"):
        load_implicit(trunk)
