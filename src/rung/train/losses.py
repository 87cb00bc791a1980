"""Losses: pure functions from logits and targets to a sum over the targets.

Shape letters: B chains, K targets of a batch, C classes, V vocabulary, S steps of one chain.
Sums, not means: the loop divides by the number of targets of a whole optimizer step, so that every
step of every chain weighs the same however the chains were cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rung.model.reading import CLASSES
from rung.train.settings import LossName, Method


def binary_cross_entropy(
    logits_K: Float[Tensor, " K"], labels_K: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of -y log s - (1 - y) log(1 - s), s = sigmoid(logit).

    Math-Shepherd (arXiv 2312.08935), equation 3. A soft label y in [0, 1] stays a float.
    """
    return F.binary_cross_entropy_with_logits(logits_K, labels_K, reduction="sum")


def squared_error(
    logits_K: Float[Tensor, " K"], labels_K: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of (sigmoid(logit) - y)^2: regression onto a soft label.

    ReST-MCTS* (arXiv 2406.03816) trains its process reward model so, on the head's bare value
    (THUDM/ReST-MCTS, PRM/train_VM_mistral.py); the sigmoid here keeps scores in [0, 1].
    """
    return (torch.sigmoid(logits_K) - labels_K).square().sum()


def class_cross_entropy(
    logits_KC: Float[Tensor, "K C"], labels_K: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of -t log softmax(logits) over the classes, for 2 or 3 of them.

    Two classes as in Let's Verify Step by Step (arXiv 2305.20050) and TRL's trainer, three as in
    ReasonEval (arXiv 2404.05692). Both learn from hard labels; here a soft label is a soft
    target t, see `class_targets`.
    """
    targets_KC = class_targets(labels_K, logits_KC.shape[-1])
    return F.cross_entropy(logits_KC, targets_KC, reduction="sum")


def class_targets(labels_K: Float[Tensor, " K"], num_classes: int) -> Float[Tensor, "K C"]:
    """What labels y in [0, 1] ask of the classes (wrong, right) or (wrong, neutral, right).

    The target is the mixture of at most two neighboring classes whose mean is y, where wrong
    counts 0, neutral 0.5 and right 1: of three classes, 0.5 is all neutral, and 0.75 half
    neutral, half right.
    """
    worth_C = torch.linspace(0, 1, num_classes, dtype=labels_K.dtype, device=labels_K.device)
    return (1 - (labels_K[:, None] - worth_C).abs() * (num_classes - 1)).clamp(min=0)


def forward_corrected(
    logits: Float[Tensor, " K"] | Float[Tensor, "K 2"],
    labels_K: Float[Tensor, " K"],
    confusion_K2: Float[Tensor, "K 2"],
) -> Float[Tensor, ""]:
    """Sum of -y log q - (1 - y) log(1 - q): the cross entropy of noisy labels.

    The forward correction of Patrini et al. (arXiv 1609.03683, theorem 2) for two classes. With
    s = P(right), which the logits say, and a = P(says right | wrong), b = P(says right | right),
    the source says right with the probability

        q = a (1 - s) + b s,

    so the sum is smallest where s is the truth's own probability: the noise is in the loss, and
    the model's scores stay clean. Each target has its own a and b; the paper has one matrix for
    all. A soft label y is taken as it is: then a and b are the mean labels of wrong and of right
    steps. With a = 0 and b = 1 this is `binary_cross_entropy`, or `class_cross_entropy`.

    Args:
        logits: Of a scalar head, or of the two classes (wrong, right).
        labels_K: What the source says, in [0, 1].
        confusion_K2: a and b of each target.
    """
    logit_K = logits if logits.ndim == 1 else logits[:, 1] - logits[:, 0]
    truth_K2 = F.logsigmoid(torch.stack([-logit_K, logit_K], dim=1))
    says_right_K = (truth_K2 + confusion_K2.log()).logsumexp(dim=1)
    says_wrong_K = (truth_K2 + (-confusion_K2).log1p()).logsumexp(dim=1)
    return -(labels_K * says_right_K + (1 - labels_K) * says_wrong_K).sum()


def comparative_ranking(
    logits_K: Float[Tensor, " K"],
    labels_K: Float[Tensor, " K"],
    chains_K: Int[Tensor, " K"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """Sum over the chains of their comparative loss, each times the chain's number of targets.

    PQM (arXiv 2410.11287): a right step is worth more than every right step before it and than
    the question alone, whose value Q_0 is 0; and all these more than any wrong step, by the
    margin zeta. With Q_1, ... the logits of a chain's right steps in their order and W its wrong
    steps, the chain's loss is the mean over t = 0, 1, ... of

        -log( exp(Q_t) / (sum over q <= t of exp(Q_q) + sum over w in W of exp(Q_w + zeta)) ).

    The term of t = 0 says nothing where no step is wrong, and is not counted there. The authors'
    code (WindyLee0822/Process_Q_Model, train_main.py) differs from their equation: it counts Q_t
    twice in the denominator from the second step on, and adds 1e-5 to it; we don't.

    Args:
        logits_K: The values Q.
        labels_K: A step is right from 0.5.
        chains_K: Which chain a target belongs to; targets of one chain stand in the order of its
            steps.
        margin: Zeta.
    """
    parts = [
        _ranking_of_chain(logits_K[chains_K == chain], labels_K[chains_K == chain] >= 0.5, margin)
        for chain in chains_K.unique()
    ]
    return torch.stack(parts).sum()


def implicit_cross_entropy(
    log_ratios_K: Float[Tensor, " K"],
    chains_K: Int[Tensor, " K"],
    outcomes_B: Float[Tensor, " B"],
    *,
    coefficient: float,
) -> Float[Tensor, ""]:
    """Sum over the chains of the binary cross entropy of their outcomes and rewards.

    Implicit PRM (arXiv 2412.01981), the cross-entropy form: a chain's reward is the
    logit ``r = coefficient * log(policy / reference)`` of its tokens, so the model learns from
    outcomes alone, and the same sum up to a step's end is the step's value.

    Args:
        log_ratios_K: log(policy / reference) of each token of the steps.
        chains_K: Which of the B chains a token belongs to.
        outcomes_B: 1 for a right final answer, 0 for a wrong one; between is a soft label.
        coefficient: Beta in the paper.
    """
    rewards_B = _implicit_rewards(log_ratios_K, chains_K, len(outcomes_B), coefficient)
    return binary_cross_entropy(rewards_B, outcomes_B)


def implicit_preference(
    log_ratios_K: Float[Tensor, " K"],
    chains_K: Int[Tensor, " K"],
    outcomes_B: Float[Tensor, " B"],
    questions_B: Int[Tensor, " B"],
    *,
    coefficient: float,
) -> Float[Tensor, ""]:
    """Sum over the questions of their preference loss, each times its number of chains.

    Implicit PRM (arXiv 2412.01981) in DPO's form (arXiv 2305.18290, equation 7): a question's
    loss is the mean of -log sigmoid(r - r') over all its pairs of a right chain and a wrong one,
    with the rewards of `implicit_cross_entropy`. Both papers are given pairs; here every pair of
    a batch counts, at no further cost. A question without a pair adds 0.

    Args:
        log_ratios_K: log(policy / reference) of each token of the steps.
        chains_K: Which of the B chains a token belongs to.
        outcomes_B: A chain is right from 0.5.
        questions_B: Which question a chain answers.
        coefficient: Beta in the papers.
    """
    rewards_B = _implicit_rewards(log_ratios_K, chains_K, len(outcomes_B), coefficient)
    is_right_B = outcomes_B >= 0.5
    total = rewards_B.sum() * 0.0  # so that a batch without a pair has a gradient too
    for question in questions_B.unique():
        of_question_B = questions_B == question
        right, wrong = rewards_B[of_question_B & is_right_B], rewards_B[of_question_B & ~is_right_B]
        if len(right) and len(wrong):
            pairs = F.softplus(wrong[None, :] - right[:, None])
            total = total + pairs.mean() * of_question_B.sum()
    return total


def token_cross_entropy(
    logits_KV: Float[Tensor, "K V"], ids_K: Int[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Sum of -log P(token): next-token prediction."""
    return F.cross_entropy(logits_KV, ids_K, reduction="sum")


STEP_LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "mse": squared_error,
    "ce": class_cross_entropy,
}
"""A loss that judges every step alone, by its name; "pqm" compares the steps of a chain."""


def step_loss(method: Method) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of logits, labels and chains (see `comparative_ranking`) that `method` names."""
    if method.step_loss == "pqm":
        return partial(comparative_ranking, margin=method.margin)
    alone = STEP_LOSSES[method.step_loss]
    return lambda logits, labels_K, chains_K: alone(logits, labels_K)


def constant_loss(method: Method, labels: Sequence[float]) -> float | None:
    """What a model loses a target, in the mean, that scores all alike and as well as one can.

    Of cross entropy it is the entropy of the mean label, of squared error the labels' variance. A
    model that loses no less tells no step from another. None for pqm, which compares steps, and
    where the labels are all the same.
    """
    if method.step_loss == "pqm" or len(set(labels)) < 2:
        return None
    labels_K = torch.tensor(labels, dtype=torch.float64)
    if method.step_loss == "mse":
        return labels_K.var(correction=0).item()
    share_C = class_targets(labels_K, max(2, len(CLASSES[method.head]))).mean(dim=0)
    return torch.special.entr(share_C).sum().item()


def _implicit_rewards(
    log_ratios_K: Float[Tensor, " K"], chains_K: Int[Tensor, " K"], num_chains: int, beta: float
) -> Float[Tensor, " B"]:
    return beta * log_ratios_K.new_zeros(num_chains).index_add(0, chains_K, log_ratios_K)


def _ranking_of_chain(
    logits_S: Float[Tensor, " S"], is_right_S: Tensor, margin: float
) -> Float[Tensor, ""]:
    wrong = logits_S[~is_right_S]
    ladder = torch.cat([logits_S.new_zeros(1), logits_S[is_right_S]])
    below = ladder.logcumsumexp(0)
    if not len(wrong):
        return (below - ladder)[1:].mean() * len(logits_S)
    all_lower = torch.logaddexp(below, (wrong + margin).logsumexp(0))
    return (all_lower - ladder).mean() * len(logits_S)
