"""50 people rate 10,000 chains at once, on SQLite and on PostgreSQL, and the server is killed.

Each simulated person does what the page does: asks for a chain, sends each rating as an event with
a key of its own, sends it again when no answer came, submits. They think for a moment before each
rating, far shorter than people do. In half of the runs the server gets SIGKILL ten times, and is
started again. Afterwards the store is held against what the people know: each of their events must
be there once, as they sent it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import tyro
from common import HERE, SHARED_DATA, conditions, publish, table

from rung.core import Chain, ChainRecord, RungError
from rung.data import load
from rung.serve.tokens import hash_of, new_token
from rung.store.chains import add_chains
from rung.store.events import all_events
from rung.store.opening import Store, open_store
from rung.store.people import add_person, all_people
from rung.store.tables import claims

sys.path.insert(0, str(HERE.parent / "tests"))
from postgres import running_postgres

CHAINS = "prm800k_val_decoded.jsonl.gz"
GOAL_MS = 100.0
NAP_S = 0.05
AGAIN_S = 0.2
"""A person whose event met no server sends it again after so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """The defaults make the numbers in README.md."""

    raters: int = 50
    chains: int = 10_000
    seconds: float = 120.0
    """Of each run."""
    pause_s: float = 1.0
    """A person thinks so long before a rating, on average."""
    kills: int = 10
    """In the second run on each database."""
    data: Path = SHARED_DATA
    """The folder of the real data."""
    stores: tuple[str, ...] = ("SQLite", "PostgreSQL")
    publish: bool = False
    """Put the table into README.md beside this file."""


class Sent(NamedTuple):
    """An event of which its sender knows that it was saved."""

    event: dict[str, Any]
    took_ms: float
    """From the first try to the answer."""
    tries: int


@dataclass(slots=True)
class Rater:
    """One person, in a thread."""

    name: str
    token: str
    port: int
    pause_s: float
    stop: threading.Event
    sent: list[Sent] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    finished: bool = False
    _line: http.client.HTTPConnection | None = None

    def work(self) -> None:
        """Rate until told to stop; that may be in the middle of a chain."""
        rng = random.Random(self.name)
        while not self.stop.is_set():
            task = self._ask("/v1/annotate/next", {})[0]["task"]
            if task is None:
                break
            self._rate(task, rng)
        self.finished = True

    def _rate(self, task: dict[str, Any], rng: random.Random) -> None:
        for step in task["steps"]:
            if self.stop.wait(rng.expovariate(1 / self.pause_s)):
                return
            rating = rng.choices([-1, 0, 1], [1, 2, 7])[0]
            self._send(
                {"kind": "rate", "chain": task["chain"], "step": step["id"], "rating": rating}
            )
            if rating == -1:
                break
        self._send({"kind": "submit", "chain": task["chain"]})

    def _send(self, event: dict[str, Any]) -> None:
        event = {**event, "key": f"{self.name}-{len(self.sent) + len(self.refused)}"}
        began_s = time.perf_counter()
        answer, tries = self._ask("/v1/annotate/events", {"events": [event]})
        took_ms = (time.perf_counter() - began_s) * 1000
        [said] = answer["answers"]
        if said["status"] == "refused":
            self.refused.append(f"{event}: {said['reason']}")
        else:
            self.sent.append(Sent(event, took_ms, tries))

    def _ask(self, path: str, body: dict[str, Any]) -> tuple[Any, int]:
        """Ask until there is an answer; how often that took."""
        for tries in range(1, 10_000):
            try:
                return self._once(path, body), tries
            except (OSError, http.client.HTTPException):
                if self._line is not None:
                    self._line.close()
                self._line = None
                time.sleep(AGAIN_S)
        raise AssertionError(f"{self.name} was never answered")

    def _once(self, path: str, body: dict[str, Any]) -> Any:
        if self._line is None:
            self._line = http.client.HTTPConnection("localhost", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self._line.request("POST", path, json.dumps(body), headers)
        answer = self._line.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}: {content!r}")
        return json.loads(content)


@dataclass(slots=True)
class Server:
    """`rung annotate` in a process of its own."""

    place: str
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    cpu_s: float = 0.0

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "rung.cli.main", "annotate", "serve"]
        command += ["--store", self.place, "--port", str(self.port), "--gold-every", "0"]
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream)
        for _ in range(600):
            try:
                socket.create_connection(("localhost", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RungError(f"the server did not start; {self.log} says why")

    def end(self, how: signal.Signals) -> None:
        """Send it a signal, and wait until it is gone."""
        assert self.process is not None
        self.process.send_signal(how)
        _, _, used = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        self.cpu_s += used.ru_utime + used.ru_stime


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to."""

    store: str
    kills: int
    took_ms: np.ndarray[Any, np.dtype[np.float64]]
    """Of ratings that were answered at the first try."""
    resent: int
    """Events that were sent again."""
    seconds: float
    server_cpu_s: float
    lost: int
    doubled: int
    other: int
    """Events in the store that nobody sent, or that differ from what was sent."""
    refused: int
    shared: int
    """Chains that more people have than shall."""
    late_ms: np.ndarray[Any, np.dtype[np.float64]]
    """How late the machine woke a process that wanted to sleep for `NAP_S`, at the same time."""


def main(run: Rating) -> None:
    runs: list[Run] = []
    with TemporaryDirectory() as folder:
        for name in run.stores:
            for kills in (0, run.kills):
                with place_of(name, Path(folder) / f"{kills}.db") as place:
                    runs.append(measure(run, name, place, kills, Path(folder)))
    told = {"raters": run.raters, "chains": run.chains, "seconds a run": f"{run.seconds:g}"}
    told |= {"pause": f"{run.pause_s:g} s", "load of the machine": f"{os.getloadavg()[2]:.1f}"}
    text = f"{shown(runs)}\n\n{conditions(told)}"
    print(text)
    if run.publish:
        publish("rating", text)


@contextmanager
def place_of(name: str, file: Path) -> Iterator[str]:
    """Where a new store of a kind can be."""
    if name == "SQLite":
        yield str(file)
    else:
        with running_postgres(is_durable=True) as new_database:
            yield new_database()


def measure(run: Rating, name: str, place: str, kills: int, folder: Path) -> Run:
    """Fill a store, let people rate, and look at what is in it."""
    with open_store(place) as store:
        tokens = _fill(run, store)
        server = Server(place, _free_port(), folder / "server.log")
        server.start()
        stop = threading.Event()
        raters = [Rater(n, t, server.port, run.pause_s, stop) for n, t in tokens.items()]
        with _naps() as late_ms:
            seconds = _let_rate(run, raters, server, kills, stop)
        server.end(signal.SIGINT)
        lost, doubled, other, shared = _checked(store, raters)
    took = [s.took_ms for r in raters for s in r.sent if s.tries == 1 and s.event["kind"] == "rate"]
    resent = sum(s.tries > 1 for r in raters for s in r.sent)
    refused = sum(len(r.refused) for r in raters)
    print(f"{name}, {kills} kills: {len(took)} ratings", file=sys.stderr, flush=True)
    return Run(
        *(name, kills, np.array(took), resent, seconds, server.cpu_s),
        *(lost, doubled, other, refused, shared, np.array(late_ms)),
    )


@contextmanager
def _naps() -> Iterator[list[float]]:
    """How late a process wakes that does nothing else: what the machine alone adds, in ms."""
    late_ms: list[float] = []
    program = (
        f"import time\nwhile True:\n t = time.perf_counter(); time.sleep({NAP_S})\n"
        f" print((time.perf_counter() - t - {NAP_S}) * 1000, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as napping:
        assert napping.stdout
        try:
            yield late_ms
        finally:
            napping.kill()
            late_ms += [float(line) for line in napping.stdout if line.endswith(b"\n")]


def _fill(run: Rating, store: Store) -> dict[str, str]:
    tokens = {f"person {k}": new_token() for k in range(run.raters)}
    with store.writing() as connection:
        add_chains(connection, islice(_chains(run.data), run.chains))
        for name, token in tokens.items():
            add_person(connection, name, "rater", hash_of(token))
    return tokens


def _chains(data: Path) -> Iterator[ChainRecord]:
    """Real chains over and over, each time for other problems."""
    records = [replace(record, labels=()) for record in load(data / CHAINS)]
    for number, record in enumerate(cycle(records)):
        problem = record.chain.problem
        named = replace(problem, question=f"{problem.question} (round {number // len(records)})")
        yield replace(record, chain=Chain.of(named, record.chain.texts))


def _let_rate(
    run: Rating, raters: list[Rater], server: Server, kills: int, stop: threading.Event
) -> float:
    threads = [threading.Thread(target=rater.work) for rater in raters]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    rng = random.Random(kills)
    for number in range(kills):
        part = run.seconds / kills
        _sleep_until(began_s + part * (number + rng.random()))
        server.end(signal.SIGKILL)
        server.start()
    _sleep_until(began_s + run.seconds)
    stop.set()
    for thread in threads:
        thread.join(timeout=120)
    assert all(rater.finished for rater in raters), "a rater has died"
    return time.perf_counter() - began_s


def _checked(store: Store, raters: list[Rater]) -> tuple[int, int, int, int]:
    """Lost, doubled, other events; chains that more than one person has."""
    with store.reading() as connection:
        names = {person.id: person.name for person in all_people(connection)}
        kept = [(names[saved.person], saved.event) for saved in all_events(connection)]
        held = Counter(connection.execute(claims.select()).scalars())
    sent = {(r.name, s.event["key"]): s.event for r in raters for s in r.sent}
    there = Counter((name, event.key) for name, event in kept)
    rated = Counter((name, e.chain, e.step) for name, e in kept if e.kind == "rate")
    lost = sum(key not in there for key in sent)
    doubled = sum(n > 1 for n in there.values()) + sum(n > 1 for n in rated.values())
    same = sum(_is_same(sent.get((name, event.key)), event) for name, event in kept)
    return lost, doubled, len(kept) - same, sum(count > 1 for count in held.values())


def _is_same(sent: dict[str, Any] | None, kept: Any) -> bool:
    return sent is not None and all(getattr(kept, name) == value for name, value in sent.items())


def shown(runs: list[Run]) -> str:
    """The table."""
    head = ["store", "kills", "ratings", "a second", "median ms", "p99 ms", "slowest ms"]
    head += ["p99 ms of waking"]
    head += ["sent again", "lost", "doubled", "other", "server's processor"]
    return table(head, [_row(one) for one in runs])


def _row(one: Run) -> list[str]:
    middle, high, most = np.quantile(one.took_ms, [0.5, 0.99, 1.0])
    wrong = one.other + one.refused + one.shared
    counts = [str(one.resent), str(one.lost), str(one.doubled), str(wrong)]
    speed = f"{len(one.took_ms) / one.seconds:.0f}"
    cpu = f"{100 * one.server_cpu_s / one.seconds:.0f}%"
    woken = np.quantile(one.late_ms, 0.99)
    times = [f"{middle:.1f}", f"{high:.1f}", f"{most:.0f}", f"{woken:.1f}"]
    return [one.store, str(one.kills), str(len(one.took_ms)), speed, *times, *counts, cpu]


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.perf_counter()))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main(tyro.cli(Rating, description=__doc__))
