"""Scores chains with a reward model: one that `rung train` wrote, or a published one.

B is the number of chains, K the positions that are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, StepScores
from rung.model.checkpoint import weights_hash
from rung.model.device import pick_device
from rung.model.engine import BATCH_TOKENS, PrefixEngine, Request, Usage
from rung.model.families import AUTO, open_reader
from rung.model.memory import PrefixMemory
from rung.model.reader import Reader
from rung.model.rendering import Rendered
from rung.score.session import ReadPrefixes, ScoringSession

Precision = Literal["auto", "fp32", "bf16"]
BF16_FROM_PARAMETERS = 20_000_000
"""Below, bf16 saves no time worth its rounding."""
LARGE_BYTES = 8 * BF16_FROM_PARAMETERS
"""Weights of this size have more than BF16_FROM_PARAMETERS, in whatever type they are stored."""
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


class Asked(NamedTuple):
    """A request, and the ids of the steps whose scores are read there."""

    request: Request
    steps: tuple[str, ...]


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
    def family(self) -> str:
        """How it is read: a name in `rung.model.families.FAMILIES`."""
        return self.reader.family

    @property
    def aggregation(self) -> str | None:
        """How its authors make one score of a chain's, where they say it."""
        return self.reader.aggregation

    @property
    def reads_unfinished_steps(self) -> bool:
        """Whether a session can score a step that is still being written (`peek`)."""
        return self.reader.reads_unfinished_steps

    @property
    def has_sessions(self) -> bool:
        """`open` gives one."""
        return True

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
        asked = [
            ask
            for chain, rendered in zip(chains, self.reader.render(chains), strict=True)
            for ask in self._asked(chain, rendered)
        ]
        requests = [ask.request for ask in asked]
        scores_K = iter(self.reader.scores(self.engine.features(requests), self.name))
        found: dict[str, float] = {}
        for ask in asked:
            for step in ask.steps:  # equal steps get one score, to the last bit
                found.setdefault(step, next(scores_K))
        return [self._step_scores(chain, found) for chain in chains]

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> ScoringSession:
        """A session for scoring chains of a problem (and of more: `add`) while they grow.

        Args:
            problem: Its empty prefix is live; its id is ``problem.root_id``.
            max_kept_mib: Memory for keys and values between calls. Beyond it the longest unused
                prefixes are forgotten, and computed again when they are extended.
        """
        kept = None if max_kept_mib is None else int(max_kept_mib * 2**20)
        engine = PrefixEngine(
            self.reader.trunk,
            batch_tokens=self.batch_tokens,
            memory=PrefixMemory(max_bytes=kept),
        )
        session = ScoringSession(ReadPrefixes(self.name, self.reader, engine))
        session.add(problem)
        return session

    def _step_scores(self, chain: Chain, found: Mapping[str, float]) -> StepScores:
        last = len(chain.steps) - 1
        scores = (
            found.get(step.id) if self.kind == "prm" or k == last else None
            for k, step in enumerate(chain.steps)
        )
        return StepScores(tuple(scores), self.name, self.weights_hash)

    def _asked(self, chain: Chain, rendered: Rendered) -> list[Asked]:
        """What the engine is asked for a chain: its own ids once, and its branches."""
        own: list[tuple[str, int]] = []
        asked: list[Asked] = []
        first = len(chain.steps) - 1 if self.kind == "orm" else 0
        for k in range(max(0, first), len(chain.steps)):
            read = rendered.read_of(k)
            if read is None:
                continue
            if read[0] is rendered.ids:
                own.append((chain.steps[k].id, read[1]))
            else:
                asked.append(Asked(Request(read[0], (read[1],)), (chain.steps[k].id,)))
        if not own:
            return asked
        steps, places = zip(*own, strict=True)
        return [Asked(Request(rendered.ids, places), steps), *asked]


def load_scorer(
    folder: str | Path,
    *,
    name: str | None = None,
    family: str = AUTO,
    options: Mapping[str, Any] | None = None,
    trust_pickle: bool = False,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
) -> RewardScorer:
    """Open a checkpoint for scoring, on the GPU where there is one.

    Args:
        folder: A checkpoint of `rung train`, or of a published reward model.
        name: The scorer's name; the folder's by default.
        family: How the model is read, a name in `rung.model.families.FAMILIES`; "auto" tells it
            from the files.
        options: The family's options by name (see the guide to published models).
        trust_pickle: Open pickled weights (``.bin``, ``.pt``) too, with ``weights_only``. Without
            it they are refused; code from a checkpoint is never run.
        batch_tokens: Tokens in one forward pass; by default what suits the device.
        precision: "fp32", "bf16", or "auto": bf16 for models from 20M parameters on hardware
            that multiplies in bf16, else fp32. The head always runs in fp32.

    Raises:
        RungError: A file of the checkpoint is missing or damaged, the family can't be told, the
            model is an implicit or a generative PRM, or the budget is not positive.
    """
    from rung.score.others import family_of_reader

    if batch_tokens is not None and batch_tokens < 1:
        raise RungError(f"batch_tokens is {batch_tokens}, expected at least 1")
    path = Path(folder)
    device = pick_device()
    dtype = opening_dtype(path, precision, device)
    family = family_of_reader(path, family)
    reader = open_reader(path, family, dtype=dtype, trust_pickle=trust_pickle, options=options)
    reader.to(device, dtype_for(precision, reader.trunk, device))
    budget = batch_tokens or BATCH_TOKENS[device.type]
    engine = PrefixEngine(reader.trunk, batch_tokens=budget)
    digest = weights_hash(path, reader.weight_files)
    return RewardScorer(name or path.resolve().name, digest, reader, engine, budget)


def opening_dtype(folder: Path, precision: Precision, device: torch.device) -> torch.dtype:
    """The type to read weights in: a large model that will run in bf16 never stands in fp32."""
    size = sum(path.stat().st_size for path in folder.glob("*") if path.suffix in WEIGHT_SUFFIXES)
    will_be_bf16 = precision == "bf16" or (precision == "auto" and _multiplies_bf16(device))
    return torch.bfloat16 if will_be_bf16 and size >= LARGE_BYTES else torch.float32


def dtype_for(precision: Precision, trunk: Any, device: torch.device) -> torch.dtype:
    """What a trunk is to run in on a device (see `load_scorer`)."""
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
