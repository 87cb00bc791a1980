"""The loop of `rung rl` with players that fail, that can be exploited, and that are many."""

import math
from dataclasses import replace

import pytest

from rung.core import Problem, RungError, StepScores, Verdict
from rung.core.codec import decode_problem
from rung.core.progress import Silent
from rung.label import LabLabeler
from rung.rl import Guards, Looking, Online, Paying, RlTraining, Updating, train_rl
from rung.rl.learner import Learner
from rung.rl.online import OnlinePrm
from rung.rl.rounds import problems_of_round
from rung.train.state import METRICS_FILE
from toy_scorers import EndsInNine as Scores
from toy_scorers import Gone

LAB = LabLabeler()


@pytest.fixture
def problems(rl_lab):
    lines = (rl_lab / "problems.jsonl").read_bytes().splitlines()
    return [decode_problem(line) for line in lines]


def settings(rl_lab, *, iterations=3, lr=1e-3, look_every=10, **more):
    updating = Updating(iterations=iterations, problems=8, chains=8, max_tokens=24, lr=lr, warmup=2)
    looking = Looking(look_every=look_every, look_chains=1)
    return RlTraining(policy=rl_lab / "policy", updating=updating, looking=looking, **more)


class Says:
    def __init__(self, verdict):
        self.verdict = verdict

    def verify(self, chains):
        return [self.verdict for _ in chains]


def rows(out, key):
    import json

    lines = (out / METRICS_FILE).read_text().splitlines()
    return [row[key] for row in map(json.loads, lines) if key in row]


PROXY = Paying(outcome_weight=0.0)


class NotNine:
    """Calls right what does not end in 9: nearly all that the policy writes at first."""

    def verify(self, chains):
        ends = [chain.texts[-1] if chain.texts else "9" for chain in chains]
        return [Verdict.INCORRECT if end.endswith("9") else Verdict.CORRECT for end in ends]


class Notes(Silent):
    def __init__(self):
        self.said = []

    def log(self, message):
        self.said.append(message)


def test_an_exploitable_prm_is_found_out(rl_lab, problems, tmp_path):
    """What is paid rises and accuracy falls; the alarm says so, and stops the run if it may."""
    told = settings(rl_lab, iterations=40, lr=4e-3, look_every=2, paying=PROXY)
    told = replace(told, updating=replace(told.updating, problems=4))
    warned, notes = replace(told, guards=Guards(alarm="warn")), Notes()
    players = {"verifier": NotNine(), "scorer": Scores()}
    train, held_out = problems[:20], problems[60:]
    went_on = train_rl(warned, train, held_out, tmp_path / "a", progress=notes, **players)
    assert went_on.steps == 40
    assert went_on.last.reward > went_on.first.reward + 0.3
    assert went_on.last.accuracy < went_on.first.accuracy - 0.3
    (first, *_) = [said for said in notes.said if said.startswith("alarm after round")]

    stopped = train_rl(told, train, held_out, tmp_path / "b", **players)
    assert stopped.ended.startswith("alarm: held-out accuracy fell from")
    assert first.startswith(f"alarm after round {stopped.steps}: ")
    assert stopped.best_step < stopped.steps


class Dipping:
    """Verifies and scores: all is right but at some looks, and pay rises all the way."""

    name, kind = "dipping", "prm"

    def __init__(self, held_out, dips):
        self.held_out, self.dips, self.looks = {p.root_id for p in held_out}, dips, -1

    def verify(self, chains):
        self.looks += chains[0].problem.root_id in self.held_out
        return [Verdict.INCORRECT if self.looks in self.dips else Verdict.CORRECT for _ in chains]

    def score(self, chains):
        score = 0.1 * (self.looks + 1)
        return [StepScores(tuple(score for _ in chain.steps), self.name) for chain in chains]


@pytest.mark.parametrize(("dips", "ends_after"), [({1, 3}, 5), ({1, 3, 4}, 4)])
def test_a_dip_at_one_look_is_no_alarm(rl_lab, problems, tmp_path, dips, ends_after):
    told = settings(rl_lab, iterations=5, look_every=1, paying=PROXY)
    train, held_out = problems[:20], problems[60:]
    player = Dipping(held_out, dips)
    report = train_rl(told, train, held_out, tmp_path / "a", verifier=player, scorer=player)
    assert report.steps == ends_after
    assert report.ended.startswith("alarm" if ends_after == 4 else "all rounds")


class Nan(Scores):
    def of(self, text):
        return math.nan


def test_a_score_that_is_no_number_ends_the_run_and_loses_nothing(rl_lab, problems, tmp_path):
    told = settings(rl_lab, paying=PROXY, guards=Guards(alarm="off"))
    nan = Nan()
    with pytest.raises(RungError, match="scorer 'exploitable': score 0 is nan"):
        train_rl(told, problems, [], tmp_path / "out", verifier=LAB, scorer=nan)
    report = train_rl(told, problems, [], tmp_path / "out", verifier=LAB, scorer=Scores())
    assert report.steps == 3


class Short(Scores):
    """A scorer into whose context nothing goes."""

    def of(self, text):
        return None


@pytest.mark.parametrize("form", ["sum", "min", "progress", "difference", "implicit"])
def test_steps_without_a_score_are_counted_and_teach_nothing(rl_lab, problems, tmp_path, form):
    told = settings(rl_lab, iterations=1, paying=Paying(form=form, outcome_weight=0.0))
    out = tmp_path / "out"
    train_rl(told, problems, [], out, verifier=LAB, scorer=Short())
    assert rows(out, "unscored_steps")[0] > 32
    assert rows(out, "reward") == [0.0] and rows(out, "gradient_norm") == [0.0]


def curve(out):
    import json

    rows = map(json.loads, (out / METRICS_FILE).read_text().splitlines())
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


def test_a_value_head_and_its_moments_are_as_if_a_run_had_never_stopped(rl_lab, problems, tmp_path):
    paying = Paying(form="difference", baseline="gae", trace=0.5)
    told = settings(rl_lab, iterations=4, look_every=2, paying=paying, save_every_s=0.0)
    whole = train_rl(told, problems, [], tmp_path / "a", verifier=NotNine(), scorer=Scores())
    with pytest.raises(RungError, match="the server is gone"):
        train_rl(told, problems, [], tmp_path / "b", verifier=NotNine(), scorer=Gone())
    assert len(curve(tmp_path / "b")) == 2
    again = train_rl(told, problems, [], tmp_path / "b", verifier=NotNine(), scorer=Scores())
    assert curve(tmp_path / "b") == curve(tmp_path / "a")
    assert again.weights_hash == whole.weights_hash
    names = [path.name for path in (tmp_path / "b").iterdir()]
    assert "model.safetensors" in names and "state" not in names


class Clock:
    """A clock that only a slow scorer moves."""

    now_s = 0.0

    def monotonic(self):
        return self.now_s


class Slow(Scores):
    def __init__(self, clock):
        self.clock = clock

    def score(self, chains):
        self.clock.now_s += 100.0
        return super().score(chains)


def test_no_round_holds_a_problem_twice_and_all_have_their_turn(problems):
    seven = problems[:7]
    rounds = [problems_of_round(seven, 3, step, seed=0) for step in range(40)]
    assert all(len(set(one)) == 3 for one in rounds)
    assert all(not set(a) & set(b) for a, b in zip(rounds[::2], rounds[1::2], strict=True))
    assert {k for one in rounds for k in one} == set(range(7))


def test_a_slow_scorer_makes_rounds_slow_and_nothing_else(rl_lab, problems, tmp_path, monkeypatch):
    told, clock = settings(rl_lab, iterations=2, paying=PROXY), Clock()
    monkeypatch.setattr("rung.rl.rounds.time", clock)
    fast = train_rl(told, problems, [], tmp_path / "fast", verifier=LAB, scorer=Scores())
    slow = train_rl(told, problems, [], tmp_path / "slow", verifier=LAB, scorer=Slow(clock))
    parts = rows(tmp_path / "slow", "seconds_by_part")
    assert [{part for part, spent_s in row.items() if spent_s} for row in parts] == [
        {"scoring"}
    ] * 2
    assert [row["scoring"] for row in parts] == [100.0] * 2
    assert rows(tmp_path / "slow", "reward") == rows(tmp_path / "fast", "reward")
    assert slow.weights_hash == fast.weights_hash


def test_what_an_online_prm_takes_is_scoring(rl_lab, problems, tmp_path, monkeypatch):
    clock, plain = Clock(), OnlinePrm.step_rewards

    def slow(*args):
        clock.now_s += 100.0
        return plain(*args)

    monkeypatch.setattr("rung.rl.rounds.time", clock)
    monkeypatch.setattr(OnlinePrm, "step_rewards", slow)
    told = settings(rl_lab, iterations=1, paying=Paying(form="implicit"), online=Online())
    train_rl(told, problems, [], tmp_path / "out", verifier=LAB)
    assert rows(tmp_path / "out", "seconds_by_part")[0]["scoring"] == 100.0
    assert rows(tmp_path / "out", "tokens_scored")[0] > 0


def test_timeouts_and_nothing_but_equal_rewards_move_nothing(rl_lab, problems, tmp_path):
    told = settings(rl_lab, paying=Paying(form="outcome"))
    out = tmp_path / "out"
    report = train_rl(told, problems, [], out, verifier=Says(Verdict.TIMEOUT))
    assert rows(out, "timeouts") == [64] * 3 and rows(out, "outcome") == [0.0] * 3
    assert rows(out, "settled_problems") == [8] * 3
    assert rows(out, "gradient_norm") == [0.0] * 3 and rows(out, "kl") == [0.0] * 3

    from rung.model import weights_hash

    assert report.weights_hash == weights_hash(out)
    weights = [f / "model.safetensors" for f in (out, rl_lab / "policy")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_problems_whose_chains_earn_the_same_are_not_read_and_nothing_else_changes(
    rl_lab, problems, tmp_path, monkeypatch
):
    told, read = settings(rl_lab, paying=Paying(form="outcome")), list[int]()
    chosen = Learner._moving

    def counted(self, experiences, of):
        moving = chosen(self, experiences, of)
        read.append(len(moving))
        return moving

    for name, moving in (("some", counted), ("all", lambda _, experiences, of: experiences)):
        monkeypatch.setattr(Learner, "_moving", moving)
        train_rl(told, problems, [], tmp_path / name, verifier=LAB)
    settled = rows(tmp_path / "some", "settled_problems")
    assert read == [8 * (8 - count) for count in settled] and 0 < sum(settled) < 24
    for key in ("loss", "gradient_norm", "clipped", "kl"):
        assert rows(tmp_path / "some", key) == pytest.approx(rows(tmp_path / "all", key), abs=1e-5)


def test_chains_that_are_cut_off_are_counted_and_earn_nothing(rl_lab, problems, tmp_path):
    told = settings(rl_lab, iterations=1, paying=PROXY)
    told = replace(told, updating=replace(told.updating, max_tokens=1))
    out = tmp_path / "out"
    train_rl(told, problems, [], out, verifier=LAB, scorer=Scores())
    assert rows(out, "cut_off")[0] > 32 and rows(out, "reward") == [0.0]


def test_the_divergence_has_a_budget(rl_lab, problems, tmp_path):
    told = settings(rl_lab, iterations=30, lr=5e-3, paying=PROXY, guards=Guards(most_kl=0.5))
    report = train_rl(told, problems, [], tmp_path / "out", verifier=LAB, scorer=Scores())
    assert report.ended.startswith("KL: a chain is") and report.steps < 30
    assert rows(tmp_path / "out", "kl")[-1] > 0.5 >= rows(tmp_path / "out", "kl")[-2]


def test_questions_that_fill_the_context_are_left_out(rl_lab, problems, tmp_path):
    long = [Problem(f"long-{k}", f"{k} " * 70, "1") for k in range(2)]
    told = settings(rl_lab, iterations=1, paying=PROXY)
    notes = Notes()
    players = {"verifier": LAB, "scorer": Scores()}
    train_rl(told, problems[:8] + long, [], tmp_path / "out", progress=notes, **players)
    assert "2 questions fill the policy's context and are left out" in notes.said
    with pytest.raises(RungError, match="a round takes 8 problems, but there are only 7"):
        train_rl(told, problems[:7] + long, [], tmp_path / "none", **players)
    assert not (tmp_path / "none").exists()


def test_a_run_may_end_where_it_is_good_enough(rl_lab, problems, tmp_path):
    told = settings(rl_lab, iterations=9, look_every=1, paying=PROXY)
    told = replace(told, looking=replace(told.looking, until_accuracy=0.01))
    players = {"verifier": NotNine(), "scorer": Scores()}
    report = train_rl(told, problems[:8], problems[60:], tmp_path / "out", **players)
    assert report.steps == 0 and report.ended.startswith("accuracy: ")
