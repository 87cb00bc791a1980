"""Published PRMs that are no head on one trunk: implicit and generative ones, by name.

`OTHERS` is the one list; beside it stand the families of `rung.model.families`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rung.core.errors import RungError
from rung.core.protocols import Completer
from rung.model.families import AUTO, recognize
from rung.model.implicit import IMPLICIT_FILE
from rung.model.reader import CheckpointFiles, move_trunk
from rung.model.reading import READING_FILE
from rung.score.calibrated import ModelScorer
from rung.score.generative import GenPRM
from rung.score.implicit import load_implicit
from rung.score.reward import Precision, dtype_for, opening_dtype
from rung.score.thinkprm import ThinkPRM

if TYPE_CHECKING:
    from rung.verify import Sandbox

OWN = "rung"
"""The family of what rung trains with a head."""
CODE_LIMIT_S = 5.0
"""What GenPRM's authors give a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How such a model is opened."""

    options: Any
    """Its options: an instance of `Other.options`."""
    name: str | None = None
    """The scorer's name; the folder's by default."""
    url: str | None = None
    """The server that runs it; None to run it here."""
    key: str | None = field(default=None, repr=False)
    """The token that the server asks for."""
    precision: Precision = "auto"
    trust_pickle: bool = False
    batch_tokens: int | None = None
    unsafe_local: bool = False
    """Run a model's code without a sandbox where there is none."""


@dataclass(frozen=True, slots=True)
class Other:
    """One kind of such models; a `rung.model.families.Known`."""

    name: str
    about: str
    recognize: Callable[[CheckpointFiles], str | None]
    open: Callable[[Path, How], ModelScorer]
    options: type[Any]
    in_python: str
    """What opens it there."""
    rank: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicitOptions:
    """What a published implicit PRM does not say of itself."""

    reference: str | None = None
    """The folder of the model it was trained against."""
    coefficient: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenPRMOptions:
    """How GenPRM judges (see `GenPRM`)."""

    samples: int = 1
    mode: Literal["analyze", "direct"] = "analyze"
    run_code: bool = False
    """Let it check its analysis with Python, which the sandbox runs."""
    first_turn: Literal["evaluation", "card"] = "evaluation"
    max_tokens: int = 2048
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkPRMOptions:
    """How ThinkPRM judges (see `ThinkPRM`)."""

    samples: int = 1
    kind: Literal["prm", "orm"] = "prm"
    names_steps: bool = True
    rounds: int = 1
    max_tokens: int = 8192
    seed: int = 0


def code_runner(sandbox: Sandbox) -> Callable[[str], str]:
    """What runs a model's Python in the sandbox and gives back what it printed, as `GenPRM` asks.

    The error, or that the time was over, is told in the words of GenPRM's authors.
    """
    from rung.verify.cells import run_cells

    def run(code: str) -> str:
        [ran] = run_cells(sandbox, [code], CODE_LIMIT_S)
        if ran is None or ran.error == "timeout":
            return "Code execute time out: Code execution timed out"
        return ran.output.strip() if ran.error is None else f"Code execute Error: {ran.error}"

    return run


def family_of_reader(folder: Path, family: str) -> str:
    """The family's name, for what opens families alone; "auto" is told from the files.

    Raises:
        RungError: It is one of `OTHERS`, or can't be told.
    """
    if family == AUTO:
        is_own = (folder / READING_FILE).exists()
        family = OWN if is_own else recognize(folder, OTHERS.values()).family.name
    if family in OTHERS:
        other = OTHERS[family]
        raise RungError(
            f"{folder} is {other.about}, which load_scorer doesn't open: rung.score."
            f"{other.in_python} does (docs/guides/generative-and-implicit.md)"
        )
    return family


def _open_implicit(folder: Path, how: How) -> ModelScorer:
    if how.url is not None:
        raise RungError("an implicit PRM compares two models, which run here; give FOLDER alone")
    chosen: ImplicitOptions = how.options
    is_whole = (folder / IMPLICIT_FILE).exists()
    if not is_whole and (chosen.reference is None or chosen.coefficient is None):
        raise RungError(
            f"{folder} does not say what it was trained against: give --family-option"
            " reference=FOLDER and --family-option coefficient=NUMBER"
        )
    return load_implicit(
        folder,
        chosen.reference,
        coefficient=chosen.coefficient,
        name=how.name,
        batch_tokens=how.batch_tokens,
        precision=how.precision,
        trust_pickle=how.trust_pickle,
    )


def _open_genprm(folder: Path, how: How) -> ModelScorer:
    from rung.verify import find_sandbox

    chosen: GenPRMOptions = how.options
    sandbox = find_sandbox(unsafe_local=how.unsafe_local) if chosen.run_code else None
    completer, tokenizer, digest = _completer(folder, how)
    return GenPRM(
        completer=completer,
        tokenizer=tokenizer,
        name=how.name or folder.resolve().name,
        weights_hash=digest,
        num_samples=chosen.samples,
        mode=chosen.mode,
        run_code=None if sandbox is None else code_runner(sandbox),
        first_turn=chosen.first_turn,
        max_tokens=chosen.max_tokens,
        seed=chosen.seed,
    )


def _open_thinkprm(folder: Path, how: How) -> ModelScorer:
    chosen: ThinkPRMOptions = how.options
    completer, tokenizer, digest = _completer(folder, how)
    return ThinkPRM(
        completer=completer,
        tokenizer=tokenizer,
        name=how.name or folder.resolve().name,
        weights_hash=digest,
        kind=chosen.kind,
        names_steps=chosen.names_steps,
        num_samples=chosen.samples,
        rounds=chosen.rounds,
        max_tokens=chosen.max_tokens,
        seed=chosen.seed,
    )


def _completer(folder: Path, how: How) -> tuple[Completer, Any, str | None]:
    """What writes, the tokenizer, and the weights' hash where the weights are at hand."""
    from rung.generate import TransformersCompleter
    from rung.model import load_causal_lm, load_tokenizer, weights_hash
    from rung.model.device import pick_device
    from rung.score.completion_server import server_completer

    name = folder.resolve().name
    if how.url is not None:
        tokenizer = load_tokenizer(folder)
        return server_completer(how.url, name, tokenizer, how.key), tokenizer, None
    device = pick_device()
    lm = load_causal_lm(folder, dtype=opening_dtype(folder, how.precision, device))
    move_trunk(lm.model, device, dtype_for(how.precision, lm.model, device))
    return TransformersCompleter(lm.model, lm.tokenizer, name), lm.tokenizer, weights_hash(folder)


def _recognize_implicit(files: CheckpointFiles) -> str | None:
    if (files.folder / IMPLICIT_FILE).exists():
        return f"it has {IMPLICIT_FILE}"
    return files.mentions("EurusPRM", "ImplicitPRM") if _writes(files) else None


def _recognize_genprm(files: CheckpointFiles) -> str | None:
    return files.mentions("GenPRM") if _writes(files) else None


def _recognize_thinkprm(files: CheckpointFiles) -> str | None:
    return files.mentions("ThinkPRM") if _writes(files) else None


def _writes(files: CheckpointFiles) -> bool:
    return re.search(r"For(CausalLM|ConditionalGeneration)$", files.architecture) is not None


OTHERS: dict[str, Other] = {
    other.name: other
    for other in (
        Other(
            "implicit",
            "an implicit PRM, read beside its reference model",
            _recognize_implicit,
            _open_implicit,
            ImplicitOptions,
            "load_implicit(folder, reference)",
        ),
        Other(
            "genprm",
            "GenPRM, which writes a critique of each step",
            _recognize_genprm,
            _open_genprm,
            GenPRMOptions,
            "GenPRM(completer=..., tokenizer=...)",
        ),
        Other(
            "thinkprm",
            "ThinkPRM, which thinks about each prefix",
            _recognize_thinkprm,
            _open_thinkprm,
            ThinkPRMOptions,
            "ThinkPRM(completer=..., tokenizer=...)",
        ),
    )
}
"""Every such kind by its name."""
WRITING = ("genprm", "thinkprm")
"""Those that any server of language models can run."""
