"""Labels by rollouts: what they are, what they cost, and that nothing is paid twice."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from coin_policy import NUM_STEPS, CoinPolicy, chain_of, good, wrong_from
from rung.core import (
    Chain,
    InputError,
    RolloutCount,
    RungError,
    Sampling,
    StepLabels,
)
from rung.label import (
    RolloutLabels,
    RolloutLog,
    RolloutRule,
    RolloutSource,
    anytime_interval,
    label_by_rollouts,
    wilson_interval,
)

CHAINS = [
    wrong_from(2),
    wrong_from(2, problem="q"),
    wrong_from(4),
    chain_of(*good(NUM_STEPS)),
    chain_of(*good(2), answer=None),
]


def labeled(
    rule: RolloutRule,
    policy: CoinPolicy | None = None,
    log: RolloutLog | None = None,
    chains: Sequence[Chain] = CHAINS,
    seed: int = 0,
) -> tuple[list[StepLabels], RolloutLabels]:
    policy = policy or CoinPolicy()
    source = RolloutSource(policy, policy, Sampling(seed=seed), log or RolloutLog(), batch=8)
    machine = RolloutLabels.start(chains, policy.verify(chains), rule)
    label_by_rollouts(machine, source)
    return machine.result(), machine


def test_hard_labels_are_right_up_to_the_first_error_and_missing_behind_it():
    labels, _ = labeled(RolloutRule(k=16))
    assert [y.labels for y in labels] == [
        (1.0, 1.0, 0.0, None, None),
        (1.0, 1.0, 0.0, None, None),
        (1.0, 1.0, 1.0, 1.0, 0.0),
        (1.0,) * NUM_STEPS,
        (1.0, 1.0),
    ]


@pytest.mark.parametrize("rule", ["any", "majority"])
def test_adaptive_labels_are_those_of_all_k_rollouts_for_a_fraction_of_them(rule: str):
    chains = [wrong_from(first, problem=f"p{k}") for k in range(10) for first in range(NUM_STEPS)]
    policy = CoinPolicy(error_rate=0.05)
    fixed, all_k = labeled(RolloutRule(labels=rule, adaptive=False), policy, chains=chains)
    quick, few = labeled(RolloutRule(labels=rule), policy, chains=chains)
    for ours, theirs in zip(quick, fixed, strict=True):
        cut = len(ours.labels) if ours.first_error is None else ours.first_error + 1
        assert ours.labels[:cut] == theirs.labels[:cut]
    assert few.spent.rollouts < all_k.spent.rollouts / 3


def test_soft_labels_count_rollouts_that_run_through_a_prefix():
    labels, machine = labeled(RolloutRule(labels="soft", k=16, margin=0.01), chains=CHAINS[3:4])
    counts = [c for c in labels[0].counts or () if c is not None]
    assert all(count.total >= 16 for count in counts)
    assert machine.spent.rollouts < sum(count.total for count in counts)
    assert labels[0].counts[-1] is None, "the last step is known by the outcome"
    assert labels[0].labels[0] == counts[0].correct / counts[0].total


def test_soft_labels_are_unbiased_estimates_of_the_known_values():
    chains = [chain_of(*good(NUM_STEPS), problem=f"p{k}") for k in range(60)]
    labels, _ = labeled(RolloutRule(labels="soft", k=32, margin=0.1), chains=chains)
    for step in range(NUM_STEPS - 1):
        mean = sum(y.labels[step] or 0 for y in labels) / len(labels)
        assert mean == pytest.approx(0.8 ** (NUM_STEPS - 1 - step), abs=0.05)


def test_the_anytime_interval_errs_no_more_than_stated_whatever_ends_the_rollouts():
    rng = random.Random(0)
    for value in (0.02, 0.3, 0.5, 0.95):
        missed = 0
        for _ in range(300):
            correct, inside = 0, True
            for total in range(1, 65):  # the worst rule: stop as soon as the interval is wrong
                correct += rng.random() < value
                low, high = anytime_interval(RolloutCount(correct, total), 0.9)
                inside = inside and low <= value <= high
            missed += not inside
        assert missed / 300 <= 0.1


def test_where_soft_labels_stop_their_intervals_err_no_more_than_stated():
    rule = RolloutRule(labels="soft", k=256, margin=0.15, confidence=0.9)
    chains = [chain_of(*good(NUM_STEPS), problem=f"p{k}") for k in range(50)]
    labels, _ = labeled(rule, chains=chains)
    missed = would_miss = 0
    for given in labels:
        for step, count in enumerate((given.counts or ())[:-1]):
            assert count is not None and count.total < rule.k, "the rule ended it, not K"
            low, high = rule.interval(count)
            assert (high - low) / 2 <= rule.margin
            value = 0.8 ** (NUM_STEPS - 1 - step)
            missed += not low <= value <= high
            would_miss += abs(value - (low + high) / 2) > (high - low) / 8
    stops = len(chains) * (NUM_STEPS - 1)
    assert missed <= 0.1 * stops < would_miss, "a quarter of the width would err more often"


@pytest.mark.parametrize(("rule", "needed"), [("any", 1), ("majority", 9)])
def test_no_more_rollouts_are_asked_for_than_may_be_enough(rule: str, needed: int):
    chain = chain_of(*good(2), answer=None)
    [labels], _ = labeled(RolloutRule(labels=rule, k=16), CoinPolicy(0.0), chains=[chain])
    first = (labels.counts or ())[0]
    assert first == RolloutCount(needed, needed)


def test_wilson_intervals_are_those_of_the_textbook():
    assert wilson_interval(RolloutCount(0, 0)) == (0.0, 1.0)
    assert wilson_interval(RolloutCount(8, 10)) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = wilson_interval(RolloutCount(0, 16))
    assert (low, high) == (0.0, pytest.approx(0.1936, abs=1e-4))


def test_intervals_narrow_as_rollouts_come():
    widths = [anytime_interval(RolloutCount(n // 2, n)).half_width for n in (0, 2, 8, 32, 128)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 0.5


def test_no_prefix_is_paid_twice_within_or_across_runs(tmp_path: Path):
    first, second = CoinPolicy(), CoinPolicy()
    with RolloutLog.open(tmp_path / "log", "coin") as log:
        labels, machine = labeled(RolloutRule(), first, log)
    assert sum(first.sampled.values()) == machine.spent.rollouts
    with RolloutLog.open(tmp_path / "log", "coin") as log:
        again, _ = labeled(RolloutRule(), second, log, [*CHAINS[2:], *CHAINS[:2]])
    assert not second.sampled
    assert [*again[-2:], *again[:-2]] == labels
    with RolloutLog.open(tmp_path / "log", "coin") as log:
        _, fixed = labeled(RolloutRule(adaptive=False), second, log)
    assert sum((first.sampled + second.sampled).values()) == fixed.spent.rollouts


@pytest.mark.parametrize("labels", ["any", "majority", "soft"])
def test_a_killed_run_goes_on_to_the_same_labels_and_pays_for_the_rest_only(
    tmp_path: Path, labels: str
):
    rule = RolloutRule(labels=labels, k=8)
    whole = CoinPolicy()
    expected, _ = labeled(rule, whole)
    killed, resumed = CoinPolicy(calls_left=3), CoinPolicy()
    with pytest.raises(KeyboardInterrupt), RolloutLog.open(tmp_path / "log", "coin") as log:
        labeled(rule, killed, log)
    with open(tmp_path / "log", "ab") as stream:
        stream.write(b'{"prefix":"half a ro')
    with RolloutLog.open(tmp_path / "log", "coin") as log:
        found, _ = labeled(rule, resumed, log)
    assert found == expected
    assert killed.sampled
    assert killed.sampled + resumed.sampled == whole.sampled


def test_one_seed_gives_the_same_labels_and_another_gives_others():
    rule = RolloutRule(labels="soft")
    assert labeled(rule)[0] == labeled(rule)[0]
    assert labeled(rule)[0] != labeled(rule, seed=1)[0]


def test_a_budget_is_kept_and_reaches_every_chain_before_any_gets_much():
    chains = [chain_of(*good(NUM_STEPS), problem=f"p{k}") for k in range(20)]
    labels, machine = labeled(RolloutRule(labels="soft", max_rollouts=50), chains=chains)
    assert machine.spent.rollouts == 50
    assert all(y.counts is not None and y.counts[0] is not None for y in labels)
    nothing, _ = labeled(RolloutRule(max_rollouts=0), chains=chains)
    assert {y.labels[0] for y in nothing} == {None}


def test_a_log_of_other_rollouts_and_a_file_that_is_no_log_are_refused_untouched(tmp_path: Path):
    with RolloutLog.open(tmp_path / "log", "coin"):
        pass
    (tmp_path / "text").write_text("my only copy")
    for name, reason in (("log", "another policy"), ("text", "no log of rollouts")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match=reason), RolloutLog.open(tmp_path / name, "dice"):
            pass
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("bad", [{"k": 0}, {"margin": 0.0}, {"confidence": 1.0}])
def test_numbers_out_of_range_are_refused(bad: dict[str, float]):
    with pytest.raises(RungError, match="expected"):
        RolloutRule(**bad)
