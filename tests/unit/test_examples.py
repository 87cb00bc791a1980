from dataclasses import replace

import pytest
import torch

from rung import Chain, ChainRecord, Problem, Provenance, RungError, StepLabels, Verdict
from rung.model import load_tokenizer, render
from rung.model.rendering import render_all
from rung.train import Method, PolicyTraining, RewardTraining
from rung.train.batches import bundles_of, collate, plan_epoch
from rung.train.examples import label_source, policy_examples, reward_examples
from toy_chains import make_toy_trunk

PROBLEM = Problem("p", "Add 3 and 4.")
PRM = RewardTraining(kind="prm", trunk="t")
ORM = RewardTraining(kind="orm", trunk="t")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(make_toy_trunk(tmp_path_factory.mktemp("trunk")))


def record(texts, labels=None, outcome=None, **source) -> ChainRecord:
    chain = Chain.of(PROBLEM, texts, source=Provenance(**source) if source else None)
    return ChainRecord(chain, (StepLabels(labels, "toy"),) if labels else (), outcome=outcome)


def of_prm(records, tokenizer, settings=PRM):
    return reward_examples(settings, records, tokenizer, "toy")


def test_soft_labels_stay_floats_down_to_the_batch(tokenizer):
    made = of_prm([record(["a", "b"], (0.7, 0.125))], tokenizer)
    assert made.examples[0].targets == (0.7, 0.125)
    bundles = bundles_of(made.examples, batch_tokens=100, share=True)
    batch = collate(bundles, target_type=torch.float32, device=torch.device("cpu"))
    assert batch.targets_K.tolist() == pytest.approx([0.7, 0.125])


def test_targets_stand_where_scores_are_read(tokenizer):
    one = record(["a", "b", "c"], (1.0, None, 0.0))
    (example,) = of_prm([one], tokenizer).examples
    shown = render(one.chain, tokenizer, PRM)
    assert example.reads == (shown.step_ends[0], shown.step_ends[2])
    assert example.ids == shown.ids


def test_steps_behind_a_mended_error_are_targets_where_the_source_judged_them(tokenizer):
    mended = record(["a", "b", "c", "d"], (1.0, 0.0, None, 1.0), outcome=Verdict.CORRECT)
    made = of_prm([mended], tokenizer)
    assert made.examples[0].targets == (1.0, 0.0, 1.0)
    assert made.counts.unlabeled == 1


def test_tokens_behind_the_last_target_are_not_run(tokenizer):
    one = record(["a", "b", "c"], (1.0, 0.0, None))
    (example,) = of_prm([one], tokenizer).examples
    assert len(example.ids) == example.reads[-1] + 1 < len(render(one.chain, tokenizer, PRM).ids)


def test_the_order_of_chains_does_not_depend_on_their_labels(tokenizer):
    texts = [[f"step {k} of {n}" for k in range(6)] for n in range(40)]
    stopped = [
        record(t, (1.0, *(0.0 if k == n % 6 else None for k in range(1, 6))))
        for n, t in enumerate(texts)
    ]
    whole = [record(t, (1.0,) * 6) for t in texts]
    orders = []
    for records in (stopped, whole):
        examples = of_prm(records, tokenizer).examples
        bundles = bundles_of(examples, batch_tokens=200, share=False)
        plan = plan_epoch(bundles, batch_tokens=200, accumulation=1, seed=0, epoch=0)
        orders.append([index for step in plan for batch in step for index in batch])
    assert orders[0] == orders[1]


def test_a_shared_step_is_a_target_once(tokenizer):
    shared = [record(["a", "b"], (1.0, 0.0)), record(["a", "c"], (1.0, 1.0))]
    made = of_prm([*shared, shared[0]], tokenizer)
    assert [e.targets for e in made.examples] == [(1.0, 0.0), (1.0,)]
    assert (made.counts.targets, made.counts.duplicate, made.counts.places) == (3, 3, 6)
    assert (made.counts.chains, made.counts.chains_used) == (3, 2)


def test_equal_texts_behind_other_prefixes_are_other_steps(tokenizer):
    made = of_prm([record(["a", "x"], (1.0, 1.0)), record(["b", "x"], (0.0, 0.0))], tokenizer)
    assert made.counts.targets == 4


def test_differing_labels_of_one_step_become_their_mean(tokenizer):
    made = of_prm([record(["a"], (1.0,)), record(["a"], (0.5,))], tokenizer)
    assert [e.targets for e in made.examples] == [(0.75,)]


def test_every_lost_label_is_counted(tokenizer):
    one = record(["a", "b", "c", "d"], (1.0, None, 1.0, None))
    room = render(one.chain, tokenizer, PRM).step_ends[1] + 1
    settings = RewardTraining(kind="prm", trunk="t", max_tokens=room)
    counts = of_prm([one], tokenizer, settings).counts
    assert (counts.targets, counts.unlabeled, counts.truncated) == (1, 2, 1)


def test_a_chain_without_labels_is_not_run(tokenizer):
    made = of_prm([record(["a"]), record(["b"], (1.0,))], tokenizer)
    assert (len(made.examples), made.counts.unlabeled) == (1, 1)


def test_an_orm_reads_the_outcome_at_the_last_step(tokenizer):
    one = record(["a", "b"], outcome=Verdict.CORRECT)
    (example,) = reward_examples(ORM, [one], tokenizer, None).examples
    assert example.reads == (len(example.ids) - 1,)
    assert example.targets == (1.0,)


@pytest.mark.parametrize("verdict", [v for v in Verdict if not v.is_correct])
def test_for_an_orm_what_is_not_correct_is_0(tokenizer, verdict):
    (example,) = reward_examples(ORM, [record(["a"], outcome=verdict)], tokenizer, None).examples
    assert example.targets == (0.0,)


def test_an_orm_passes_over_chains_that_nobody_checked(tokenizer):
    made = reward_examples(ORM, [record(["a"])], tokenizer, None)
    assert (made.examples, made.counts.unlabeled) == ([], 1)


def test_an_orm_on_every_step_learns_the_mean_outcome_of_a_shared_step(tokenizer):
    settings = RewardTraining(kind="orm", trunk="t", orm_targets="every")
    records = [
        record(["a", "b"], outcome=Verdict.CORRECT),
        record(["a", "c"], outcome=Verdict.INCORRECT),
    ]
    made = reward_examples(settings, records, tokenizer, None)
    assert [e.targets for e in made.examples] == [(0.5, 1.0), (0.0,)]


def test_an_orm_on_every_token_learns_the_mean_outcome_of_what_chains_share(tokenizer):
    settings = RewardTraining(kind="orm", trunk="t", orm_targets="tokens")
    records = [
        record(["a", "b"], outcome=Verdict.CORRECT),
        record(["a", "c"], outcome=Verdict.INCORRECT),
        record(["a", "c"]),
    ]
    made = reward_examples(settings, records, tokenizer, None)
    first, second = made.examples
    one, other, _ = render_all([r.chain for r in records], tokenizer, settings)
    shared = next(k for k, (a, b) in enumerate(zip(one.ids, other.ids, strict=False)) if a != b)
    begin, end = one.num_question_tokens, len(one.ids)
    assert first.reads == tuple(range(begin, end))
    assert first.targets == (0.5,) * (shared - begin) + (1.0,) * (end - shared)
    assert second.reads == tuple(range(shared, len(other.ids)))
    assert set(second.targets) == {0.0}
    counts = made.counts
    assert (counts.unlabeled, counts.duplicate) == (len(other.ids) - begin, shared - begin)


def test_a_policy_learns_every_token_behind_the_question_and_the_end(tokenizer):
    one = record(["a", "b"])
    settings = PolicyTraining(trunk="t")
    (example,) = policy_examples(settings, [one], tokenizer).examples
    shown = render(one.chain, tokenizer, settings)
    whole = (*shown.ids, tokenizer.eos_token_id)
    assert example.ids == whole[:-1]
    assert tuple(whole[read + 1] for read in example.reads) == example.targets
    assert example.targets == whole[shown.num_question_tokens :]


def test_a_policy_learns_no_end_where_the_chain_was_cut(tokenizer):
    settings = PolicyTraining(trunk="t")
    cut = policy_examples(settings, [record(["a"], finish_reason="length")], tokenizer)
    assert tokenizer.eos_token_id not in cut.examples[0].targets
    one = record(["a", "b"])
    room = len(render(one.chain, tokenizer, settings).ids) - 1
    short = policy_examples(PolicyTraining(trunk="t", max_tokens=room), [one], tokenizer)
    assert tokenizer.eos_token_id not in short.examples[0].targets
    assert (short.counts.targets, short.counts.truncated) == (1, 1)


def test_the_label_source_must_be_clear():
    both = record(["a"], (1.0,)).with_labels(StepLabels((0.0,), "other"))
    with pytest.raises(RungError, match=r"name one of .*: other, toy"):
        label_source(PRM, [both])
    named = RewardTraining(kind="prm", trunk="t", label_source="other")
    assert label_source(named, [both]) == "other"
    with pytest.raises(RungError, match="no chain has labels from 'other'; there are toy"):
        label_source(named, [record(["a"], (1.0,))])
    with pytest.raises(RungError, match="no chain carries step labels"):
        label_source(PRM, [record(["a"])])
    assert label_source(ORM, [both]) is None


def test_a_loss_that_compares_steps_gets_all_targets_of_a_chain_that_brings_a_new_one(tokenizer):
    records = [
        record(["a", "b"], (1.0, 0.0)),
        record(["a", "c"], (1.0, 1.0)),
        record(["a", "c"], (1.0, 1.0)),
    ]
    settings = replace(PRM, method=Method(loss="pqm"))
    made = of_prm(records, tokenizer, settings)
    assert [example.targets for example in made.examples] == [(1.0, 0.0), (1.0, 1.0)]
    assert (made.counts.targets, made.counts.duplicate) == (4, 2)


def test_of_three_classes_a_persons_zero_is_the_neutral_one(tokenizer):
    rated = StepLabels((1.0, 1.0, None, 0.3), "toy", ratings=(1, 0, 0, None))
    chain = replace(record(["a", "b", "c", "d"], (1.0,) * 4), labels=(rated,))
    made = of_prm([chain], tokenizer)
    assert made.examples[0].targets == (1.0, 1.0, 0.3)
    settings = replace(PRM, method=Method(head="3-class"))
    made = of_prm([chain], tokenizer, settings)
    assert made.examples[0].targets == (1.0, 0.5, 0.5, 0.3)
