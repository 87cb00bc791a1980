"""Best-of-n curves from records."""

import msgspec
import numpy as np
import pytest
from eval_records import made_records

from rung.core import AGGREGATIONS, Chain, ChainRecord, Problem, RungError, StepScores, Verdict
from rung.eval import best_of_n, best_of_n_over_seeds
from rung.eval.statistics import holm


def chain(problem, number, answer, outcome, scores=None):
    chain = Chain.of(Problem(problem, problem), ["a", f"b{number}"], answer=answer)
    given = () if scores is None else (StepScores(scores, "prm"),)
    return ChainRecord(chain, scores=given, outcome=outcome)


def test_every_rule_has_a_curve_and_all_meet_at_one_chain():
    found = best_of_n(made_records(), prm="prm", orm="orm", resamples=100)
    rules = {f"prm_{rule}" for rule in AGGREGATIONS}
    others = {"orm", "weighted_orm", "majority", "random", "oracle"}
    assert set(found.curves) == rules | {f"weighted_{rule}" for rule in rules} | others
    assert found.ns == (1, 2, 4, 8)
    for curve in found.curves.values():
        assert [p.n for p in curve] == [1, 2, 4, 8]
        assert curve[0].accuracy == pytest.approx(found.pass_at_1)
        for p in curve:
            assert 0 <= p.low <= p.accuracy <= p.high <= 1


def test_the_oracle_is_the_ceiling_and_random_stays_at_pass_at_1():
    found = best_of_n(made_records(), prm="prm", orm="orm", resamples=100)
    for name, curve in found.curves.items():
        for p in curve:
            assert p.accuracy <= found.at("oracle", p.n).accuracy + 1e-9, name
    assert {p.accuracy for p in found.curves["random"]} == {found.pass_at_1}


def test_with_all_chains_the_picks_are_those_of_hand_made_selection():
    records = made_records()
    found = best_of_n(records, prm="prm", orm="orm", resamples=10)
    problems = {r.chain.problem.root_id for r in records}
    right = 0
    for problem in problems:
        mine = [r for r in records if r.chain.problem.root_id == problem]
        best = max(mine, key=lambda r: min(r.scores_by("prm").known))
        right += best.outcome.is_correct
    assert found.at("prm_min", 8).accuracy == pytest.approx(right / len(problems))


def test_gaps_are_paired_differences_of_the_curves():
    found = best_of_n(made_records(), prm="prm", orm="orm", resamples=300)
    for first, second in (("prm_min", "orm"), ("prm_product", "majority"), ("orm", "majority")):
        for n in found.ns:
            gap = found.gap_at(f"{first}_minus_{second}", n)
            expected = found.at(first, n).accuracy - found.at(second, n).accuracy
            assert gap.difference == pytest.approx(expected)
            assert gap.low <= gap.difference <= gap.high
    final = found.gap_at("prm_min_minus_orm", 8)
    assert final.low > 0 and final.p_value < 0.05 and final.wins > final.losses


def test_p_values_are_corrected_over_every_n_and_other_of_a_rule():
    found = best_of_n(made_records(), prm="prm", orm="orm", resamples=300)
    gaps = [*found.gaps["prm_min_minus_orm"], *found.gaps["prm_min_minus_majority"]]
    tested = [gap for gap in gaps if gap.n > 1]
    assert len(tested) == 2 * (len(found.ns) - 1)
    assert [gap.p_holm for gap in tested] == holm([gap.p_value for gap in tested])
    assert max(gap.p_holm / gap.p_value for gap in tested) >= 2, "several tests cost something"
    assert all(gap.p_holm == gap.p_value for gap in gaps if gap.n == 1)


def test_one_seed_gives_one_result_and_another_other_intervals():
    records = made_records()
    first, again = (best_of_n(records, prm="prm", orm="orm", resamples=50) for _ in range(2))
    assert first == again
    other = best_of_n(records, prm="prm", orm="orm", resamples=50, seed=1)
    assert other.curves["prm_min"][-1].accuracy == first.curves["prm_min"][-1].accuracy
    assert other.curves["prm_min"][-1].low != first.curves["prm_min"][-1].low or (
        other.curves["prm_min"][-1].high != first.curves["prm_min"][-1].high
    )


def test_the_order_of_chains_does_not_matter_where_the_result_is_exact():
    records = made_records(num_problems=5, num_chains=6)
    backwards = records[::-1]
    first, second = (
        best_of_n(rows, prm="prm", orm="orm", resamples=10) for rows in (records, backwards)
    )
    for name, curve in first.curves.items():
        for p in curve:
            assert second.at(name, p.n).accuracy == pytest.approx(p.accuracy), name


def test_equal_answers_written_differently_vote_together():
    right, wrong = Verdict.CORRECT, Verdict.INCORRECT
    rows = [
        chain("p", 0, "1,000", right),
        chain("p", 1, "$1000", right),
        chain("p", 2, "8", wrong),
        chain("p", 3, None, wrong),
        chain("p", 4, None, wrong),
        chain("p", 5, None, wrong),
    ]
    found = best_of_n(rows, prm=None, orm=None, ns=[6], resamples=10)
    assert found.at("majority", 6).accuracy == 1.0
    assert found.chains.without_answer == 3


def test_chains_that_cannot_be_compared_are_left_out_and_counted():
    right, wrong = Verdict.CORRECT, Verdict.INCORRECT
    rows = [
        *(chain("p", k, "7", right, (0.9, 0.9)) for k in range(4)),
        chain("p", 4, "7", None, (0.9, 0.9)),
        chain("p", 5, "7", wrong),
        *(chain("q", k, "8", wrong, (0.9, None)) for k in range(4)),
        chain("small", 0, "8", wrong, (0.9, 0.9)),
    ]
    found = best_of_n(rows, prm="prm", orm=None, ns=[1, 4], resamples=10)
    assert (found.num_problems, found.problems_left_out) == (2, 1)
    counts = found.chains
    assert (counts.used, counts.without_outcome, counts.without_scores) == (8, 1, 1)
    assert (counts.in_small_problems, counts.partly_scored) == (1, 4)
    assert "orm" not in found.curves


def test_a_chain_that_was_not_read_to_its_end_is_picked_last():
    rows = [
        chain("p", 0, "7", Verdict.INCORRECT, (0.99, None)),
        chain("p", 1, "7", Verdict.CORRECT, (0.9, 0.1)),
    ]
    found = best_of_n(rows, prm="prm", orm=None, resamples=10)
    assert found.at("prm_min", 2).accuracy == 1.0


def test_curves_go_as_far_as_nine_problems_in_ten_have_chains():
    rows = [
        chain(f"p{p}", k, "7", Verdict.CORRECT) for p in range(10) for k in range(6 if p else 2)
    ]
    found = best_of_n(rows, prm=None, orm=None, resamples=10)
    assert found.ns == (1, 2, 4, 6)
    assert found.problems_left_out == 1


def test_products_that_underflow_still_rank():
    tiny = 1e-3
    rows = []
    for number, score in enumerate((tiny, 2 * tiny)):
        steps = [f"{number} {k}" for k in range(300)]
        made = Chain.of(Problem("p", "p"), steps, answer=str(number))
        scores = StepScores((score,) * 300, "prm")
        verdict = Verdict.CORRECT if number else Verdict.INCORRECT
        rows.append(ChainRecord(made, scores=(scores,), outcome=verdict))
    found = best_of_n(rows, prm="prm", orm=None, resamples=10)
    assert found.at("prm_product", 2).accuracy == 1.0


@pytest.mark.parametrize(
    ("rows", "kwargs", "message"),
    [
        ([], {}, "there are no chains"),
        ([chain("p", 0, "7", None)], {}, "none of the 1 chains has an outcome"),
        ([chain("p", 0, "7", Verdict.CORRECT)], {"prm": "x"}, "scores by 'x'; .* by nobody"),
        ([chain("p", 0, "7", Verdict.CORRECT)], {"ns": [4]}, "no problem has 4 usable chains"),
    ],
)
def test_unusable_input_is_one_clear_sentence(rows, kwargs, message):
    with pytest.raises(RungError, match=message):
        best_of_n(rows, **{"prm": None, "orm": None, **kwargs})


def test_the_result_is_plain_json_with_numbers_from_0_to_1():
    found = best_of_n(made_records(), prm="prm", orm="orm", resamples=20)
    decoded = msgspec.json.decode(msgspec.json.encode(found))
    point = decoded["curves"]["prm_min"][-1]
    assert set(point) == {"n", "accuracy", "low", "high"}
    assert decoded["pass_at_1"] == found.pass_at_1
    assert np.isfinite([p["accuracy"] for c in decoded["curves"].values() for p in c]).all()


def test_over_seeds_the_means_are_over_all_problems_and_one_run_is_as_before():
    runs = [made_records(num_problems=6, seed=seed) for seed in (1, 2, 3)]
    found = best_of_n_over_seeds(runs, prm="prm", orm="orm")
    singles = [best_of_n(run, prm="prm", orm="orm") for run in runs]
    assert found.num_problems == 18
    for name in ("prm_min", "orm", "oracle"):
        mean = np.mean([single.at(name, 8).accuracy for single in singles])
        assert found.at(name, 8).accuracy == pytest.approx(mean)
    assert best_of_n_over_seeds(runs[:1], prm="prm", orm="orm") == singles[0]
    assert found.chains.used == sum(single.chains.used for single in singles)


def test_one_question_in_two_runs_is_two_problems():
    run = made_records(num_problems=4)
    assert best_of_n_over_seeds([run, run], prm="prm", orm="orm").num_problems == 8


def test_over_seeds_no_run_or_a_run_without_enough_chains_is_refused():
    with pytest.raises(RungError, match="no runs"):
        best_of_n_over_seeds([], prm="prm", orm="orm")
    runs = [made_records(num_chains=8), made_records(num_chains=4)]
    with pytest.raises(RungError, match="no problem has 8 usable chains; the most is 4"):
        best_of_n_over_seeds(runs, prm="prm", orm="orm", ns=[8])
