"""Runs the searches of one quickstart's models on fresh problems."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from grid import Cell, Grid

from rung.cli.policies import PolicyOptions, open_policy
from rung.cli.search_lines import Lines, draw_lines
from rung.core import (
    Chain,
    ChainRecord,
    Generator,
    Problem,
    RungError,
    Sampling,
    Scorer,
    StepScores,
    Verdict,
)
from rung.core.codec import write_records
from rung.core.progress import Silent
from rung.data.lab import Lab, make_problems
from rung.eval.pools import same_answer
from rung.label import LabLabeler, with_outcomes
from rung.loop import Quickstart
from rung.score import load_scorer
from rung.search import (
    ALGORITHMS,
    Busy,
    Knobs,
    SearchLog,
    SearchResult,
    Setting,
    rule,
    run_searches,
)

VOTE_ERROR = 0.02
"""Of the adaptive vote."""
NO_LINES = Lines()


class Truth:
    """The scorer that knows: every step is checked."""

    name = "oracle"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """1 up to the first error, 0 from there on."""
        labels = LabLabeler().label(chains)
        return [StepScores(tuple(float(y == 1) for y in y_S.labels), self.name) for y_S in labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What a quickstart left, and problems that none of it has seen."""

    folder: Path
    policy: Generator
    scorers: dict[str, Scorer]
    test: list[Problem]
    calibration: list[Problem]
    sampling: Sampling

    @classmethod
    def open(cls, folder: Path, num_test: int, num_calibration: int) -> Models:
        """The models of the run in `folder`; its problems are passed over.

        Raises:
            RungError: It holds no run.
        """
        if not (folder / "stages.json").is_file():
            raise RungError(f"{folder}: no finished 'rung quickstart --out {folder}' is there")
        told = json.loads((folder / "stages.json").read_text())["settings"]
        lab = Lab(**told["lab"])
        used = told["num_demonstrations"] + told["train_problems"]
        used += told["validation_problems"] + told["test_problems"]
        count = used + num_test + num_calibration
        fresh = list(islice(make_problems(lab, count, seed=told["seed"]), used, None))
        scorers = {kind: load_scorer(folder / kind) for kind in ("prm", "orm")}
        return cls(
            folder=folder,
            policy=_policy(folder / "policy"),
            scorers={**scorers, "oracle": Truth()},
            test=fresh[:num_test],
            calibration=fresh[num_test:],
            sampling=Sampling(max_tokens=told.get("max_tokens", Quickstart(lab=lab).max_tokens)),
        )


def _policy(folder: Path) -> Generator:
    how = PolicyOptions(
        chat=False,
        question_separator="\n",
        step_separator="\n",
        max_batch_chains=128,
        key_env="",
    )
    with open_policy(str(folder), how) as (policy, _):
        return policy


def lines(models: Models, grid: Grid, cell: Cell, log: Path) -> Lines:
    """Where a cell's search stops and gives up, by its scorer.

    By what the base's search does on the calibration problems; its chains are kept, so another
    cell's lines cost no sampling. A PRM's running value is the least of its scores, an ORM's the
    score of the chain as if it ended there.
    """
    with SearchLog.open(log, f"{models.folder.name} calibration") as kept:
        results = _run(models, grid.base, models.calibration, NO_LINES, kept)
    records = [record for result in results for record in _pool(result)]
    scorer: Any = models.scorers[cell.scorer]
    if cell.scorer == "orm":
        records = _scored_as_it_grows(records, scorer)
    path = log.with_name(f"{log.stem}-{cell.scorer}.jsonl.gz")
    write_records(path, records)
    return draw_lines(
        path,
        scorer,
        Silent(),
        by=RULES[cell.scorer],
        error=grid.error,
        batch=grid.base.width,
        looks=cell.look_every is not None,
    )


RULES = {"prm": "min", "orm": "last"}


def _scored_as_it_grows(records: Sequence[ChainRecord], scorer: Scorer) -> list[ChainRecord]:
    """At each step what the scorer says of the chain up to there."""
    prefixes = {
        step.id: record.chain.prefix(k)
        for record in records
        for k, step in enumerate(record.chain.steps, start=1)
    }
    said = {
        name: scores.scores[-1]
        for name, scores in zip(prefixes, scorer.score(list(prefixes.values())), strict=True)
    }
    return [
        record.with_scores(
            StepScores(tuple(said[step.id] for step in record.chain.steps), scorer.name)
        )
        for record in records
    ]


def measure(models: Models, cell: Cell, drawn: Lines, log: Path) -> Any:
    """One row: what each problem took and whether its answer is right."""
    busy, began_s = Busy(), time.monotonic()
    with SearchLog.open(log, f"{models.folder.name} {cell.scorer}") as kept:
        results = _run(models, cell, models.test, drawn, kept, busy)
    chosen = [result.chosen or ChainRecord(Chain.of(result.problem, ["-"])) for result in results]
    outcomes = with_outcomes(chosen, LabLabeler())
    shared = len({id(result.spent) for result in results}) == 1 and len(results) > 1
    share = len(results) if shared else 1
    return {
        "name": cell.name,
        **cell._asdict(),
        "right": [record.outcome is Verdict.CORRECT for record in outcomes],
        "sampled": [result.spent.tokens_sampled / share for result in results],
        "scored": [result.spent.tokens_scored / share for result in results],
        "lines": drawn._asdict() if cell.algorithm in ("adaptive", "abort") else None,
        "seconds": round(time.monotonic() - began_s, 1),
        **asdict(busy),
    }


def _run(
    models: Models,
    cell: Cell,
    problems: Sequence[Problem],
    drawn: Lines,
    log: SearchLog | None = None,
    busy: Busy | None = None,
) -> list[SearchResult]:
    knobs = Knobs(
        n=cell.n,
        width=cell.width,
        answer_key=_key,
        error=VOTE_ERROR,
        look_every=cell.look_every,
        **drawn._asdict(),
    )
    search = ALGORITHMS[cell.algorithm](knobs)
    setting = Setting(
        generator=models.policy,
        scorer=models.scorers.get(cell.scorer),
        pick=rule(search.rule, scorer=None, answer_key=_key),
        sampling=models.sampling,
    )
    results = run_searches(search, problems, setting, log=log, busy=busy)
    failed = [result for result in results if result.reason == "failed"]
    if failed:
        raise RungError(f"{cell.name}: {len(failed)} searches failed ({failed[0].error})")
    return results


def _pool(result: SearchResult) -> list[ChainRecord]:
    return with_outcomes(list(result.chains), LabLabeler())


def _key(chain: Chain) -> str | None:
    return None if chain.answer is None else same_answer(chain.answer)
