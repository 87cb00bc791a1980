"""A run's folder: whose run it is, whether it has ended, and its results in one move."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rung.core.codec import encode_record
from rung.core.errors import InputError
from rung.core.files import replacing
from rung.core.types import ChainRecord
from rung.core.urls import refuse_url
from rung.model.checkpoint import publish, trunk_hash, weights_hash
from rung.model.device import pick_device
from rung.train.distributed import World
from rung.train.loop import Outcome
from rung.train.settings import (
    ImplicitTraining,
    PolicyTraining,
    RewardTraining,
    TargetCounts,
    TrainingReport,
)
from rung.train.state import delete_state, recent_loss

RUN_FILE = "run.json"
REPORT_FILE = "training.json"

Fingerprint = dict[str, Any]
R = TypeVar("R")


def fingerprint(
    settings: RewardTraining | ImplicitTraining | PolicyTraining,
    train: Sequence[ChainRecord],
    validation: Sequence[ChainRecord],
) -> Fingerprint:
    """All that a run's result depends on, as JSON.

    Raises:
        RungError: The trunk or the device is not there.
    """
    told = msgspec.json.decode(msgspec.json.encode(settings, enc_hook=str))
    told |= told.pop("optimization") | told.pop("method", {})
    del told["strategy"]  # a state is whole: a run may go on with another
    del told["trust_pickle"]  # the weights themselves are in the trunk's hash
    told["device"] = pick_device(told["device"]).type
    told["trunk"] = trunk_hash(settings.trunk, trust_pickle=settings.trust_pickle)
    data = {"training chains": _hash(train), "validation chains": _hash(validation)}
    return {"rung": version("rung"), **told, **data}


def run_id(wanted: Fingerprint) -> str:
    """The same for the same run, and for no other."""
    return hashlib.blake2b(msgspec.json.encode(wanted, order="sorted"), digest_size=8).hexdigest()


def claim(out: Path, wanted: Fingerprint, kind: type[R]) -> R | None:
    """See that `out` is free or holds this very run; give the run's report if it has ended.

    Raises:
        RungError: The folder holds something else, or is not on this machine.
    """
    refuse_url(out)
    if out.exists() and not out.is_dir():
        raise InputError("this is a file, expected a folder to write", file=str(out))
    if not out.exists() or all(path.name.startswith(".") for path in out.iterdir()):
        return None
    try:
        found = msgspec.json.decode((out / RUN_FILE).read_bytes())
    except FileNotFoundError:
        raise InputError("the folder is not empty; choose a new one", file=str(out)) from None
    others = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    if others:
        reason = f"this is a run with other {', '.join(sorted(others))}; choose a new folder"
        raise InputError(reason, file=str(out))
    if not (out / REPORT_FILE).exists():
        return None
    delete_state(out)
    return report_in(out, kind)


def begin(out: Path, wanted: Fingerprint, world: World) -> None:
    """Write down whose run it is, before anything else is written."""
    if world.leads:
        with replacing(out / RUN_FILE) as aside:
            aside.write_bytes(pretty(wanted))
    world.wait()


def finish(
    out: Path,
    outcome: Outcome,
    train: TargetCounts,
    validation: TargetCounts | None,
    world: World,
    write_weights: Callable[[Path], None],
    write_card: Callable[[Path, TrainingReport], None] | None = None,
    constant_loss: float | None = None,
) -> TrainingReport:
    """Put the checkpoint, its card and the report into `out` and forget the state."""

    def write(aside: Path) -> None:
        write_weights(aside)
        report = TrainingReport(
            steps=outcome.steps,
            best_step=outcome.best_step,
            train_loss=recent_loss(out, outcome.steps),
            validation_loss=outcome.best_loss,
            is_stopped_early=outcome.is_stopped_early,
            train=train,
            validation=validation,
            tokens=outcome.tokens,
            seconds=outcome.seconds,
            tokens_per_s=outcome.tokens / outcome.training_s,
            weights_hash=weights_hash(aside),
            constant_loss=constant_loss,
        )
        if write_card is not None:
            write_card(aside, report)
        (aside / REPORT_FILE).write_bytes(pretty(report))

    if world.leads:
        publish(out, write, last=REPORT_FILE)
        delete_state(out)
    world.wait()
    return report_in(out, TrainingReport)


def report_in(out: Path, kind: type[R]) -> R:
    """The report of a run that has ended."""
    return msgspec.json.decode((out / REPORT_FILE).read_bytes(), type=kind)


def _hash(records: Sequence[ChainRecord]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for record in records:
        digest.update(encode_record(record))
    return digest.hexdigest()


def pretty(value: Any) -> bytes:
    """A value as JSON for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
