"""Reward models behind an inference server: how one is started, and how its rows become scores.

The engine is vLLM (https://docs.vllm.ai/en/latest/models/pooling_models/): its task
``token_classify`` runs trunk and head and gives a row of logits a token; its pooler STEP gives
only the rows of tokens that are the step tag. All that remains here is a tokenizer: no weights
are opened. K is the number of rows that are read, L of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from rung.core.errors import InputError
from rung.core.types import Chain
from rung.model.families import (
    AUTO,
    er_prm,
    fover,
    math_psa,
    math_shepherd,
    named,
    options_of,
    pure,
    qwen_prm,
    reasonflux,
    recognize,
    rlhflow,
    trl,
)
from rung.model.families.marked import MarkedText
from rung.model.families.texts import marker_id
from rung.model.families.turns import JudgedTurns
from rung.model.foreign import native_config
from rung.model.reading import CLASSES, READING_FILE, Kind, load_reading
from rung.model.rendering import Rendered, render_all
from rung.model.trunk import load_tokenizer, read_config

FloatArray = NDArray[np.float64]
CLASSIFY = ("--convert", "classify")
"""Lets vLLM put a classifier's head on the trunk of a causal LM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A reward model as its server's client sees it."""

    family: str
    kind: Kind
    render: Callable[[Sequence[Chain]], list[Rendered]]
    """Chains to ids and the places where their steps' scores are read."""
    num_labels: int
    scores: Callable[[FloatArray], FloatArray]
    """From logits (K, L) to K scores: P(this step is right, given its prefix)."""
    aggregation: str | None
    """How the authors combine the step scores; None: they don't say."""
    step_tag_id: int | None = None
    """The token that stands at every place that is read, if one does; it may stand elsewhere."""
    engine: tuple[str, ...] = ()
    """What ``vllm serve`` is told of this family beside the pooler."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What scores depend on besides weights and tokenizer, as JSON."""

    @property
    def pooler(self) -> dict[str, Any]:
        """VLLM's ``--pooler-config``."""
        tag = {"tok_pooling_type": "STEP", "step_tag_id": self.step_tag_id}
        only = {} if self.step_tag_id is None else tag
        return {"task": "token_classify", **only, "use_activation": False}


def serving(
    folder: str | Path, family: str = AUTO, options: Mapping[str, Any] | None = None
) -> Serving:
    """How the server of a checkpoint is started and read, from all its files but the weights.

    Args:
        folder: The checkpoint. To tell the family of any but rung's own, the weights are needed.
        family: A name in `rung.model.families.FAMILIES`, or "auto".
        options: The family's options by name.

    Raises:
        RungError: vLLM can't serve it, the family can't be told, or a file is missing or damaged.
    """
    path = Path(folder)
    if family == AUTO:
        is_own = (path / READING_FILE).exists()
        family = "rung" if is_own else recognize(path).family.name
    chosen = options_of(named(family), options or {})
    if family not in SERVED:
        reason = f"the family {family} can't be scored by a vLLM server, only {', '.join(SERVED)}"
        raise InputError(reason, file=str(folder))
    return SERVED[family](path, chosen)


def _own(folder: Path, _: Any) -> Serving:
    """A checkpoint of `rung train`."""
    reading = load_reading(folder)
    architecture = _architecture(folder)
    if not architecture.endswith(trl.ENDING):
        reason = f"its architecture is {architecture}, and vLLM serves only token classifiers"
        raise InputError(reason, file=str(folder))
    tokenizer = load_tokenizer(folder)

    def render(chains: Sequence[Chain]) -> list[Rendered]:
        return render_all(chains, tokenizer, reading)

    return Serving(
        family="rung",
        kind=reading.kind,
        render=render,
        num_labels=len(CLASSES[reading.head]),
        scores=_sigmoid if reading.head == "scalar" else _all_but_first,
        aggregation="min",
        step_tag_id=tokenizer.encode(reading.step_separator, add_special_tokens=False)[-1],
        engine=CLASSIFY,
        settings=msgspec.to_builtins(reading),
    )


def _marked(family: str, system: str | None, aggregation: str | None) -> _Serve:
    """Qwen's layout, for which vLLM has a class of its own."""

    def serve(folder: Path, _: Any) -> Serving:
        tokenizer, max_tokens = _tokenizer(folder)
        return Serving(
            family=family,
            kind="prm",
            render=qwen_prm.marked(tokenizer, system, max_tokens),
            num_labels=2,
            scores=_all_but_first,
            aggregation=aggregation,
            step_tag_id=marker_id(tokenizer, qwen_prm.MARKER),
        )

    return serve


def _trl(folder: Path, options: trl.TrlOptions) -> Serving:
    tokenizer, max_tokens = _tokenizer(folder)
    separator = trl.separator_of(folder, options)
    shows = trl.whole_strings if options.mode == "published" else trl.pieces
    return Serving(
        family=trl.FAMILY.name,
        kind="prm",
        render=shows(tokenizer, separator, max_tokens),
        num_labels=2,
        scores=_all_but_first,
        aggregation=None,
        engine=CLASSIFY,
        settings={**msgspec.to_builtins(options), "separator": separator},
    )


def _pure(folder: Path, options: pure.PureOptions) -> Serving:
    tokenizer, max_tokens = _tokenizer(folder)
    return Serving(
        family=pure.FAMILY.name,
        kind="prm",
        render=trl.pieces(tokenizer, options.separator, max_tokens, with_bos=False),
        num_labels=2,
        scores=_all_but_first,
        aggregation="soft_min",
        engine=CLASSIFY,
        settings=msgspec.to_builtins(options),
    )


def _words(family: str, module: _Words, aggregation: str | None) -> _Serve:
    """A causal LM that judges by one of two tokens.

    vLLM makes a classifier with one logit of it: the difference of the tokens' two rows of the LM
    head. Its sigmoid is the softmax over the two.
    """

    def serve(folder: Path, _: Any) -> Serving:
        tokenizer, max_tokens = _tokenizer(folder)
        good, bad = module.labels(tokenizer)
        render = module.rendering(tokenizer, max_tokens)
        overrides = {
            "architectures": [_architecture(folder).replace("CausalLM", "SequenceClassification")],
            "method": "from_2_way_softmax",
            "classifier_from_token": tokenizer.convert_ids_to_tokens([bad, good]),
        }
        return Serving(
            family=family,
            kind="prm",
            render=render,
            num_labels=1,
            scores=_sigmoid,
            aggregation=aggregation,
            step_tag_id=render.marker[0] if isinstance(render, MarkedText) else None,
            engine=("--hf-overrides", msgspec.json.encode(overrides).decode()),
        )

    return serve


_Serve = Callable[[Path, Any], Serving]


class _Words(Protocol):
    """What the module of such a family has."""

    def labels(self, tokenizer: Any) -> tuple[int, int]: ...

    def rendering(self, tokenizer: Any, max_tokens: int) -> MarkedText | JudgedTurns: ...


SERVED: dict[str, _Serve] = {
    "rung": _own,
    qwen_prm.FAMILY.name: _marked(qwen_prm.FAMILY.name, qwen_prm.SYSTEM, "product"),
    reasonflux.FAMILY.name: _marked(reasonflux.FAMILY.name, None, None),
    trl.FAMILY.name: _trl,
    pure.FAMILY.name: _pure,
    math_shepherd.FAMILY.name: _words(math_shepherd.FAMILY.name, math_shepherd, "min"),
    er_prm.FAMILY.name: _words(er_prm.FAMILY.name, er_prm, None),
    math_psa.FAMILY.name: _words(math_psa.FAMILY.name, math_psa, None),
    rlhflow.PRM.name: _words(rlhflow.PRM.name, rlhflow, "mean"),
    fover.FAMILY.name: _words(fover.FAMILY.name, fover, "min"),
}
"""The families that vLLM can serve."""


def _architecture(folder: Path) -> str:
    return str((read_config(folder).get("architectures") or ["none"])[0])


def _tokenizer(folder: Path) -> tuple[Any, int]:
    """A published model's tokenizer, and its context."""
    config = native_config(folder)
    return load_tokenizer(folder, config), config.max_position_embeddings


def _sigmoid(logits_KL: FloatArray) -> FloatArray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits_KL[:, 0]))


def _all_but_first(logits_KL: FloatArray) -> FloatArray:
    """The softmax mass of all labels but the first, which is a wrong step."""
    mass_KL = np.exp(logits_KL - logits_KL.max(axis=1, keepdims=True))
    return mass_KL[:, 1:].sum(axis=1) / mass_KL.sum(axis=1)
