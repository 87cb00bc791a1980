"""What every benchmark needs: sides in processes of their own, medians, and a table to publish."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TextIO

sys.path.append(str(Path(__file__).resolve().parents[1] / "recipes" / "common"))

import torch
from machine import processor
from pages import put

from rung.core.errors import RungError

HERE = Path(__file__).resolve().parent
SHARED_DATA = HERE.parents[1] / "shared" / "data"
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program, in an environment of its own."""

    name: str
    script: str
    """In `sides/`."""
    variable: str
    """The environment variable that names the environment's Python."""
    module: str
    """What can be imported where it is installed."""
    install: str
    """Arguments of pip."""

    def python(self) -> str:
        """The Python that has the program.

        Raises:
            RungError: None was named, or the program is not there.
        """
        python = os.environ.get(self.variable)
        look = f"importlib.util.find_spec({self.module!r})"
        probe = f"import importlib.util, sys; sys.exit({look} is None)"
        if python and subprocess.run([python, "-c", probe], check=False).returncode == 0:
            return python
        raise RungError(
            f"{self.name} is not there: make an environment with 'python -m venv ENV && "
            f"ENV/bin/pip install {self.install}' and set {self.variable}=ENV/bin/python,"
            " or leave it out with --without-peers"
        )


class Side:
    """A running side: give it a job, get its answer with what it cost."""

    def __init__(self, process: subprocess.Popen[str], answers: TextIO, log: Path) -> None:
        self._process, self._answers, self._log = process, answers, log

    def do(self, job: Mapping[str, Any]) -> Answer:
        """Do one job.

        Raises:
            RungError: The side has died.
        """
        assert self._process.stdin
        with suppress(BrokenPipeError):  # its last words are in the log
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Answer:
        """Wait for the next line that the side says."""
        line = self._answers.readline()
        if not line:
            raise RungError(f"a side of the benchmark has died; {self._log} says why")
        return json.loads(line)


@contextmanager
def start_sides(
    scripts: Mapping[str, tuple[str, str]], settings: Mapping[str, Any], out: Path
) -> Iterator[dict[str, Side]]:
    """Start sides by name, each from its Python and script, and end them together.

    They start one after another, so that loading is over when the first job is timed.
    """
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, (python, script) in scripts.items():
            sides[name] = _start([python, script], settings, out / f"{name}.log", stack)
            sides[name].answer()
        yield sides


def alternate(
    sides: Mapping[str, Side],
    jobs: Mapping[str, tuple[str, Mapping[str, Any]]],
    rounds: int,
    done: Mapping[str, Answer] | None = None,
) -> dict[str, list[Answer]]:
    """A B A B ...: each named job is done by its side once a round.

    `done` holds first answers that are there already.
    """
    answers = {name: [done[name]] if done and name in done else [] for name in jobs}
    for number in range(1, rounds + 1):
        for name, (side, job) in jobs.items():
            if len(answers[name]) < number:
                answers[name].append(sides[side].do(job))
            answer = answers[name][-1]
            took = f"{answer['seconds']:.1f} s ({answer['cpu_seconds']:.1f} s of processor)"
            print(f"{name}, round {number}: {took}", file=sys.stderr, flush=True)
    return answers


class Spread(NamedTuple):
    """Several measurements of one thing."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Least, median, most."""
        return cls(min(values), median(values), max(values))

    def shown(self, digits: int = 1) -> str:
        """As text: the median and, in brackets, the least and the most."""
        return f"{self.middle:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def ratios(above: Sequence[Answer], below: Sequence[Answer], clock: str) -> Spread:
    """How many times longer `above` took than `below`, round by round."""
    pairs = zip(above, below, strict=True)
    return Spread.of([a[clock] / b[clock] for a, b in pairs])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def conditions(settings: Mapping[str, Any]) -> str:
    """Where and when this ran: processor, cores, torch, date, command and settings.

    A path in the command is told by its last part, not where it lay on this machine.
    """
    cores = len(os.sched_getaffinity(0))
    words = (Path(word).name if "/" in word else word for word in sys.argv[1:])
    command = f"benchmarks/{Path(sys.argv[0]).name} {' '.join(words)}".strip()
    told = ", ".join(f"{name} {value}" for name, value in settings.items())
    return (
        f"`{command}`, {datetime.date.today()}; {processor()}, {cores} of {os.cpu_count()} cores "
        f"open to the run; Python {platform.python_version()}, torch {torch.__version__}; {told}."
    )


def publish(name: str, shown: str) -> None:
    """Put `shown` between the marks of `name` in README.md."""
    put(HERE / "README.md", name, shown)


def _start(
    command: Sequence[str], settings: Mapping[str, Any], log: Path, stack: ExitStack
) -> Side:
    python, script = command
    reading, writing = os.pipe()
    stream = stack.enter_context(log.open("w"))
    process = subprocess.Popen(
        [python, str(HERE / "sides" / script), json.dumps({**settings, "answers": writing})],
        stdin=subprocess.PIPE,
        stdout=stream,
        stderr=stream,
        text=True,
        cwd=log.parent,
        env=os.environ | {"OMP_NUM_THREADS": str(settings["threads"])},
        pass_fds=(writing,),
    )
    os.close(writing)
    stack.callback(_end, process)
    return Side(process, stack.enter_context(os.fdopen(reading)), log)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
