"""Implicit PRMs: what a policy came to prefer over its reference, summed up to a step's end.

A model that was trained on outcomes as ``coefficient * log(policy / reference)`` of whole chains
holds a value of every prefix (arXiv 2412.01981, equation 4). EurusPRM-Stage1 and -Stage2 and
ImplicitPRM_* are published so, each a causal LM that is read beside a reference model.

Source: PRIME-RL/ImplicitPRM ``eval/processbench.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, StepScores
from rung.model.checkpoint import weights_hash
from rung.model.families import checkpoint_files
from rung.model.families.texts import chat, encode, plain_text, shown
from rung.model.implicit import (
    IMPLICIT_FILE,
    REFERENCE,
    ImplicitReading,
    load_implicit_reading,
)
from rung.model.radix import numbered
from rung.model.reading import Kind
from rung.model.rendering import render_all
from rung.score.implicit_session import ImplicitPrefixes, score_of
from rung.score.logprobs import Asked, LogProbs, open_logprobs
from rung.score.reward import Precision
from rung.score.session import ScoringSession

STEP_SEPARATOR = "\n\n"
SUMMED = "EurusPRM-Stage2"
"""Of the published models the one whose authors sum the step scores."""
READS_A_CALL = 16_384
"""Positions whose features are kept at one time."""


class Boundaries(NamedTuple):
    """A chain as token ids, and where its steps end.

    Token `i + 1` is predicted at position `i`, and so is its log ratio counted there.
    """

    ids: tuple[int, ...]
    start: int
    """The first position that counts."""
    step_ends: tuple[int | None, ...]
    """For each step the last position that counts for it; None beyond the context."""

    @property
    def counted(self) -> range:
        """The positions that count for any step."""
        return range(
            self.start, max((end + 1 for end in self.step_ends if end is not None), default=0)
        )

    @property
    def last_step(self) -> range:
        """The positions that count for the last step alone, which is within the context."""
        begins = [self.start, *(end + 1 for end in self.step_ends if end is not None)]
        return range(*begins[-2:])


@dataclass(frozen=True, slots=True)
class ImplicitScorer:
    """A `Scorer` on a policy and its reference model.

    A step's score is sigmoid(Q), where Q is the coefficient times the sum of log policy /
    reference over the answer's tokens up to the step's boundary. In a model of `rung train
    implicit` that is the last token of the step's separator. The authors put that boundary two
    tokens before the end of the prefix written as a conversation of its own. So within a
    chain a step's sum reaches into the beginning of the next, which is always "Step i: ", and at
    the chain's end it takes in the token that ends the turn: unlike with rung's own models, the
    score of a chain's last step changes a little when another step is written behind it.
    """

    name: str
    weights_hash: str
    """Of the policy."""
    reference_hash: str
    coefficient: float
    policy: LogProbs
    reference: LogProbs
    lay_out: Callable[[Sequence[Chain]], list[Boundaries]]
    """Chains as ids, and where their steps end."""
    has_sessions: bool
    """Whether a step's score stays when another is written behind it, as in rung's own layout."""
    tokenizer: Any
    settings: Mapping[str, Any]
    """What the layout depends on besides the tokenizer, as JSON."""
    aggregation: str = "min"
    """How its authors combine step scores: the minimum, for EurusPRM-Stage2 the sum."""

    @property
    def kind(self) -> Kind:
        """Every step has a score."""
        return "prm"

    @property
    def family(self) -> str:
        """How a table names it."""
        return "implicit"

    @property
    def fingerprint(self) -> Any:
        """All that the numbers depend on, as JSON."""
        trunk = self.policy.head_VD
        runs_in = f"{trunk.device.type} {trunk.dtype}"
        told = [self.name, "implicit", self.weights_hash, self.reference_hash]
        return [*told, self.coefficient, dict(self.settings), runs_in]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        """Score B chains; steps beyond the model's context have score None.

        Raises:
            RungError: The tokenizer has no chat template, or a model gives no number.
        """
        told_B = self.lay_out(chains)
        return [
            StepScores(self._scores(told, ratios), self.name, self.weights_hash)
            for batch in _batches(told_B)
            for told, ratios in zip(batch, self._log_ratios(batch), strict=True)
        ]

    @property
    def reads_unfinished_steps(self) -> bool:
        """The separator behind a step counts, so a step must have ended."""
        return False

    def open(self, problem: Problem, *, max_kept_mib: float | None = None) -> ScoringSession:
        """A session for scoring chains of a problem (and of more: `add`) while they grow.

        Args:
            problem: Its empty prefix is live; its id is ``problem.root_id``.
            max_kept_mib: Memory for the keys and values of both models between calls, half each.

        Raises:
            RungError: The model is a published one, whose scores change behind further steps.
        """
        if not self.has_sessions:
            raise RungError(
                f"{self.name} has no sessions: as its authors read it, the score of a chain's last"
                " step changes when a step is written behind it; call score with whole chains"
            )
        kept = None if max_kept_mib is None else int(max_kept_mib * 2**19)
        models = self.policy.fresh(kept), self.reference.fresh(kept)
        session = ScoringSession(
            ImplicitPrefixes(self.name, self.lay_out, self.coefficient, *models)
        )
        session.add(problem)
        return session

    def _scores(self, told: Boundaries, ratios: Sequence[float]) -> tuple[float | None, ...]:
        values = list(accumulate(self.coefficient * ratio for ratio in ratios))
        ends = (None if end is None else end - told.start for end in told.step_ends)
        return tuple(None if end is None else score_of(values[end], self.name) for end in ends)

    def _log_ratios(self, batch: Sequence[Boundaries]) -> list[list[float]]:
        """Log policy / reference at each chain's positions that count.

        A token behind a prefix that several chains begin with is asked for once.
        """
        numbers: dict[tuple[int, int], int] = {}
        nodes_B = [numbered(told.ids, numbers) for told in batch]
        asked: list[Asked] = []
        order: dict[int, None] = {}
        for told, nodes in zip(batch, nodes_B, strict=True):
            new = [at for at in told.counted if nodes[at + 1] not in order]
            order |= dict.fromkeys(nodes[at + 1] for at in new)
            asked.append(Asked(told.ids, new))
        both = zip(self.policy.of(asked), self.reference.of(asked), strict=True)
        ratio_of = dict(zip(order, (ours - theirs for ours, theirs in both), strict=True))
        return [
            [ratio_of[nodes[at + 1]] for at in told.counted]
            for told, nodes in zip(batch, nodes_B, strict=True)
        ]


def boundaries(chain: Chain, tokenizer: Any, max_tokens: int) -> Boundaries:
    """Render a chain as a conversation, and find where its steps end as the authors do.

    The steps, each behind "Step i: ", are the assistant's turn, with two line ends between. The
    boundary behind step k is two tokens before the end of the conversation cut there, stripped,
    with two line ends behind it if further steps follow.

    Raises:
        RungError: The tokenizer has no chat template.
    """
    plain = plain_text(tokenizer)
    question = plain(chain.problem.question)
    steps = [f"Step {k}: {plain(shown(step))}" for k, step in enumerate(chain.steps, 1)]

    def conversation(count: int) -> str:
        answer = STEP_SEPARATOR.join(steps[:count])
        return chat(tokenizer, [("user", question), ("assistant", answer)])

    cut = [conversation(count).strip() for count in range(len(steps) + 1)]
    cut[1:-1] = [text + STEP_SEPARATOR for text in cut[1:-1]]
    ids, *prefixes = encode([conversation(len(steps)), *cut], tokenizer, special=False)
    start, *ends = (min(len(prefix), len(ids)) - 2 for prefix in prefixes)
    known = (end if end < max_tokens else None for end in ends)
    return Boundaries(tuple(ids), start, tuple(known))


def own_boundaries(
    chains: Sequence[Chain], tokenizer: Any, reading: ImplicitReading
) -> list[Boundaries]:
    """Chains as `rung train implicit` shows them: a step ends with its separator's last token."""
    return [
        Boundaries(
            rendered.ids,
            rendered.num_question_tokens - 1,
            tuple(None if end is None else end - 1 for end in rendered.step_ends),
        )
        for rendered in render_all(chains, tokenizer, reading)
    ]


def load_implicit(
    folder: str | Path,
    reference: str | Path | None = None,
    *,
    coefficient: float | None = None,
    name: str | None = None,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    trust_pickle: bool = False,
) -> ImplicitScorer:
    """Open an implicit PRM and its reference, on the GPU where there is one.

    Args:
        folder: The PRM: of `rung train implicit`, which says all else itself; or a published
            one, a causal LM with a tokenizer and a chat template.
        reference: The model it was trained against, with the same vocabulary. For EurusPRM the
            card says Qwen2.5-Math-7B-Instruct and the repository's script Qwen2.5-7B-Instruct;
            for ImplicitPRM_DPO it is Llama-3.1-8B-Instruct.
        coefficient: What the log ratio is multiplied by: 0.001 on EurusPRM's card, 0.005 in the
            repository's script. It changes how far scores are from 0.5, never their order.
        name: The scorer's name; the folder's by default.
        batch_tokens: Tokens in one forward pass; by default what suits the device.
        precision: As in `load_scorer`; log-probabilities are made in fp32 in any case.
        trust_pickle: Open pickled weights too.

    Raises:
        RungError: A file is missing or damaged, the two vocabularies differ, or a published PRM
            comes without its reference or its coefficient.
    """
    own = load_implicit_reading(Path(folder))
    if own is not None:
        reference = Path(folder) / REFERENCE if reference is None else reference
        coefficient = own.coefficient if coefficient is None else coefficient
    if reference is None or coefficient is None:
        raise RungError(f"{folder} has no {IMPLICIT_FILE}: name its reference and its coefficient")
    opened = [
        open_logprobs(Path(source), batch_tokens, precision, trust_pickle)
        for source in (folder, reference)
    ]
    (policy, lm), (other, _) = opened
    num_tokens = min(len(lm.tokenizer), len(policy.head_VD))
    if len(other.head_VD) < num_tokens:
        raise RungError(
            f"the reference model knows {len(other.head_VD)} tokens, the PRM {num_tokens}: it"
            " can't be the model that the PRM was trained against"
        )
    max_tokens = min(found.config.max_position_embeddings for _, found in opened)

    def lay_out(chains: Sequence[Chain]) -> list[Boundaries]:
        if own is not None:
            return own_boundaries(chains, lm.tokenizer, own)
        return [boundaries(chain, lm.tokenizer, max_tokens) for chain in chains]

    hashes = [weights_hash(found.weights.folder, found.weights.files) for _, found in opened]
    return ImplicitScorer(
        name=name or Path(folder).resolve().name,
        weights_hash=hashes[0],
        reference_hash=hashes[1],
        coefficient=coefficient,
        policy=policy,
        reference=other,
        lay_out=lay_out,
        has_sessions=own is not None,
        tokenizer=lm.tokenizer,
        settings={"max_tokens": max_tokens} if own is None else msgspec.to_builtins(own),
        aggregation=_aggregation(Path(folder)) if own is None else "min",
    )


def _aggregation(folder: Path) -> str:
    return "sum" if checkpoint_files(folder).mentions(SUMMED) else "min"


def _batches(told_B: Sequence[Boundaries]) -> Iterator[list[Boundaries]]:
    """Chains in batches of few enough positions."""
    batch: list[Boundaries] = []
    room = READS_A_CALL
    for told in told_B:
        if batch and len(told.ids) > room:
            yield batch
            batch, room = [], READS_A_CALL
        batch.append(told)
        room -= len(told.ids)
    if batch:
        yield batch
