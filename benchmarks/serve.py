"""200 clients score at once through `rung serve`, beside the bare scorer on the same chains.

Each request is one GSM8K question with solutions of several models. First the throughput: the bare
scorer, then the server in a process of its own, in turn, round by round; every answer is held
against the bare scorer's. Then waves in which each client opens a session and scores, and half of
them vanish while their request is under way: what is left behind is counted, and the memory.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import torch
import tyro
from common import SHARED_DATA, Spread, conditions, publish, table
from sides.asking import Line, ask_all
from workloads import SOLUTIONS

from rung.core import Chain, RungError
from rung.data import load
from rung.model import Reading, new_reward_model, save_reward_model
from rung.model.tiny import make_tiny
from rung.score import RewardScorer, load_scorer
from rung.score.stream import WINDOW

GOAL = "at least 0.85"
GAUGES = ("rung_waiting", "rung_held_prefixes", "rung_kept_tokens", "rung_sessions")
TICKS = os.sysconf("SC_CLK_TCK")
Group = list[Chain]
Scores = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """The defaults make the numbers in README.md."""

    clients: int = 200
    requests: int = 1
    """Of each client."""
    chains: int = 4
    """In a request, all of one question."""
    width: int = 128
    """Of the untrained PRM."""
    layers: int = 4
    rounds: int = 3
    idle_s: float = 30.0
    """After so long a session ends that its client left open: longer than any is waited for."""
    waves: int = 3
    """In each of which half the clients vanish."""
    data: Path = SHARED_DATA
    """The folder of real data."""
    publish: bool = False
    """Put what came out into README.md."""


class Took(NamedTuple):
    """What scoring all chains took."""

    wall_s: float
    cpu_s: float
    scores: list[Scores]


def main(benchmark: Serve) -> None:
    """Throughput, then waves."""
    torch.set_num_threads(1)
    groups = list(_groups(benchmark))
    with TemporaryDirectory() as folder:
        prm = _make_prm(Path(folder), groups, benchmark)
        scorer = load_scorer(prm)
        with _server(prm, Path(folder) / "log", benchmark) as server:
            before_mib = server.rss_mib
            rounds = [_round(scorer, server, groups, benchmark) for _ in range(benchmark.rounds)]
            waves = range(benchmark.waves)
            left = [asyncio.run(_wave(server, groups, benchmark, number)) for number in waves]
    text = _shown(groups, rounds, left, benchmark, before_mib)
    print(text)
    if benchmark.publish:
        publish("serve", text)


def _groups(benchmark: Serve) -> Iterator[Group]:
    """Requests: chains of one question each."""
    path = benchmark.data / SOLUTIONS
    if not path.exists():
        raise RungError(f"there is no {path}; --data names the folder of real data")
    by_question: dict[str, Group] = {}
    for record in load(path):
        group = by_question.setdefault(record.chain.problem.question, [])
        if len(group) < benchmark.chains:
            group.append(Chain(record.chain.problem, record.chain.steps))
    whole = (group for group in by_question.values() if len(group) == benchmark.chains)
    yield from islice(whole, benchmark.clients * benchmark.requests)


def _make_prm(folder: Path, groups: Sequence[Group], how: Serve) -> Path:
    texts = [text for group in groups[:200] for chain in group for text in chain.texts]
    make_tiny(
        folder / "trunk", texts, seed=0, width=how.width, num_layers=how.layers, max_tokens=2048
    )
    model, loaded = new_reward_model(folder / "trunk", seed=0)
    save_reward_model(model, loaded.tokenizer, Reading(kind="prm", max_tokens=2048), folder / "prm")
    return folder / "prm"


def _round(
    scorer: RewardScorer, server: Server, groups: Sequence[Group], how: Serve
) -> tuple[Took, Took]:
    alone = _score(scorer, groups)
    far = asyncio.run(_ask(server, groups, how))
    for name, took in (("bare", alone), ("server", far)):
        print(f"{name}: {took.wall_s:.1f} s, {took.cpu_s:.1f} s of processor", file=sys.stderr)
    return alone, far


async def _ask(server: Server, groups: Sequence[Group], how: Serve) -> Took:
    """All groups, each client its own requests one after the other."""
    bodies = [_body(group) for group in groups]
    shares = [bodies[k :: how.clients] for k in range(how.clients)]
    began_s, cpu_s = time.monotonic(), server.cpu_s
    answers = await ask_all(server.port, "/v1/score", shares)
    took_s, cpu_s = time.monotonic() - began_s, server.cpu_s - cpu_s
    found: list[Any] = [None] * len(bodies)
    for k, own in enumerate(answers):
        found[k :: how.clients] = own
    scores = [tuple(one["scores"]) for answer in found for one in answer["results"]]
    return Took(took_s, cpu_s, scores)


class Left(NamedTuple):
    """What a wave left behind."""

    answered: int
    vanished: int
    gauges: dict[str, float]
    rss_mib: float


async def _wave(server: Server, groups: Sequence[Group], how: Serve, number: int) -> Left:
    draw = random.Random(number)
    chosen = [draw.choice(groups) for _ in range(how.clients)]
    visits = (
        _visit(server.port, group, draw.uniform(0, 1.0) if k % 2 else None)
        for k, group in enumerate(chosen)
    )
    answered = sum(await asyncio.gather(*visits))
    gauges = await _settled(server, how.idle_s)
    return Left(answered, how.clients // 2, gauges, server.rss_mib)


async def _visit(port: int, group: Group, vanishes_s: float | None) -> int:
    """A client's session and request; how many of its chains were scored, if it stays so long."""
    async with Line(port) as line:
        if vanishes_s is None:
            return await _work(line, group)
        with suppress(TimeoutError):
            await asyncio.wait_for(_work(line, group), vanishes_s)
        return 0


async def _work(line: Line, group: Group) -> int:
    problem = msgspec.to_builtins(group[0].problem)
    opened = await line.ask("/v1/sessions", {"problem": problem})
    step = {"prefix": opened["prefix"], "step": {"text": group[0].texts[0]}}
    session = f"/v1/sessions/{opened['session']}"
    await line.ask(f"{session}/extend", {"steps": [step]})
    answer = await line.ask("/v1/score", _body(group))
    await line.ask(session, method="DELETE")
    return len(answer["results"])


async def _settled(server: Server, idle_s: float) -> dict[str, float]:
    """The gauges when all is let go, or some time after the last session must have ended."""
    end_s = time.monotonic() + 2 * idle_s + 10
    async with Line(server.port) as line:
        while True:
            lines = (await line.read("/metrics")).decode().splitlines()
            found = {
                name: sum(float(row.split()[-1]) for row in lines if row.startswith(name + "{"))
                for name in GAUGES
            }
            if not any(found.values()) or time.monotonic() > end_s:
                return found
            await asyncio.sleep(0.5)


def _body(group: Group) -> bytes:
    return msgspec.json.encode({"chains": group})


class Server(NamedTuple):
    """`rung serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def cpu_s(self) -> float:
        """Processor time so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    @property
    def rss_mib(self) -> float:
        """Memory in use."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [kib] = (line.split()[1] for line in lines if line.startswith("VmRSS"))
        return int(kib) / 1024


@contextmanager
def _server(prm: Path, log: Path, how: Serve) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rung.cli.main", "serve", "--scorer", str(prm)]
    command += ["--port", str(port), "--session-idle-s", str(how.idle_s)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream, env=environment)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None:
                raise RungError(f"the server has died: {log.read_text()}")
            time.sleep(0.1)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait()


def _score(scorer: RewardScorer, groups: Sequence[Group]) -> Took:
    chains = [chain for group in groups for chain in group]
    began_s, cpu_s = time.monotonic(), time.process_time()
    windows = (chains[at : at + WINDOW] for at in range(0, len(chains), WINDOW))
    scores = [one.scores for window in windows for one in scorer.score(window)]
    return Took(time.monotonic() - began_s, time.process_time() - cpu_s, scores)


def _shown(
    groups: Sequence[Group],
    rounds: Sequence[tuple[Took, Took]],
    left: Sequence[Left],
    how: Serve,
    before_mib: float,
) -> str:
    rows = [_row("the bare scorer", groups, [alone for alone, _ in rounds])]
    rows.append(_row(f"`rung serve`, {how.clients} clients", groups, [far for _, far in rounds]))
    walls = Spread.of([alone.wall_s / far.wall_s for alone, far in rounds]).shown(2)
    cpus = Spread.of([alone.cpu_s / far.cpu_s for alone, far in rounds]).shown(2)
    rows.append([f"throughput: server / bare ({GOAL})", "", walls, cpus])
    apart = max(_apart(alone.scores, far.scores) for alone, far in rounds)
    asked = how.requests * how.clients * len(rounds)
    lost = asked * how.chains - sum(len(far.scores) for _, far in rounds)
    said = f"Of {asked} requests {lost} answers were lost; scores are at most {apart:.0e} apart."
    said += f" Before the first request the server took {before_mib:.0f} MiB."
    waves = [
        [str(k), f"{one.answered // how.chains} of {how.clients - one.vanished}", str(one.vanished)]
        + [f"{one.gauges[name]:.0f}" for name in GAUGES]
        + [f"{one.rss_mib:.0f}"]
        for k, one in enumerate(left, start=1)
    ]
    head = ["wave", "answered", "vanished", "jobs that wait", "held prefixes", "kept tokens"]
    return "\n\n".join(
        [
            table(["side", "chains a second", "seconds", "of processor"], rows),
            said,
            table([*head, "sessions", "memory, MiB"], waves),
            conditions(_settings(how)),
        ]
    )


def _apart(ours: Sequence[Scores], theirs: Sequence[Scores]) -> float:
    """The largest difference between scores; infinite where one side alone has none."""
    pairs = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    known = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    both_none = sum(a is None and b is None for a, b in pairs)
    return max(known) if len(known) + both_none == len(pairs) else math.inf


def _settings(how: Serve) -> dict[str, Any]:
    return {
        "chains": how.clients * how.requests * how.chains,
        "in a request": how.chains,
        "width": how.width,
        "layers": how.layers,
        "rounds": how.rounds,
        "threads": "1 a process",
    }


def _row(name: str, groups: Sequence[Group], took: Sequence[Took]) -> list[str]:
    num_chains = sum(map(len, groups))
    rate = Spread.of([num_chains / one.wall_s for one in took]).shown(0)
    walls, cpus = ([one[k] for one in took] for k in (0, 1))
    return [name, rate, Spread.of(walls).shown(1), Spread.of(cpus).shown(1)]


if __name__ == "__main__":
    main(tyro.cli(Serve))
