import sys
from types import SimpleNamespace

import pytest

from rung import RungError
from rung.train import Optimization, RewardTraining, train_reward
from rung.train.trackers import load_tracker, tracked
from toy_chains import make_toy_trunk, toy_records


class Package:
    """What wandb and trackio have in common."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict]] = []

    def init(self, **options) -> None:
        self.calls.append(("init", options))

    def log(self, row, *, step: int) -> None:
        self.calls.append(("log", {"step": step, **row}))

    def finish(self) -> None:
        self.calls.append(("finish", {}))


@pytest.fixture
def package(monkeypatch):
    made = Package()
    for name in ("wandb", "trackio"):
        fake = SimpleNamespace(init=made.init, log=made.log, finish=made.finish)
        monkeypatch.setitem(sys.modules, name, fake)
    return made


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_gets_the_rows_of_the_metrics(package, tmp_path, name):
    trunk = make_toy_trunk(tmp_path / "trunk")
    fast = Optimization(lr=3e-3, batch_tokens=256, evaluate_every=2, patience=0)
    settings = RewardTraining(kind="prm", trunk=trunk, optimization=fast)
    report = train_reward(
        settings, toy_records(20), toy_records(5, 100), tmp_path / "prm", tracker=name
    )
    began, *rows, ended = package.calls
    assert began[0] == "init"
    assert (began[1]["project"], began[1]["name"], began[1]["resume"]) == ("rung", "prm", "allow")
    assert began[1]["config"]["lr"] == 3e-3
    assert ("id" in began[1]) == (name == "wandb")
    assert ended == ("finish", {})
    steps = [row["step"] for _, row in rows if "loss" in row]
    assert steps == list(range(1, report.steps + 1))
    looks = [row["validation_loss"] for _, row in rows if "validation_loss" in row]
    assert min(looks) == report.validation_loss


def test_a_run_that_fails_is_finished_too(package):
    with pytest.raises(KeyError), tracked(load_tracker("trackio"), "run", "id", {}):
        raise KeyError
    assert [call for call, _ in package.calls] == ["init", "finish"]


def test_a_missing_package_is_named_with_the_command_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    settings = RewardTraining(kind="prm", trunk="nowhere")
    with pytest.raises(RungError, match="needs the package trackio: pip install trackio"):
        train_reward(settings, [], [], tmp_path / "prm", tracker="trackio")


def test_no_tracker_is_one_too():
    with tracked(load_tracker("none"), "run", "id", {}) as nothing:
        load_tracker("none").log({"loss": 1.0}, 1)
    assert nothing is None
