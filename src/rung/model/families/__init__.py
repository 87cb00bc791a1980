"""Families of reward models: one file each says how chains become ids and where scores stand.

`FAMILIES` is the one list. A family is recognized from a folder's files; where two families have
equal files (a plain causal LM says nothing of how it was trained), the name must be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import torch

from rung.core.errors import InputError, RungError
from rung.model.families import (
    actprm,
    er_prm,
    fover,
    granite,
    llemma,
    math_minos,
    math_psa,
    math_shepherd,
    own,
    pqm,
    pure,
    qwen_prm,
    qwen_rm,
    reasoneval,
    reasonflux,
    rlhflow,
    skywork,
    trl,
    universal,
)
from rung.model.foreign import names_in, pickle_files
from rung.model.reader import CheckpointFiles, Family, Opening, Reader
from rung.model.trunk import PICKLE_INDEX, has_safetensors, read_config, weight_files

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        own.FAMILY,
        qwen_prm.FAMILY,
        qwen_rm.FAMILY,
        reasonflux.FAMILY,
        reasonflux.ORM_FAMILY,
        skywork.FAMILY,
        trl.FAMILY,
        pure.FAMILY,
        reasoneval.FAMILY,
        pqm.FAMILY,
        actprm.FAMILY,
        universal.FAMILY,
        math_minos.FAMILY,
        math_shepherd.FAMILY,
        er_prm.FAMILY,
        math_psa.FAMILY,
        llemma.FAMILY,
        rlhflow.PRM,
        rlhflow.ORM_MISTRAL,
        rlhflow.ORM_DEEPSEEK,
        fover.FAMILY,
        granite.FAMILY,
    )
}
"""Every family by its name."""

AUTO = "auto"


class Known(Protocol):
    """What is told from files: a `Family`, or a scorer of its own (`rung.score.others`)."""

    @property
    def name(self) -> str:
        """What ``--family`` calls it."""
        ...

    @property
    def about(self) -> str:
        """A few words: whose models these are."""
        ...

    @property
    def recognize(self) -> Callable[[CheckpointFiles], str | None]:
        """Why a folder is of this kind; None if nothing says so."""
        ...

    @property
    def options(self) -> type[Any]:
        """What the user may choose."""
        ...

    @property
    def rank(self) -> int:
        """See `Family.rank`."""
        ...


class Recognized(NamedTuple):
    """The family of a folder, and why."""

    family: Known
    why: str


def recognize(folder: str | Path, others: Iterable[Known] = ()) -> Recognized:
    """Tell a folder's family from its files.

    Args:
        folder: The checkpoint.
        others: What it may be beside the families.

    Raises:
        InputError: None recognizes it, or several do; the sentence lists their names.
    """
    files = checkpoint_files(Path(folder))
    known = [*FAMILIES.values(), *others]
    claims = [Recognized(one, why) for one in known if (why := one.recognize(files))]
    best = max((claim.family.rank for claim in claims), default=0)
    claims = [claim for claim in claims if claim.family.rank == best]
    if len(claims) == 1:
        return claims[0]
    if claims:
        said = "; ".join(f"{claim.family.name}, as {claim.why}" for claim in claims)
        reason = f"several families could read this model ({said}); name one with --family"
        raise InputError(reason, file=str(folder))
    raise InputError(
        "it has no rung.json, and nothing else in the files says how this model is read; name its"
        f" family with --family: {', '.join(one.name for one in known)}",
        file=str(folder),
    )


def open_reader(
    folder: str | Path,
    family: str = AUTO,
    *,
    dtype: torch.dtype = torch.float32,
    trust_pickle: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Reader:
    """Open a checkpoint of any family, on the CPU.

    Args:
        folder: The checkpoint.
        family: A name in `FAMILIES`, or "auto".
        dtype: The type of the trunk's weights.
        trust_pickle: Whether pickled weights may be opened.
        options: The family's options by name; numbers may be given as text.

    Raises:
        RungError: The family is unknown or can't be told, it has no such option, or a file is
            missing or damaged.
    """
    chosen = named(recognize(folder).family.name if family == AUTO else family)
    how = Opening(dtype, trust_pickle, options_of(chosen, options or {}))
    reader = chosen.open(Path(folder), how)
    told = msgspec.to_builtins(how.options)
    return replace(reader, settings={**reader.settings, "options": told}) if told else reader


def named(family: str) -> Family:
    """The family of a name.

    Raises:
        RungError: There is none.
    """
    if family not in FAMILIES:
        raise RungError(f"there is no family {family!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[family]


def options_of(family: Known, given: Mapping[str, Any]) -> Any:
    """A family's options, by name; numbers may be given as text.

    Raises:
        RungError: It has no such option, or a value can't be read.
    """
    known = [field.name for field in fields(family.options)]
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise RungError(f"the family {family.name} has no option {name!r}; it has: {listed}")
    try:
        return msgspec.convert(dict(given), family.options, strict=False)
    except msgspec.ValidationError as error:
        raise RungError(f"an option of the family {family.name} can't be read: {error}") from None


def checkpoint_files(folder: Path) -> CheckpointFiles:
    """Read what a folder's files say, without loading weights.

    Raises:
        InputError: The folder is not there, or a file in it can't be read.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", file=str(folder))
    config = read_config(folder)
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
    return CheckpointFiles(folder, config, frozenset(_weight_names(folder)), text)


def _weight_names(folder: Path) -> set[str]:
    if not has_safetensors(folder) and pickle_files(folder):
        index = folder / PICKLE_INDEX
        told = msgspec.json.decode(index.read_bytes()) if index.exists() else {"weight_map": {}}
        return set(told["weight_map"])
    return {name for path in weight_files(folder) for name in names_in(path)}
