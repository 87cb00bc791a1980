"""The stages of one training from nothing, each a verb of rung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sizes import Size
from verbs import rung

from rung.core import ChainRecord, Problem, read_records, write_problems, write_records
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.model.tiny import make_tiny

POLICIES = ("sft", "rl", "rl-outcome")
"""The start; paid for its chain's weakest step and the answer; a control, paid for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One run of all stages in a folder of its own."""

    out: Path
    size: Size
    trunk: str | None
    """A causal LM to begin with; without one a tiny new model."""
    n: int
    """Chains a test problem."""
    seed: int
    precision: str

    def run(self) -> dict[str, Any]:
        """All of them, in order; what `rung rl` said of each policy."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._make_problems()
        self._learn("policy", self.out / "demonstrations.jsonl.gz", self._trunk(), "sft")
        self._learn("prm", self._chains("sft", "prm", self.size.prm_chains), self.out / "sft")
        tested = self._chains("sft", "test", self.n)
        rung("probe", tested, *self._scorer("prm="), "--out", self.out / "probes.jsonl")
        told = {policy: self._reinforce(policy) for policy in POLICIES[1:]}
        for policy in POLICIES:
            self._test(policy)
        return told

    def _make_problems(self) -> None:
        """Demonstrations, and the problems of each split; no question stands in two."""
        lab = Lab(num_steps=self.size.num_steps)
        counts = self.size.problems
        every: Iterator[Problem] = make_problems(lab, sum(counts.values()), seed=self.seed)
        for name, count in counts.items():
            problems = list(islice(every, count))
            if name == "demonstrations":
                shown = demonstrations(make_demonstrator(lab, seed=self.seed), problems, seed=1)
                write_records(self.out / f"{name}.jsonl.gz", map(ChainRecord, shown))
            else:
                write_problems(self.out / f"{name}-problems.jsonl", problems)

    def _trunk(self) -> str | Path:
        if self.trunk:
            return self.trunk
        folder = self.out / "tiny"
        if not (folder / "config.json").exists():
            texts = _texts(self.out / "demonstrations.jsonl.gz")
            make_tiny(folder, texts, seed=self.seed, max_tokens=512)
        return folder

    def _learn(self, kind: str, chains: Path, trunk: str | Path, name: str = "prm") -> None:
        how = self.size.sft if kind == "policy" else self.size.prm
        told = ("--trunk", trunk, "--out", self.out / name, *self._learning(), *how)
        rung("train", kind, chains, *told)

    def _learning(self) -> tuple[str | int, ...]:
        return ("--precision", self.precision, "--seed", self.seed)

    def _scorer(self, name: str = "") -> tuple[str, str]:
        return ("--scorer", f"{name}{self.out / 'prm'}")

    def _reinforce(self, policy: str) -> dict[str, Any]:
        """RL from the SFT's weights."""
        problems, held_out = (self.out / f"{name}-problems.jsonl" for name in ("rl", "validation"))
        paid = (
            ("--form", "outcome") if policy == "rl-outcome" else (*self._scorer(), "--form", "min")
        )
        told: dict[str, Any] = rung(
            *("rl", problems, "--held-out", held_out, "--policy", self.out / "sft", *paid),
            *("--verifier", "lab", "--out", self.out / policy),
            *("--max-tokens", self.size.max_tokens, *self._learning(), *self.size.rl),
        )
        return told | {"out": ""}

    def _chains(self, policy: str, split: str, n: int) -> Path:
        """The policy's chains for a split's problems, labeled by the lab."""
        chains, labeled = (
            self.out / f"{policy}-{split}-{name}.jsonl.gz" for name in ("chains", "labeled")
        )
        rung(
            *("sample", self.out / f"{split}-problems.jsonl", "--policy", self.out / policy),
            *("--out", chains, "--n", n, "--max-tokens", self.size.max_tokens),
            *("--seed", self.seed),
        )
        rung("label", "verify", chains, "--verifier", "lab", "--out", labeled)
        return labeled

    def _test(self, policy: str) -> None:
        """The policy's test chains with the PRM's scores, and a beam search for each problem."""
        labeled = self._chains(policy, "test", self.n)
        rung("score", labeled, *self._scorer("prm="), "--out", scored_file(self.out, policy))
        rung(
            *("search", self.out / "test-problems.jsonl", "--policy", self.out / policy),
            *(*self._scorer(), "--algorithm", "beam", "--n", self.n, "--seed", self.seed),
            *("--max-tokens", self.size.max_tokens, "--out", searched_file(self.out, policy)),
        )


def scored_file(out: Path, policy: str) -> Path:
    """A policy's test chains, labeled and scored."""
    return out / f"{policy}-test-scored.jsonl.gz"


def searched_file(out: Path, policy: str) -> Path:
    """What the search found with a policy."""
    return out / f"{policy}-searched.jsonl"


def _texts(path: Path) -> Iterator[str]:
    for record in read_records(path):
        yield record.chain.problem.question
        yield from record.chain.texts
