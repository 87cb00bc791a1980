"""The model card: the README.md of a checkpoint, written from what the run was told and found."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rung.core.types import Chain, Problem
from rung.label.noise import Noise
from rung.model.reading import CLASSES, Reading
from rung.train.settings import (
    LORA_SCALE,
    ImplicitTraining,
    Method,
    Optimization,
    RewardTraining,
    TargetCounts,
    TrainingReport,
)

CARD_FILE = "README.md"
_TOKEN_CLASSIFIER = "ForTokenClassification"
_KINDS = {"prm": "process reward model", "orm": "outcome reward model"}
_LOSSES = {
    "bce": "binary cross entropy, soft labels as they are (arXiv 2312.08935)",
    "mse": "squared error of the score (arXiv 2406.03816)",
    "ce": "cross entropy over the classes, soft labels as mixtures of neighboring classes",
    "pqm": "comparative ranking of a chain's steps (PQM, arXiv 2410.11287), margin {margin:g}",
}
_OUTCOMES = "outcomes of final answers"
_EXAMPLE = Chain.of(Problem("p", "What is 3 * 4?"), ["3 * 4 = 12", "The answer is 12."])


def write_card(
    folder: Path, name: str, settings: RewardTraining, reading: Reading, report: TrainingReport
) -> None:
    """Write the card of the checkpoint in `folder`, whose other files are there already."""
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    is_plain = str(config["architectures"][0]).endswith(_TOKEN_CLASSIFIER)
    last = "[-1]" if reading.kind == "orm" else ""
    source = reading.label_source or _OUTCOMES
    parts = [
        _front(_KINDS[reading.kind], is_plain=is_plain),
        _head(name, reading),
        _in_rung("from rung.score import load_scorer", "load_scorer", last),
        _in_transformers(reading) if is_plain else "",
        _training(_facts(settings, reading, source), settings.optimization, report),
        _limits(source, reading.max_tokens, is_orm=reading.kind == "orm"),
    ]
    (folder / CARD_FILE).write_text("\n".join(part for part in parts if part), encoding="utf-8")


def write_implicit_card(
    folder: Path, name: str, settings: ImplicitTraining, trunk: str, report: TrainingReport
) -> None:
    """Write the card of the implicit PRM in `folder`."""
    loss = {
        "ce": "cross entropy of outcomes (arXiv 2412.01981)",
        "dpo": "preference of right chains over a problem's wrong ones (arXiv 2412.01981, DPO)",
    }[settings.loss]
    facts = {"trunk": trunk, "labels": _OUTCOMES, "loss": loss}
    trained = "all weights" if settings.lora is None else _adapters(settings.lora)
    facts |= {"coefficient": f"{settings.coefficient:g}", "trained": trained}
    parts = [
        _front("process reward model", is_plain=False),
        f"# {name}\n\nThis implicit process reward model gives every step of a chain of reasoning"
        " a score: sigmoid(coefficient * log(policy / reference)) over all tokens of the steps up"
        " to the step's end. The policy is this folder, a causal LM; its reference, the trunk as it"
        " was, lies in `reference/`. It was trained by rung on outcomes alone.\n",
        _in_rung("from rung.score import load_implicit", "load_implicit", ""),
        _training(facts, settings.optimization, report),
        _limits(_OUTCOMES, settings.max_tokens),
    ]
    (folder / CARD_FILE).write_text("\n".join(parts), encoding="utf-8")


def _front(kind: str, *, is_plain: bool) -> str:
    kind = kind.replace(" ", "-")
    lines = ["pipeline_tag: token-classification"] if is_plain else []
    return "\n".join(["---", "library_name: rung", *lines, "tags:", f"- {kind}", "- rung", "---\n"])


def _head(name: str, reading: Reading) -> str:
    says = {
        "prm": "gives every step of a chain of reasoning a score: the probability that the step "
        "is right, given all that stands before it",
        "orm": "gives a finished chain of reasoning one score: the probability that its final "
        "answer is right",
    }[reading.kind]
    return f"# {name}\n\nThis {_KINDS[reading.kind]} {says}. It was trained by rung.\n"


def _in_rung(import_: str, load: str, last: str) -> str:
    return f"""\
## Read it with rung

```sh
rung score chains.jsonl --scorer FOLDER --out scored.jsonl
```

```python
from rung import Chain, Problem
{import_}

scorer = {load}(".")  # this folder
chain = Chain.of(Problem("p", {_EXAMPLE.problem.question!r}), {list(_EXAMPLE.texts)!r})
print(scorer.score([chain])[0].scores{last})
```
"""


def _in_transformers(reading: Reading) -> str:
    is_scalar = reading.head == "scalar"
    score = "logits[:, 0].sigmoid()" if is_scalar else "logits.softmax(-1)[:, 1:].sum(-1)"
    return f"""\
## Read it with transformers alone

The rows of the head are {", ".join(CLASSES[reading.head])}. A step's score stands at the last
token of the separator behind it, and each text is tokenized alone.

```python
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")  # this folder
model = AutoModelForTokenClassification.from_pretrained(".").eval()
question, steps = {_EXAMPLE.problem.question!r}, {list(_EXAMPLE.texts)!r}
behind_question, behind_step = {reading.question_separator!r}, {reading.step_separator!r}
ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
ends = []
for text, separator in [(question, behind_question), *((s, behind_step) for s in steps)]:
    ids += tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ids += tokenizer.encode(separator, add_special_tokens=False)
    ends.append(len(ids) - 1)
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits[0, ends[1:]]
scores = {score}
print(scores{"[-1].item()" if reading.kind == "orm" else ".tolist()"})
```
"""


def _facts(settings: RewardTraining, reading: Reading, source: str) -> dict[str, str]:
    method = settings.method
    words = "" if reading.label_words is None else f", from {' and '.join(reading.label_words)}"
    return {
        "trunk": str(reading.trunk),
        "head": f"{reading.head}: {', '.join(CLASSES[reading.head])}{words}",
        "labels": source,
        "loss": _LOSSES[method.step_loss].format(margin=method.margin) + _corrected(settings.noise),
        "trained": _trained(method),
    }


def _corrected(noise: Noise | None) -> str:
    if noise is None:
        return ""
    rates = ", ".join(
        f"{one.says_right_of_wrong:.3f} of wrong and {one.says_right_of_right:.3f} of right steps"
        f" from step {one.first + 1} on"
        for one in noise
    )
    return f"; corrected for labels that say right of {rates} (arXiv 1609.03683)"


def _training(facts: dict[str, str], optimization: Optimization, report: TrainingReport) -> str:
    best = "" if report.validation is None else f", the weights of step {report.best_step} kept"
    facts = facts | {
        "optimizer": f"AdamW, learning rate {optimization.lr:g}, {optimization.schedule}",
        "run": f"epochs: {optimization.epochs}, tokens a batch: {optimization.batch_tokens},"
        f" seed: {optimization.seed}",
        "steps": f"{report.steps}{best}",
        "weights": report.weights_hash,
    }
    counts = {
        "chains": "chains",
        "targets": "targets",
        "shared with an earlier chain": "duplicate",
        "without a label": "unlabeled",
        "lost beyond the context": "truncated",
    }
    rows = [(about, *_both(report, name)) for about, name in counts.items()]
    held_out = "-" if report.validation_loss is None else f"{report.validation_loss:.4f}"
    rows.append(("loss", f"{report.train_loss:.4f}", held_out))
    if report.constant_loss is not None:
        rows.append(("loss if all were scored alike", *constant_loss_cells(report)))
    return "\n".join(
        [
            "## How it was trained\n",
            _table(("what", "how"), list(facts.items())),
            _table(("", "training", "validation"), rows),
        ]
    )


def constant_loss_cells(report: TrainingReport) -> tuple[str, str]:
    """What scoring all alike would lose, under training or validation: whose targets it is of."""
    shown = "-" if report.constant_loss is None else f"{report.constant_loss:.4f}"
    return (shown, "-") if report.validation is None else ("", shown)


def _trained(method: Method) -> str:
    if method.lora is not None:
        return f"{_adapters(method.lora)}, and the head"
    if method.trainable == "head":
        return "the head; the trunk is as it was"
    if method.trainable == "all":
        return "all weights"
    return f"the last {method.trainable.removeprefix('last:')} layers, final norm and head"


def _adapters(rank: int) -> str:
    return f"adapters of rank {rank} (alpha {LORA_SCALE * rank}), merged"


def _limits(source: str, max_tokens: int, *, is_orm: bool = False) -> str:
    limits = [
        f"A score repeats what the labels meant by right ({source}), on chains like those it has"
        " seen. On other policies, other problems or other ways to cut steps, measure first:"
        " `rung eval` does.",
        f"Chains longer than {max_tokens} tokens are scored up to there; steps beyond have"
        " no score.",
        "A policy that is trained or searched against these scores finds their weaknesses.",
        "No score is a proof: where an answer or a step can be checked, check it.",
    ]
    if is_orm:
        limits.append("It has learned whole chains; its score of a beginning means little.")
    return "\n".join(["## Limits\n", *(f"- {limit}" for limit in limits)]) + "\n"


def _both(report: TrainingReport, name: str) -> tuple[str, str]:
    sides: tuple[TargetCounts | None, ...] = (report.train, report.validation)
    train, held_out = ("-" if side is None else str(getattr(side, name)) for side in sides)
    return train, held_out


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
