"""A bundle of `rung view` in a real Chromium: how soon it opens, how smoothly it scrolls.

The pages must be built (`make web`) and Chromium be there (`make system`). The chains are
ProcessBench's, over and over until there are enough, so their texts and formulas are real; the
scores on them are drawn, since what they say does not matter here.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import tyro
from common import SHARED_DATA, Spread, conditions, publish, table
from playwright.sync_api import Browser, sync_playwright

from rung.core import ChainRecord, StepScores, Verdict, write_records
from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.data import load
from rung.serve.pages import WEB
from rung.serve.view.bundle import write_bundle
from rung.serve.view.library import Library

OPENS_WITHIN_S = 2.0
FRAME_MS = 1000 / 60
LIST, CHAIN = ".box li a", ".steps .place"
WATCH = """selector => {
  const look = () => {
    if (document.querySelector(selector) && window.seen === undefined)
      requestAnimationFrame(() => requestAnimationFrame(() => (window.seen = performance.now())));
  };
  new MutationObserver(look).observe(document, {childList: true, subtree: true});
}"""
"""Notes when the selector's first match has been painted, in ms since the page was asked for."""
SCROLL = """([selector, pixels, frames]) => new Promise(done => {
  const box = document.querySelector(selector) ?? document.scrollingElement;
  const times = [];
  let before = performance.now();
  const step = now => {
    times.push(now - before);
    before = now;
    box.scrollTop += pixels;
    if (times.length > frames) done(times.slice(1));
    else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
"""The times between frames, in ms, while a box is scrolled at every frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundles:
    """Write a bundle, open it, scroll it."""

    chains: int = 5_000
    rounds: int = 5
    """Each with a browser of its own, and nothing in its cache."""
    frames: int = 180
    """Frames of a scroll, two chains a frame: 120 chains a second at 60 frames."""
    data: Path = SHARED_DATA
    """The folder with processbench_gsm8k_math.jsonl.gz."""
    publish: bool = False
    """Put the table into README.md."""


def main(benchmark: Bundles) -> None:
    """All of it."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chains.jsonl.gz"
        write_records(path, _records(benchmark))
        began_s = time.monotonic()
        made = write_bundle(Library(path), WEB, Path(folder) / "site", Silent())
        took_s = time.monotonic() - began_s
        site = Path(made.index).as_uri()
        rounds = [_round(site, benchmark) for _ in range(benchmark.rounds)]
    text = _shown(rounds, f"{took_s:.1f} s, {made.bytes / 2**20:.1f} MiB", load, benchmark)
    print(text)
    if benchmark.publish:
        publish("bundle", text)


def _records(benchmark: Bundles) -> Iterator[ChainRecord]:
    rng = random.Random(0)
    known = list(load(benchmark.data / "processbench_gsm8k_math.jsonl.gz"))
    for number, record in enumerate(islice(cycle(known), benchmark.chains)):
        first = record.labels[0].first_error
        length = len(record.chain.steps)
        scores = [round(0.3 * rng.random() + 0.7 * (k != first), 3) for k in range(length)]
        yield replace(
            record,
            chain=replace(record.chain, id=f"{record.chain.id}/{number}"),
            scores=(StepScores(tuple(scores), "drawn"),),
            outcome=record.outcome or (Verdict.CORRECT if first is None else Verdict.INCORRECT),
        )


Measured = dict[str, Any]


def _round(site: str, benchmark: Bundles) -> Measured:
    program = shutil.which("chromium")
    if program is None:
        raise RungError("there is no chromium: make system installs it")
    with sync_playwright() as playwright:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=args)
        frames = benchmark.frames
        listed = _open(browser, site, LIST, [".box", 136, frames])
        last = benchmark.chains - 1
        run = site + f"#/runs/{_run_of(site)}/chains/chains.jsonl.gz/{last}"
        chain = _open(browser, run, CHAIN, ["html", 40, frames])
        browser.close()
    return {"list": listed, "chain": chain}


def _run_of(site: str) -> str:
    [run] = (Path(site.removeprefix("file://")).parent / "data" / "runs").glob("*.js")
    return run.stem


def _open(browser: Browser, address: str, selector: str, scroll: list[Any]) -> Measured:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(f"({WATCH})({selector!r})")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_s() -> float:
        told = cdp.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "TaskDuration")

    page.goto(address)
    page.wait_for_function("window.seen !== undefined")
    found = {"seen_s": page.evaluate("window.seen") / 1000, "busy_s": busy_s()}
    times = page.evaluate(SCROLL, scroll)
    found["frame_ms"] = 1000 * (busy_s() - found["busy_s"]) / len(times)
    page.close()
    return {**found, "frames_ms": times}


def _shown(rounds: list[Measured], written: str, load: float, benchmark: Bundles) -> str:
    rows = [["written from the chains", written, ""]]
    for what, name in (("list", "the list of chains"), ("chain", "a chain by its link")):
        seen = Spread.of([one[what]["seen_s"] for one in rounds])
        busy = Spread.of([one[what]["busy_s"] for one in rounds])
        goal = f"under {OPENS_WITHIN_S:g} s" if what == "list" else ""
        rows.append([f"{name}, painted after", f"{seen.shown(2)} s", goal])
        rows.append([f"{name}, the main thread's processor time", f"{busy.shown(2)} s", ""])
    times = sorted(ms for one in rounds for ms in one["list"]["frames_ms"])
    for share in (0.5, 0.95, 0.99, 1.0):
        ms = times[min(len(times) - 1, int(share * len(times)))]
        name = "longest" if share == 1 else f"{share:.0%} take at most"
        rows.append([f"frames while the list scrolls, {name}", f"{ms:.1f} ms", ""])
    work = Spread.of([one["list"]["frame_ms"] for one in rounds])
    rows.append(["the main thread's processor time a frame", f"{work.shown()} ms", "under 16.7 ms"])
    smooth = sum(ms < 2 * FRAME_MS for ms in times) / len(times)
    rows.append(["frames that come in time or one late", f"{smooth:.1%}", ""])
    told = {
        "chains": benchmark.chains,
        "rounds": benchmark.rounds,
        "frames": benchmark.frames,
        "processes that wanted a core before (load average)": round(load, 1),
    }
    return table(["bundle", "measured", "goal"], rows) + "\n\n" + conditions(told)


if __name__ == "__main__":
    main(tyro.cli(Bundles))
