"""Scores chains with a reward model: one that `rung train` wrote, or a published one.

B is the number of chains, K the positions that are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, StepScores
from rung.model.checkpoint import weights_hash
from rung.model.engine import PrefixEngine, Request, Usage
from rung.model.families import AUTO, open_reader
from rung.model.reader import Reader
from rung.model.rendering import Rendered
from rung.score.session import ScoringSession

Precision = Literal["auto", "fp32", "bf16"]
BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
"""By device. On a CPU larger batches leave the cache."""
BF16_FROM_PARAMETERS = 20_000_000
"""Below, bf16 saves no time worth its rounding."""


@dataclass(frozen=True, slots=True)
class RewardScorer:
    """A `Scorer` on a reward model.

    A PRM scores every step, an ORM the last one. Chains are a tree: what they share, from the
    question on, goes through the model once. A score doesn't depend on what else is scored, up to
    rounding: 1e-5 in fp32, 0.02 in bf16.
    """

    name: str
    weights_hash: str
    reader: Reader
    engine: PrefixEngine
    batch_tokens: int

    @property
    def kind(self) -> Literal["prm", "orm"]:
        """Whether every step has a score or only the last."""
        return self.reader.kind

    @property
    def usage(self) -> Usage:
        """Tokens that running each chain alone would have taken, and tokens that were run."""
        return self.engine.usage

    @property
    def fingerprint(self) -> Any:
        """All that the numbers depend on, as JSON."""
        trunk = self.reader.trunk
        runs_in = f"{trunk.device.type} {trunk.dtype}"
        told = [self.name, self.weights_hash, self.reader.family, dict(self.reader.settings)]
        return [*told, self.batch_tokens, runs_in]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score B chains; steps beyond the model's context have score None.

        Raises:
            RungError: The model gives something that is not a number.
        """
        rendered_B = self.reader.render(chains)
        reads_B = [self._reads(rendered) for rendered in rendered_B]
        requests = [
            Request(rendered.ids, tuple(read for _, read in reads))
            for rendered, reads in zip(rendered_B, reads_B, strict=True)
        ]
        scores_K = iter(self.reader.scores(self.engine.features(requests), self.name))
        found: dict[str, float] = {}
        for chain, reads in zip(chains, reads_B, strict=True):
            for step, _ in reads:  # equal steps get one score, to the last bit
                found.setdefault(chain.steps[step].id, next(scores_K))
        return [
            self._step_scores(chain, reads, found)
            for chain, reads in zip(chains, reads_B, strict=True)
        ]

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> ScoringSession:
        """A session for scoring chains of a problem (and of more: `add`) while they grow.

        Args:
            problem: Its empty prefix is live; its id is ``problem.root_id``.
            max_kept_mib: Memory for keys and values between calls. Beyond it the longest unused
                prefixes are forgotten, and computed again when they are extended.
        """
        kept = None if max_kept_mib is None else int(max_kept_mib * 2**20)
        engine = PrefixEngine(
            self.reader.trunk, batch_tokens=self.batch_tokens, max_kept_bytes=kept
        )
        session = ScoringSession(self.name, self.reader, engine)
        session.add(problem)
        return session

    def _step_scores(
        self, chain: Chain, reads: Sequence[tuple[int, int]], found: Mapping[str, float]
    ) -> StepScores:
        read = {step for step, _ in reads}
        scores = (found[s.id] if k in read else None for k, s in enumerate(chain.steps))
        return StepScores(tuple(scores), self.name, self.weights_hash)

    def _reads(self, rendered: Rendered) -> list[tuple[int, int]]:
        """Which steps are scored, and where."""
        ends = list(enumerate(rendered.step_ends))
        wanted = ends[-1:] if self.kind == "orm" else ends
        return [(step, end) for step, end in wanted if end is not None]


def load_scorer(
    folder: str | Path,
    *,
    name: str | None = None,
    family: str = AUTO,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> RewardScorer:
    """Open a checkpoint for scoring, on the GPU where there is one.

    Args:
        folder: A checkpoint of `rung train`, or of a published reward model.
        name: The scorer's name; the folder's by default.
        family: How the model is read, a name in `rung.model.families.FAMILIES`; "auto" tells it
            from the files.
        batch_tokens: Tokens in one forward pass; by default what suits the device.
        precision: "fp32", "bf16", or "auto": bf16 for models from 20M parameters on hardware
            that multiplies in bf16, else fp32. The head always runs in fp32.

    Raises:
        RungError: A file of the checkpoint is missing or damaged, the family can't be told, or
            the budget is not positive.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise RungError(f"batch_tokens is {batch_tokens}, expected at least 1")
    path = Path(folder)
    reader = open_reader(path, family)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reader.to(device, _dtype(precision, reader.trunk, device))
    budget = batch_tokens or BATCH_TOKENS[device.type]
    engine = PrefixEngine(reader.trunk, batch_tokens=budget)
    return RewardScorer(name or path.resolve().name, weights_hash(path), reader, engine, budget)


def _dtype(precision: Precision, trunk: Any, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    num_parameters = sum(weight.numel() for weight in trunk.parameters())
    is_worth_it = num_parameters >= BF16_FROM_PARAMETERS and _multiplies_bf16(device)
    return torch.bfloat16 if is_worth_it else torch.float32


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in known)
