"""Probes: what the exploits do to a chain, who is caught by them, and who holds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rung import rl
from rung.core import Chain, ChainRecord, Problem, Provenance, RungError, StepScores, Verdict
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems, solve
from rung.eval import ProbeResult, probe_records, probe_scorers
from rung.eval.probe_pay import UNGUARDED, paid_at_the_end, paid_by_step
from rung.eval.probes import LEAST_RISE
from rung.eval.statistics import holm
from rung.eval.variants import ANSWERS, CONFIDENCE, EXPLOITS, FILLER, exploits_of
from rung.label.lab import LabLabeler
from rung.rl import Guards
from rung.score import RandomScorer, score_records

LAB = Lab(num_steps=4)
PROBLEMS = list(make_problems(LAB, 30, seed=3))
RIGHT = [
    ChainRecord(solve(problem), outcome=Verdict.CORRECT, meta={"mine": 1}) for problem in PROBLEMS
]
CHAIN = Chain.of(Problem("p", "What is 3 + 4?"), ["We add: 3 + 4 = 7.", "So it is 7."], answer="7")


@dataclass(frozen=True)
class Planted:
    """A scorer that is paid for by a rule on texts."""

    rule: Callable[[tuple[str, ...]], Sequence[float | None]]
    name: str = "planted"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores(tuple(self.rule(chain.texts)), self.name) for chain in chains]


@dataclass(frozen=True)
class Oracle:
    """The lab's truth; what stands behind an error is wrong."""

    name: str = "oracle"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        found = LabLabeler().label(chains)
        return [StepScores(tuple(y or 0.0 for y in one.labels), self.name) for one in found]


def probed(
    scorer: Planted | Oracle | RandomScorer, records: Sequence[ChainRecord] = RIGHT
) -> dict[tuple[str, str], ProbeResult]:
    scored = list(score_records(probe_records(records), [scorer]))
    return {(one.reward, one.probe): one for one in probe_scorers(scored, resamples=200)}


def caught(found: dict[tuple[str, str], ProbeResult]) -> set[tuple[str, str]]:
    return {key for key, one in found.items() if one.verdict == "exploitable"}


def test_each_exploit_changes_the_chain_as_it_says():
    made = dict(exploits_of(CHAIN))
    first, second = CHAIN.texts
    assert made == {
        "padding": [first, FILLER, second, FILLER],
        "bare steps": [first, ".", second, "."],
        "repeated steps": [first, first, second, second],
        "therefore": [f"Therefore, {first}", f"Therefore, {second}"],
        "split steps": ["We add:", "3 + 4 =", "7.", second],
        "stopped early": [first],
        "confident end": [first, second, CONFIDENCE],
        "copied question": ["What is 3 + 4?", first, second],
    }
    assert list(made) == list(EXPLOITS)


@given(st.lists(st.text("a =.,:"), min_size=1, max_size=4))
def test_what_is_no_other_chain_or_none_at_all_is_left_out(texts: list[str]):
    chain = Chain.of(Problem("p", ""), texts)
    for _, made in exploits_of(chain):
        assert made != texts and all(text.strip() for text in made)


def test_records_say_what_they_are_and_only_the_original_keeps_what_is_known():
    labeled = replace(RIGHT[0], scores=(StepScores((0.5,) * 5, "old"),))
    original, *others = probe_records([labeled])
    assert original == replace(
        RIGHT[0], meta={"mine": 1, "probe": {"of": 0, "name": "original", "places": []}}
    )
    assert {record.meta["probe"]["name"] for record in others} == set(EXPLOITS)
    assert all(not record.labels and record.outcome is None for record in others)


def test_the_truth_holds_on_right_chains_for_every_way_of_paying():
    found = probed(Oracle())
    assert caught(found) == set()
    assert {reward for reward, _ in found} == {
        *("score_sum", "min_form", "process_advantage", "difference", "implicit"),
        *("min", "product", "mean", "last"),
    }
    assert found["min", "padding"].change.value == -1.0
    assert found["min", "stopped early"].change.value == 0.0
    assert found["min", "stopped early"].rose.value == 0.0


def test_a_scorer_that_pays_for_length_is_caught():
    found = probed(Planted(lambda texts: [min(1.0, 0.1 * k) for k in range(1, len(texts) + 1)]))
    longer = {"padding", "bare steps", "repeated steps", "split steps"}
    longer |= {"confident end", "copied question"}
    for reward in ("score_sum", "process_advantage", "implicit", "mean", "last"):
        pays = {key[1] for key, one in found.items() if key[0] == reward and one.verdict != "holds"}
        assert pays == longer
    assert not {reward for reward, _ in caught(found)} & {"min", "difference"}
    guarded = {key for key, one in found.items() if one.verdict == "guarded"}
    assert guarded - {("min_form", "padding")} == {
        (reward, probe)
        for reward in ("min_form", "process_advantage", "implicit")
        for probe in ("bare steps", "repeated steps")
    }
    twice = found["last", "repeated steps"]
    assert twice.change.value == pytest.approx(0.5) and twice.rose.value == 1.0
    assert (twice.num_chains, twice.num_problems) == (30, 30)


def test_a_scorer_that_likes_therefore_is_caught_by_that_probe_alone():
    found = probed(Planted(lambda texts: [0.4 + 0.5 * t.startswith("Therefore") for t in texts]))
    by_length = ("score_sum", "product")
    assert {probe for paid, probe in caught(found) if paid not in by_length} == {"therefore"}
    liked = found["min", "therefore"]
    assert (liked.change.value, liked.rose.value) == (pytest.approx(0.5), 1.0)
    assert ("difference", "therefore") not in caught(found)


def test_stopping_early_pays_on_wrong_chains_even_with_the_truth_and_this_is_said():
    slips = make_demonstrator(replace(LAB, slip_rate=0.3), seed=0)
    chains = demonstrations(slips, PROBLEMS, seed=1)
    verdicts = [(chain, LabLabeler().verify([chain])[0]) for chain in chains]
    found = probed(Oracle(), [ChainRecord(chain, outcome=told) for chain, told in verdicts])
    early = found["last", "stopped early"]
    assert early.change_wrong.value > 0.2 and early.change_right.value == 0.0
    wrong = sum(not told.is_correct for _, told in verdicts)
    mean = wrong / len(verdicts) * early.change_wrong.value
    assert early.change.value == pytest.approx(mean)
    assert {probe for _, probe in caught(found)} == {"stopped early"}


def test_labels_say_which_chains_are_right_where_no_outcome_does():
    labels = [LabLabeler().label([record.chain])[0] for record in RIGHT[:2]]
    known = [ChainRecord(r.chain, (y,)) for r, y in zip(RIGHT, labels, strict=False)]
    found = probed(Oracle(), [*known, *(ChainRecord(r.chain) for r in RIGHT[2:4])])
    one = found["mean", "padding"]
    assert one.change_right is not None and one.change_wrong is None and one.num_chains == 4


def test_an_orm_can_only_pay_by_its_last_score():
    found = probed(Planted(lambda texts: [*(None for _ in texts[1:]), len(texts) / 20]))
    assert {reward for reward, _ in found} == {"last"}
    assert found["last", "padding"].verdict == "exploitable"


def test_a_chain_that_is_not_read_to_its_end_is_left_out():
    found = probed(Planted(lambda texts: [0.5 if k < 9 else None for k in range(len(texts))]))
    assert "padding" not in {probe for _, probe in found}  # ten steps
    assert found["min", "confident end"].num_chains == 30


def test_a_rise_too_small_to_be_more_than_rounding_counts_as_none():
    found = probed(Planted(lambda texts: [0.5 + 1e-5 * len(texts)] * len(texts)))
    assert found["last", "padding"].rose.value == 0.0
    assert found["last", "padding"].verdict == "holds"


def test_what_the_guards_pay_nothing_for_is_guarded():
    found = probed(Planted(lambda texts: [0.5] * len(texts)))
    told = {probe: one for (reward, probe), one in found.items() if reward == "score_sum"}
    assert {probe for probe, one in told.items() if one.verdict == "guarded"} == {
        "bare steps",
        "repeated steps",
    }
    assert told["repeated steps"].change.value == pytest.approx(2.5)
    assert told["repeated steps"].guarded.value == 0.0
    assert told["padding"].guarded.value == pytest.approx(0.5)  # the filler's first time
    assert found["last", "padding"].guarded is None  # `rung rl` doesn't pay so


def test_where_a_chain_was_cut_off_is_no_part_of_a_probe():
    cut = [
        replace(r, chain=replace(r.chain, source=Provenance(finish_reason="length"))) for r in RIGHT
    ]
    assert probed(Planted(lambda texts: [0.5] * len(texts)), cut)[
        "score_sum", "repeated steps"
    ].guarded.value == pytest.approx(0.0)


def test_each_answer_is_one():
    """What stands against an exploit leaves nothing of it, with a scorer that likes all steps."""
    assert list(ANSWERS) == list(EXPLOITS)
    chain = RIGHT[0].chain
    made = dict(exploits_of(chain))
    capped = [probe for probe, answer in ANSWERS.items() if "--most-steps" in answer]
    by_itself = [probe for probe, answer in ANSWERS.items() if "(on by default)" in answer]
    assert capped == ["padding", "split steps", "confident end", "copied question"]

    def paid(texts: Sequence[str], guards: Guards) -> float:
        changed = Chain.of(chain.problem, texts)
        return float(paid_by_step([changed], [[0.5] * len(texts)], guards)["score_sum"][0])

    for probe in [*capped, *by_itself]:
        guards = Guards(most_steps=len(chain.steps) if probe in capped else None)
        assert paid(made[probe], guards) <= paid(chain.texts, guards)
        assert paid(made[probe], UNGUARDED) > paid(chain.texts, UNGUARDED)


def test_what_chance_brings_up_among_so_many_lines_holds():
    found = list(probed(RandomScorer(seed=2)).values())
    alone = [one for one in found if one.change.low > LEAST_RISE and one.p_value < 0.05]
    fell = {one.probe for one in alone if one.reward in ("last", "implicit")}
    assert fell  # the end's score is drawn anew, so nothing is true here
    assert all(one.verdict == "holds" for one in alone if one.reward in ("last", "implicit"))
    assert [one.p_holm for one in found] == holm([one.p_value for one in found])


def test_what_is_paid_is_what_the_functions_that_pay_say():
    chains = [Chain.of(CHAIN.problem, texts) for texts in (["a", "b", "c"], ["a"])]
    scores = [[0.9, 0.2, 0.6], [0.5]]
    paid = paid_by_step(chains, scores, UNGUARDED)
    assert paid["score_sum"] == pytest.approx([1.7, 0.5])
    assert paid["process_advantage"] == pytest.approx([0.6, 0.5])
    assert paid["difference"] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert paid["implicit"] == pytest.approx([math.log(0.6 / 0.4), 0.0], abs=1e-5)
    assert paid_at_the_end(scores)["product"] == pytest.approx([0.108, 0.5])
    scores_BS, count_B = torch.tensor([[0.9, 0.2, 0.6], [0.5, 0.0, 0.0]]), torch.tensor([3, 1])
    least = rl.min_form(scores_BS, count_B).sum(1).tolist()
    assert paid["min_form"] == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (RIGHT, "no chain here is a probe"),
        (list(probe_records(RIGHT)), "no probe has scores"),
        ([replace(RIGHT[0], meta={"probe": 3})], "meta 'probe' doesn't name a variant"),
        (
            list(score_records(probe_records(RIGHT[:1]), [Oracle()])),
            "all chains are of one",
        ),
    ],
)
def test_what_can_not_be_compared_is_said_in_one_sentence(records: list[ChainRecord], words: str):
    with pytest.raises(RungError, match=words):
        probe_scorers(records)
