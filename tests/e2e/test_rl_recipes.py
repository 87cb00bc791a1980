"""The recipes of reinforcement learning: their measures, and small runs from end to end."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rung.core import (
    Chain,
    ChainRecord,
    Problem,
    RungError,
    Step,
    StepLabels,
    StepScores,
    Verdict,
    write_records,
)
from rung.data.lab import demonstrations, make_demonstrator, make_problems
from toy_quickstart import one_after_the_other

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@contextmanager
def modules_of(recipe: str, *more: str) -> Iterator[dict]:
    """A recipe's modules, gone again afterwards: other recipes have some of the same name."""
    before, names = list(sys.path), ("run", "measure", "report", "picture", "policies", "sizes")
    names += ("cells", "lab_runs", "stages")
    sys.path[:0] = [str(RECIPES / name) for name in (recipe, *more)]
    try:
        import run

        yield {"run": run, **{name: sys.modules[name] for name in names if name in sys.modules}}
    finally:
        sys.path[:] = before
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def steps():
    with modules_of("rl-step-reward") as found:
        yield found


def scored(number, *, right):
    """A chain of one step, whose score tells a right one from a wrong one."""
    problem = Problem(id=f"p{number}", question=f"{number}?", answer="1")
    chain = Chain(problem, (Step("1" if right else "2"),), answer="1" if right else "2")
    labels = StepLabels((int(right),), "lab")
    scores = StepScores((0.9 if right else 0.1,), "prm")
    outcome = Verdict.CORRECT if right else Verdict.INCORRECT
    return ChainRecord(chain, (labels,), (scores,), outcome)


def curve(measure, pay, accuracy, seed=0, stopped=False):
    tokens = tuple(1000 * k for k in range(len(accuracy)))
    return measure.Curve(
        num_steps=4,
        rate=0.2,
        lost_by="slips",
        pay=pay,
        seed=seed,
        tokens=tokens,
        accuracy=accuracy,
        seconds=1.0,
        stopped=stopped,
    )


def test_tokens_to_the_target_are_read_between_looks(steps):
    found = curve(steps["measure"], "steps", (0.2, 0.4, 0.8))
    assert found.tokens_to(0.5) == pytest.approx(1250)
    assert found.tokens_to(0.9) is None
    assert found.tokens_to(0.1) == 0


@pytest.mark.parametrize(
    ("ended", "stopped"),
    [
        ("alarm: held-out accuracy fell from 39.0% to 27.5%", True),
        ("KL: a chain is 41.17 nats from the reference, beyond 30", True),
        ("accuracy: 56.0% of held-out chains are right", False),
        ("all rounds are done", False),
    ],
)
def test_a_curve_tells_whether_a_guard_stopped_the_run(steps, tmp_path, ended, stopped):
    (tmp_path / "training.json").write_text(json.dumps({"ended": ended}))
    look = {"tokens_sampled": 10, "held_out_accuracy": 0.5, "seconds": 1.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(look) + "\n" + json.dumps({"kl": 1.0}))
    found = steps["measure"].curve_in(tmp_path, (4, 0.2, "slips"), "prm", 0)
    assert found.stopped is stopped and found.tokens == (10,)


def test_the_table_says_who_did_not_arrive(steps):
    tokens = steps["report"]._tokens
    assert tokens([None, None], [True, True]) == "all stopped by a guard"
    assert tokens([0.0, None], [True, True]) == "0 k, stopped by a guard"
    assert tokens([None, None], [True, False]) == "stopped by a guard, not reached"


def test_the_ratio_has_an_interval_or_a_bound(steps):
    measure = steps["measure"]
    reached = [
        curve(measure, "outcome", (0.0, 0.25, 0.5), 0),
        curve(measure, "steps", (0.0, 0.5), 0),
        curve(measure, "outcome", (0.0, 0.1, 0.2, 0.3, 0.5), 1),
        curve(measure, "steps", (0.0, 0.5), 1),
    ]
    (found,) = measure.ratios(reached, 0.5)
    assert found.ratio == pytest.approx(8**0.5) and found.low < 1 < found.high
    assert found.at_least is found.at_most is None
    never = [curve(measure, "outcome", (0.0,) * 11, 0), *reached[1:]]
    (found,) = measure.ratios(never, 0.5)
    assert found.ratio is None and found.outcome_tokens == [None, 4000.0]
    assert found.at_least == pytest.approx(40**0.5), "10 times, as far as it ran, and 4 times"
    late = [reached[0], curve(measure, "steps", (0.0,) * 11, 0)]
    (found,) = measure.ratios(late, 0.5)
    assert found.at_most == pytest.approx(0.2) and found.at_least is None
    stopped = curve(measure, "steps", (0.2, 0.0), 0, stopped=True)
    (found,) = measure.ratios([reached[0], stopped], 0.5)
    assert found.pay_stopped == [True] and found.at_most is None, "it was stopped long before"
    (found,) = measure.ratios([never[0], late[1]], 0.5)
    assert found.at_least is found.at_most is found.ratio is None, "neither arrived"
    assert measure.ratios([reached[1]], 0.5) == [], "nothing to compare with"


def test_the_published_table_and_picture_are_those_of_the_results(steps, tmp_path):
    results = json.loads((RECIPES / "rl-step-reward" / "results.json").read_text())
    for page in ("recipes/rl-step-reward/README.md", "docs/results.md"):
        assert steps["report"].show(results) in (RECIPES.parent / page).read_text()
    again = json.loads((RECIPES / "rl-step-reward" / "results-again.json").read_text())
    readme = (RECIPES / "rl-step-reward" / "README.md").read_text()
    assert readme.index(steps["report"].show(results)) < readme.index(steps["report"].show(again))
    steps["picture"].write_picture(results, tmp_path / "curves.svg")
    drawn = RECIPES.parent / "docs" / "images" / "rl-step-reward.svg"
    assert (tmp_path / "curves.svg").read_text() == drawn.read_text()


def test_the_published_table_of_the_planted_prm_is_that_of_the_results():
    results = json.loads((RECIPES / "planted-prm" / "results.json").read_text())
    with modules_of("planted-prm", "rl-step-reward") as found:
        shown = found["run"].show(results)
    assert shown in (RECIPES / "planted-prm" / "README.md").read_text()


def test_a_start_has_lost_the_right_results_or_slips(steps):
    policies = steps["policies"]
    for lab in (policies.slipping(4, 0.05), policies.convinced(4, 0.05)):
        demonstrator = make_demonstrator(lab, seed=0)
        chains = list(demonstrations(demonstrator, make_problems(lab, 2000, seed=0), seed=0))
        right = [v.is_correct for v in policies.WholeChains().verify(chains)]
        assert sum(right) / 2000 == pytest.approx(0.05, abs=0.03)
    assert policies.slipping(4, 0.05).misconceived_share == 0
    assert policies.convinced(1, 0.01).misconceived_rate == pytest.approx(0.99)


def test_a_small_study_runs_and_is_drawn(steps, tmp_path, capsys, monkeypatch):
    run = steps["run"]
    monkeypatch.setattr(sys.modules["lab_runs"], "run_side_by_side", one_after_the_other)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(steps["cells"], "HELD_OUT", 20)
    recipe = run.Recipe(
        out=tmp_path / "study",
        lengths=(1,),
        demonstrations=350,
        unlearning=60,
        prm_problems=40,
        cells=((1, 0.5, "misconceptions", 8_000),),
        pays=("outcome", "steps", "prm"),
        seeds=1,
    )
    run.main(recipe)
    printed = capsys.readouterr().out
    assert "true step labels" in printed and "a PRM" in printed
    assert sorted(
        p.name for p in (tmp_path / "study" / "1-steps-0.5-misconceptions").iterdir()
    ) == [
        "outcome-0",
        "policy",
        "prm",
        "prm-0",
        "start.json",
        "steps-0",
    ]
    import msgspec

    results = msgspec.json.decode((tmp_path / "study" / "results.json").read_bytes())
    steps["picture"].write_picture(results, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().count('class="line"') == 6  # 3 in the legend
    run.main(recipe)  # all is there
    assert capsys.readouterr().out.splitlines()[2:] == printed.splitlines()[2:]


def test_the_planted_prm_runs_in_small(tmp_path, capsys):
    with modules_of("planted-prm", "rl-step-reward") as found:
        run = found["run"]
        run.main(run.Recipe(out=tmp_path / "planted", demonstrations=350, unlearning=60, rounds=1))
    printed = capsys.readouterr().out
    assert "| no guard | 1 |" in printed and "| the alarm | 1 |" in printed


def test_the_modern_recipe_runs_in_small(tmp_path, capsys):
    with modules_of("modern-recipe", "first-error") as found:
        run = found["run"]
        run.main(run.Recipe(out=tmp_path / "modern", seeds=1, scale=0.001, n=2))
    printed = capsys.readouterr().out
    assert "One training, 10 test problems in all" in printed
    assert printed.count("\n| SFT, then RL paid by step |") == 2, "what it gets right, how RL went"
    assert printed.count("\n| SFT, then RL paid by the answer alone |") == 2


def test_the_modern_recipe_asks_for_a_training(tmp_path):
    with modules_of("modern-recipe", "first-error") as found:
        run = found["run"]
        with pytest.raises(RungError, match="--seeds is 0, expected at least 1"):
            run.main(run.Recipe(out=tmp_path / "modern", seeds=0))
    assert not list(tmp_path.iterdir())


def test_a_share_of_several_trainings_has_the_interval_of_trainings_and_pairs(tmp_path):
    with modules_of("modern-recipe", "first-error") as found:
        measure, stages = found["measure"], found["stages"]
        folders = [tmp_path / "0", tmp_path / "1"]
        for folder, rights in zip(folders, ((1, 0), (1, 1)), strict=True):
            folder.mkdir()
            for policy in stages.POLICIES:
                chains = [scored(p, right=right) for p, right in enumerate(rights)]
                write_records(stages.scored_file(folder, policy), chains * 2)
                write_records(stages.searched_file(folder, policy), chains)
        told = measure.measured(folders, 2)
    (row, *_) = told["rows"]
    assert told["num_problems"] == 4
    assert row["one"]["accuracy"] == row["beam"]["accuracy"] == 0.75
    assert row["one"]["low"] < 0.5 < row["one"]["high"] == 1.0, "two trainings, which differ"
    assert row["step_auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert {gap["difference"] for gap in told["differences"]} == {0.0}
