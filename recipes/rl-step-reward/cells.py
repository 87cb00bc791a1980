"""Where runs start, and a run from there: each a job of its own process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from measure import Curve, Place, Start, curve_in, share_of
from policies import WholeChains, convinced, problems_for, slipping, unlearn

from rung.core import Chain, ChainRecord, Problem, Progress, Sampling
from rung.core.files import replacing
from rung.core.protocols import Scorer
from rung.label import LabLabeler, with_outcomes
from rung.loop.policy import open_policy
from rung.rl import Guards, Looking, Paying, RlTraining, Updating, train_rl
from rung.score import LabelingScorer, load_scorer
from rung.train import Optimization, RewardTraining, train_reward

Pay = Literal["outcome", "steps", "prm"]
Lost = Literal["slips", "misconceptions"]
LABS = {"slips": slipping, "misconceptions": convinced}
LAB = LabLabeler()
WHOLE = WholeChains()
HELD_OUT = 200
HELD_BACK = 40
"""Of a PRM's chains, those that it is validated on."""
TARGET = 0.5
TOKENS_A_STEP = 12
MOST_KL = 30.0
"""Nats a chain from the start policy, for runs that a PRM pays."""
TUNED = {
    "lr": 4e-4,
    "problems": 16,
    "chains": 16,
    "minibatches": 16,
}
"""The same for every way of paying; README.md says what else was tried."""


class Cell(NamedTuple):
    """Where runs start: chains of so many steps, and the policy's share of right ones."""

    num_steps: int
    rate: float
    lost_by: Lost
    """How it comes that the others are wrong."""
    most_tokens: int
    """Sampled in a run, at most."""

    @property
    def name(self) -> str:
        """As a folder is called."""
        return f"{self.num_steps}-steps-{self.rate:g}-{self.lost_by}"


@dataclass(frozen=True, slots=True)
class Study:
    """Its sizes, and where it works."""

    out: Path
    unlearning: int
    """Chains that make a start of the base policy."""
    prm_problems: int
    seed: int
    """Of the policies and the problems."""

    def start(self, cell: Cell, progress: Progress) -> int:
        """Make the policy that a cell's runs start from, and see how often it is right."""
        lab = LABS[cell.lost_by](cell.num_steps, cell.rate)
        chains = self.unlearning * max(1, 4 // cell.num_steps)  # short ones teach little each
        unlearn(self.out / "base", self._folder(cell, "policy"), lab, chains, self.seed)
        self._count_right(cell)
        return 0

    def _count_right(self, cell: Cell) -> None:
        """See how many of the start policy's chains for held-out problems are right."""
        file = self._folder(cell, "start.json")
        if not file.exists():
            chains = self._written(cell, self._problems(cell)[:HELD_OUT], 16, self.seed + 8)
            right = sum(verdict.is_correct for verdict in WHOLE.verify(chains))
            start = Start(*_place(cell), right=right, chains=len(chains))
            with replacing(file) as aside:
                aside.write_bytes(msgspec.json.encode(start))

    def train_prm(self, cell: Cell, progress: Progress) -> int:
        """Train a PRM on the true labels of chains that the start policy wrote."""
        out, start = self._folder(cell, "prm"), self._folder(cell, "policy")
        if (out / "training.json").exists():
            return 0
        problems = self._problems(cell)[HELD_OUT:][: self.prm_problems]
        written = self._written(cell, problems, 2, self.seed + 9)
        chains = [chain for chain in written if chain.steps]
        pairs = zip(chains, LAB.label(chains), strict=True)
        records = with_outcomes([ChainRecord(chain, (labels,)) for chain, labels in pairs], WHOLE)
        learning = Optimization(lr=1.4e-3, beta2=0.98, epochs=4, batch_tokens=1100, patience=0)
        training = RewardTraining(kind="prm", trunk=start, optimization=learning)
        return train_reward(training, records[HELD_BACK:], records[:HELD_BACK], out).tokens

    def run(self, cell: Cell, pay: Pay, seed: int, progress: Progress) -> int:
        """One run of `rung rl`, from where it stands."""
        problems = self._problems(cell)
        train_rl(
            self._settings(cell, pay, seed),
            problems[HELD_OUT:],
            problems[:HELD_OUT],
            self._folder(cell, f"{pay}-{seed}"),
            verifier=WHOLE,
            scorer=self._scorer(cell, pay),
        )
        return 0

    def curve(self, cell: Cell, pay: Pay, seed: int) -> Curve:
        """What a run has shown."""
        out = self._folder(cell, f"{pay}-{seed}")
        return curve_in(out, _place(cell), pay, seed)

    def share_at_start(self, cell: Cell) -> dict[str, Any]:
        """What the start policy gets right, with its interval."""
        file = self._folder(cell, "start.json")
        return share_of(msgspec.json.decode(file.read_bytes(), type=Start))

    def _written(self, cell: Cell, problems: Sequence[Problem], n: int, seed: int) -> list[Chain]:
        """Chains of the start policy, `n` a problem."""
        policy = open_policy(self._folder(cell, "policy"))
        sampling = Sampling(max_tokens=_most_tokens(cell), seed=seed)
        groups = policy.sample([Chain(problem, ()) for problem in problems], n, sampling)
        return [chain for group in groups for chain in group]

    def _settings(self, cell: Cell, pay: Pay, seed: int) -> RlTraining:
        a_round = TUNED["problems"] * TUNED["chains"] * 9 * (cell.num_steps + 1)
        return RlTraining(
            policy=self._folder(cell, "policy"),
            paying=Paying(form="outcome" if pay == "outcome" else "sum"),
            guards=_guards(cell, pay),
            updating=Updating(
                iterations=max(1, round(cell.most_tokens / a_round)),
                problems=int(TUNED["problems"]),
                chains=int(TUNED["chains"]),
                minibatches=int(TUNED["minibatches"]),
                lr=TUNED["lr"],
                max_tokens=_most_tokens(cell),
            ),
            looking=Looking(look_every=1, look_chains=1, until_accuracy=0.55),
            seed=seed,
        )

    def _scorer(self, cell: Cell, pay: Pay) -> Scorer | None:
        if pay == "outcome":
            return None
        return LabelingScorer(LAB) if pay == "steps" else load_scorer(self._folder(cell, "prm"))

    def _problems(self, cell: Cell) -> list[Problem]:
        """The first are held out."""
        return problems_for(cell.num_steps, 4_000 + HELD_OUT, self.seed)

    def _folder(self, cell: Cell, name: str) -> Path:
        return self.out / cell.name / name


def _place(cell: Cell) -> Place:
    return cell.num_steps, cell.rate, cell.lost_by


def _guards(cell: Cell, pay: Pay) -> Guards:
    """A PRM may like steps behind the answer, where a true label never does, and may be fooled.

    It has read chains of the start policy: far from there its scores are guesses.
    """
    if pay == "prm":
        return Guards(most_steps=cell.num_steps + 1, most_kl=MOST_KL)
    return Guards(alarm="off")


def _most_tokens(cell: Cell) -> int:
    return TOKENS_A_STEP * (cell.num_steps + 1)
