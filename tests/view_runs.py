"""A folder of runs with something of everything that `rung view` shows."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import msgspec

from rung import (
    Chain,
    ChainRecord,
    Problem,
    Provenance,
    RolloutCount,
    StepLabels,
    StepScores,
    Verdict,
    write_records,
)
from rung.eval import best_of_n, processbench, step_metrics
from rung.search import Beam, Mcts, Search, SearchLog, Setting, rule, run_searches
from tree_policy import DicePolicy, TableScorer

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MATH = r"We have $x^2 = \frac{1}{4}$, so \(x = \tfrac12\) costs $5 and $6."
VALIDATION = [{"step": k, "validation_loss": round(0.5 - k / 100, 2)} for k in range(12)]
DICE = [Problem(f"dice-{k}", f"Roll {k} until you see a six.", "6") for k in range(2)]


def judged_record() -> ChainRecord:
    """A chain on which a person, a calculator, rollouts, a judge and three scorers disagree."""
    texts = [f"{MATH} {SCRIPT}", "Then $2 + 2 = 5$.", r"A broken one: $\frac{1$.", "So it is 7."]
    problem = Problem("judged", f"What is \\(1 + 2\\)? {SCRIPT}", "3")
    source = Provenance(policy="sft", temperature=0.7, num_tokens=61, finish_reason="stop")
    return ChainRecord(
        Chain.of(problem, texts, answer="7", id="judged/0", source=source),
        (
            StepLabels((1.0, 0.0, None, None), "human", ratings=(1, -1, None, None)),
            StepLabels((None, 0.0, None, 1.0), "arithmetic"),
            StepLabels(
                (0.75, 0.125, 0.0, 0.0),
                "rollout",
                counts=tuple(RolloutCount(k, 8) for k in (6, 1, 0, 0)),
            ),
            StepLabels((1.0, 1.0, 0.0, 0.0), "judge:j"),
        ),
        (
            StepScores((0.97, 0.91, 0.85, 0.9), "prm"),
            StepScores((0.9, 0.2, 0.3, 0.1), "prm-2"),
            StepScores((None, None, None, 0.62), "orm"),
        ),
        Verdict.INCORRECT,
        {"arithmetic": ["", "2 + 2 is 4, not 5", "", ""], "subset": "made"},
    )


def made_records(num_problems: int = 12, num_chains: int = 6) -> list[ChainRecord]:
    """Chains with labels and scores of different lengths, one of them without an answer."""
    rng = random.Random(0)
    records = [judged_record()]
    for problem in range(num_problems):
        for number in range(num_chains):
            records.append(_record(rng, problem, number))
    records[-1] = replace(records[-1], outcome=Verdict.UNPARSED)
    return records


def _record(rng: random.Random, problem: int, number: int) -> ChainRecord:
    is_right = rng.random() < 0.5
    length = 4 + (problem + number) % 4
    error = None if is_right else rng.randrange(length)
    labels = [1.0 if error is None or k < error else 0.0 if k == error else None
              for k in range(length)]  # fmt: skip
    scores = [round(0.2 + 0.5 * (y != 0.0) + 0.3 * rng.random(), 3) for y in labels]
    answer = "7" if is_right else str(rng.randint(8, 10))
    chain = Chain.of(
        Problem(f"p{problem}", f"Question number {problem}?", "7"),
        [f"Step {k} of {number}." for k in range(length)],
        answer=answer,
        id=f"p{problem}/{number}",
    )
    last = (*[None] * (length - 1), round(rng.random(), 3))
    return ChainRecord(
        chain,
        (StepLabels(tuple(labels), "human"),),
        (StepScores(tuple(scores), "prm"), StepScores(last, "orm")),
        Verdict.CORRECT if is_right else Verdict.INCORRECT,
    )


def long_record(num_steps: int = 300) -> ChainRecord:
    """A chain that no page holds at once."""
    chain = Chain.of(Problem("long", "Count.", "1"), [f"Now ${k} + 1$." for k in range(num_steps)])
    scores = tuple(0.1 if k == num_steps - 10 else 0.9 for k in range(num_steps))
    return ChainRecord(chain, scores=(StepScores(scores, "prm"),), outcome=Verdict.INCORRECT)


def write_search(folder: Path, name: str, search: Search) -> None:
    """A log with the chains beside it, as `rung search --chains` leaves them."""
    scorer = TableScorer(otherwise=lambda text: int(text) / 6)
    pick = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
    setting = Setting(generator=DicePolicy(sides=6), scorer=scorer, pick=pick)
    with SearchLog.open(folder / f"{name}.jsonl.events", "made") as log:
        results = run_searches(search, DICE, setting, log=log)
    chosen = [r.chosen for r in results if r.chosen is not None]
    write_records(folder / f"{name}.jsonl", [_checked(one, algorithm=name) for one in chosen])
    write_records(folder / f"{name}.chains.jsonl", [_checked(c) for r in results for c in r.chains])


def _checked(record: ChainRecord, algorithm: str | None = None) -> ChainRecord:
    is_right = record.chain.answer == record.chain.problem.answer
    verdict = Verdict.CORRECT if is_right else Verdict.INCORRECT
    meta = {"search": {"algorithm": algorithm}} if algorithm else {}
    return replace(record, outcome=verdict, meta=meta)


def write_runs(folder: Path) -> Path:
    """Three runs: scored chains with measures and trainings, two searches, an RL training."""
    scored, searches, rl = (folder / name for name in ("scored", "searches", "rl"))
    for run in (scored / "prm", searches, rl):
        run.mkdir(parents=True)
    records = made_records()
    write_records(scored / "test.jsonl.gz", [*records, long_record()])
    found = best_of_n(records[1:], prm="prm", orm="orm", resamples=50)
    (scored / "best_of_n.json").write_bytes(msgspec.json.encode(found))
    steps = step_metrics(records, scorer="prm", label_source="human", resamples=50)
    (scored / "steps.json").write_bytes(msgspec.json.encode({"metrics": [steps]}))
    errors = processbench(records, scorer="prm", label_source="human", resamples=50)
    (scored / "first.json").write_bytes(msgspec.json.encode({"metrics": errors}))
    losses = [{"step": k, "loss": 1 / (k + 1)} for k in range(30)]
    write_rows(scored / "prm" / "metrics.jsonl", [*losses, *VALIDATION])
    write_search(searches, "beam", Beam(n=6, width=3))
    write_search(searches, "mcts", Mcts(n=4, width=2))
    write_rows(rl / "metrics.jsonl", rl_rows())
    return folder


def rl_rows() -> list[dict[str, float]]:
    """A training whose reward goes up when its truth no longer does."""
    rows: list[dict[str, float]] = []
    for step in range(40):
        reward, right = 1 - math.exp(-step / 15), 0.6 * math.sin(math.pi * step / 50)
        if step % 10 == 0:
            look = {"step": step, "held_out_accuracy": right, "held_out_reward": reward}
            rows.append({**look, "held_out_problems": 50, "held_out_reward_error": 0.05})
        rows.append({"step": step, "reward": reward, "outcome": right, "kl": step / 100})
    return rows


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
