"""Jobs side by side: what they return, say and raise, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from rung.core import InputError, RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress
from rung.loop.side_by_side import Job, run_side_by_side


@dataclass
class Heard:
    """A `Progress` that remembers."""

    said: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])

    def start(self, what: str, total: int | None = None) -> None:
        self.said.append(("start", what, total))

    def advance(self, units: int = 1, note: str = "") -> None:
        self.said.append(("advance", units, note))

    def log(self, message: str) -> None:
        self.said.append(("log", message))


def count(units: int, progress: Progress) -> int:
    progress.start("counting", units)
    print("what a library prints is no event")
    for done in range(units):
        progress.advance(note=f"{done + 1} done")
    progress.log("counted")
    return 10 * units


def fail(progress: Progress) -> int:
    raise InputError("it holds nothing", file="chains.jsonl")


def die(progress: Progress) -> int:
    os._exit(7)


def wait(marker: Path, progress: Progress) -> int:
    marker.write_text(str(os.getpid()))
    time.sleep(600)
    return 0


def linger(progress: Progress) -> int:
    time.sleep(2)
    return 0


def threads(progress: Progress) -> int:
    import torch

    return torch.get_num_threads()


def test_results_add_up_and_one_bar_shows_all_jobs() -> None:
    heard = Heard()
    jobs: dict[str, Job] = {"two": partial(count, 2), "three": partial(count, 3)}
    assert run_side_by_side("count", jobs, heard) == 50
    starts = [event for event in heard.said if event[0] == "start"]
    assert starts == [("start", "get ready to count", None), ("start", "count", 5)]
    at = heard.said.index(("start", "count", 5))
    after = heard.said[at + 1 :]
    assert sum(event[1] for event in after if event[0] == "advance") == 5  # type: ignore[misc]
    assert ("log", "three: counted") in heard.said
    assert ("advance", 1, "two: 2 done") in heard.said


def test_a_job_that_is_done_first_says_nothing_more(capfd: pytest.CaptureFixture[str]) -> None:
    jobs: dict[str, Job] = {"short": partial(count, 1), "long": linger}
    assert run_side_by_side("count", jobs, Silent()) == 10
    assert "Fatal" not in capfd.readouterr().err


def test_each_job_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert run_side_by_side("look", {"a": threads}, Silent()) == 1


def test_a_mistake_keeps_its_sentence_and_stops_the_others(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    jobs: dict[str, Job] = {"good": partial(wait, marker), "bad": fail}
    with pytest.raises(RungError, match=r"chains\.jsonl: it holds nothing"):
        run_side_by_side("work", jobs, Silent())
    if marker.exists():
        assert is_gone(int(marker.read_text()))


def test_a_job_that_dies_is_named() -> None:
    with pytest.raises(RungError, match=r"work: the process for bad died \(exit code 7\)"):
        run_side_by_side("work", {"bad": die}, Silent())


def test_a_job_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from functools import partial; from pathlib import Path\n"
        "from test_side_by_side import *\n"
        "run_side_by_side('w', {'a': partial(wait, Path(sys.argv[2]))}, Silent())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), marker])
    until(lambda: marker.exists() and marker.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: is_gone(int(marker.read_text())))
    assert parent.returncode == -signal.SIGKILL and is_gone(int(marker.read_text()))


def until(holds: object, patience_s: float = 60.0) -> None:
    assert callable(holds)
    give_up_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
