"""Scores chains with a reward model behind a vLLM server (see `rung.model.serving`).

The tokenizer and the reading of the numbers stay here, so the scores are those of `RewardScorer`
up to rounding: 1e-5 where both compute in fp32; in bf16 each rounds in its own way, and scores
near 0.5 can be some hundredths apart. The server runs each chain alone; vLLM reuses no prefix for
per-token logits.

B is the number of distinct token sequences, L of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Never

import numpy as np

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, StepScores
from rung.model.families import AUTO
from rung.model.rendering import Rendered
from rung.model.serving import FloatArray, Serving, serving
from rung.score.server import PoolingServer, Rows, connect

SEQUENCES_A_REQUEST = 8
REQUESTS_AT_ONCE = 8
"""So 64 sequences are under way: enough to fill the engine's batch, few to lose to an error."""
_HOW = "'rung serve-config' says how it is to be started"


class Read(NamedTuple):
    """A step whose score is read at token `at` of `ids`."""

    step: str
    ids: tuple[int, ...]
    at: int


@dataclass(frozen=True, slots=True)
class RemoteScorer:
    """A `Scorer` on a reward model that a vLLM server runs."""

    name: str
    serving: Serving
    server: PoolingServer

    @property
    def kind(self) -> Literal["prm", "orm"]:
        """Whether every step has a score or only the last."""
        return self.serving.kind

    @property
    def family(self) -> str:
        """How it is read: a name in `rung.model.families.FAMILIES`."""
        return self.serving.family

    @property
    def aggregation(self) -> str | None:
        """How its authors make one score of a chain's, where they say it."""
        return self.serving.aggregation

    @property
    def weights_hash(self) -> None:
        """Unknown: nobody here sees the weights that the server runs."""
        return None

    @property
    def fingerprint(self) -> Any:
        """All that the numbers are known to depend on, as JSON."""
        served = [self.server.url, self.server.model]
        return [self.name, *served, self.serving.family, dict(self.serving.settings)]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score chains; steps beyond the model's context have score None.

        Raises:
            UnavailableError: The server fails time after time.
            RungError: The server refuses, or gives other rows than those of this model's tokens.
        """
        rendered = self.serving.render(chains)
        reads = [
            read
            for chain, shown in zip(chains, rendered, strict=True)
            for read in self._reads(chain, shown)
        ]
        found = self._scores(reads)
        return [self._step_scores(chain, found) for chain in chains]

    @property
    def has_sessions(self) -> bool:
        """`open` refuses."""
        return False

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> Never:
        """Refused.

        Raises:
            RungError: Always.
        """
        raise RungError(
            f"{self.name} has no sessions: its server keeps nothing between calls; call score with"
            " whole chains"
        )

    def _reads(self, chain: Chain, shown: Rendered) -> list[Read]:
        first = len(chain.steps) - 1 if self.kind == "orm" else 0
        places = [(k, shown.read_of(k)) for k in range(max(0, first), len(chain.steps))]
        return [Read(chain.steps[k].id, *place) for k, place in places if place is not None]

    def _step_scores(self, chain: Chain, found: Mapping[str, float]) -> StepScores:
        last = len(chain.steps) - 1
        scores = (
            found.get(step.id) if self.kind == "prm" or k == last else None
            for k, step in enumerate(chain.steps)
        )
        return StepScores(tuple(scores), self.name, self.weights_hash)

    def _scores(self, reads: Sequence[Read]) -> dict[str, float]:
        """Scores by step; equal steps get one score, whatever chains they are read in."""
        if not reads:
            return {}
        distinct = {read.step: read for read in reversed(reads)}.values()  # the first of equals
        rows_of = self._ask([read.ids for read in distinct])
        logits = [self._row(read, rows_of[read.ids]) for read in distinct]
        logits_KL: FloatArray = np.array(logits)
        if not np.isfinite(logits_KL).all():
            raise RungError(f"{self.server.url} gives logits that are not numbers")
        scores = self.serving.scores(logits_KL).tolist()
        return {read.step: score for read, score in zip(distinct, scores, strict=True)}

    def _ask(self, ids: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], Rows]:
        """The server's rows for each distinct sequence."""
        ids_BT = sorted(set(ids), key=lambda ids: (len(ids), ids))  # alike lengths together
        starts = range(0, len(ids_BT), SEQUENCES_A_REQUEST)
        requests = [ids_BT[start : start + SEQUENCES_A_REQUEST] for start in starts]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
            answers = threads.map(self.server.rows, requests)
            return dict(zip(ids_BT, (rows for answer in answers for rows in answer), strict=True))

    def _row(self, read: Read, rows: Rows) -> Sequence[float]:
        """The logits at a read: the server gives a row a token, or a row a step tag."""
        tag = self.serving.step_tag_id
        tags = [at for at, token in enumerate(read.ids) if token == tag]
        if len(rows) == len(read.ids):
            row = rows[read.at]
        elif len(rows) == len(tags) and read.at in tags:
            row = rows[tags.index(read.at)]
        else:
            raise RungError(
                f"{self.server.url} gave {len(rows)} rows for {len(read.ids)} tokens, expected"
                f" as many, or one for each of {len(tags)} step tags; {_HOW}"
            )
        if len(row) != self.serving.num_labels:
            raise RungError(
                f"{self.server.url} gave {len(row)} logits a token, expected"
                f" {self.serving.num_labels}; {_HOW}"
            )
        return row


def remote_scorer(
    folder: str | Path,
    url: str,
    *,
    name: str | None = None,
    family: str = AUTO,
    options: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> RemoteScorer:
    """A scorer on the checkpoint in `folder`, which the server at `url` runs.

    Args:
        folder: The checkpoint's files; the weights need not be among them where the family is
            rung's own or is named.
        url: The server, as ``http://localhost:8000``. Its model of the folder's name is asked, or
            the only one it has.
        name: The scorer's name; the folder's by default.
        family: How the model is read, a name in `rung.model.families.FAMILIES`.
        options: The family's options by name.
        key: The token that the server asks for; it is sent there and nowhere else.

    Raises:
        RungError: vLLM can't serve this model, a file is missing, or no such server answers.
    """
    folder_name = Path(folder).resolve().name
    served = serving(folder, family, options)
    return RemoteScorer(name or folder_name, served, connect(url, folder_name, key))
