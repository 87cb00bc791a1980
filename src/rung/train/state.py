"""The state of an unfinished run: one file, replaced in one move, enough to go on exactly."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rung.core.errors import InputError
from rung.core.files import replacing
from rung.train.distributed import World, like, whole

STATE_FOLDER = "state"
METRICS_FILE = "metrics.jsonl"


class Stands(Protocol):
    """Where any run stands, as a dataclass of plain values."""

    best_step: int


P = TypeVar("P", bound=Stands)


@dataclass(slots=True)
class Position:
    """Where a run stands, apart from the tensors."""

    step: int = 0
    """Optimizer steps taken; the place in the data follows from it."""
    best_step: int = 0
    best_loss: float | None = None
    worse_looks: int = 0
    """Validation looks since the best one."""
    is_over: bool = False
    tokens: int = 0
    seconds: float = 0.0
    """All of the run so far."""
    training_s: float = 0.0
    """Of these, the training steps alone, without looks and saves."""


class RunState:
    """Saves and restores a run in ``OUT/state``.

    The trainable weights of the best step lie in a file of their own, named after the step and
    written before the state that refers to it, so a state never points to weights of another
    moment, whenever the process is killed.
    """

    def __init__(
        self, out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, world: World
    ) -> None:
        self._world = world
        self._folder = out / STATE_FOLDER
        self._latest = self._folder / "latest.safetensors"
        self._weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._optimizer = optimizer
        self._device = next(model.parameters()).device

    def save(self, position: Stands) -> None:
        """Save where the run stands; forget best weights that it no longer refers to."""
        tensors = self._put_together("weight.")
        for name, weight in self._weights.items():
            for key, value in self._optimizer.state[weight].items():
                tensors |= self._whole(f"optimizer.{key}.{name}", value)
        tensors |= _random_states(self._device, self._world)
        if not self._world.leads:
            return
        encoded = msgspec.json.encode(position).decode()
        _save(tensors, self._latest, {"position": encoded})
        for path in self._folder.glob("best-*.safetensors"):
            if path != self._best(position.best_step):
                path.unlink()

    def restore(self, fresh: P) -> P:
        """Put weights, optimizer and random states back, and give the position that was saved.

        Args:
            fresh: The position if nothing is saved.

        Raises:
            InputError: The saved state can't be read, or is of another model.
        """
        if self._world.leads:
            for path in [*self._folder.parent.glob(".*.tmp"), *self._folder.glob(".*.tmp")]:
                path.unlink()  # what a killed process was writing
        self._world.wait()
        if not self._latest.exists():
            return fresh
        try:
            tensors, metadata = _load(self._latest)
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(like(tensors[f"weight.{name}"], weight))
                    self._optimizer.state[weight] = {
                        key: tensor.to(weight.device) if key == "step" else like(tensor, weight)
                        for key in ("step", "exp_avg", "exp_avg_sq")
                        if (tensor := tensors.get(f"optimizer.{key}.{name}")) is not None
                    }
            _set_random_states(tensors, self._device, self._world.rank)
            return msgspec.json.decode(metadata["position"], type=type(fresh))
        except (SafetensorError, KeyError, RuntimeError, msgspec.DecodeError) as error:
            reason = f"the state can't be read ({error}); delete {STATE_FOLDER}/ to start over"
            raise InputError(reason, file=str(self._latest)) from error

    def keep_best(self, step: int) -> None:
        """Keep the weights as they are now as those of the best step."""
        weights = self._put_together()
        if self._world.leads:
            _save(weights, self._best(step), {})

    def load_best(self, step: int) -> None:
        """Put the best step's weights into the model."""
        self._world.wait()
        tensors, _ = _load(self._best(step))
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(like(tensors[name], weight))

    def _put_together(self, prefix: str = "") -> dict[str, Tensor]:
        """The weights that learn, under their names."""
        found: dict[str, Tensor] = {}
        for name, weight in self._weights.items():
            found |= self._whole(f"{prefix}{name}", weight.detach())
        return found

    def _whole(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """A whole tensor, for the leading process alone: no device has to hold all of them."""
        found = whole(tensor)
        return {name: found.cpu()} if self._world.leads else {}

    def _best(self, step: int) -> Path:
        return self._folder / f"best-{step}.safetensors"


def delete_state(out: Path) -> None:
    """Forget the state of a finished run."""
    shutil.rmtree(out / STATE_FOLDER, ignore_errors=True)


def cut_metrics(out: Path, step: int) -> None:
    """Drop the lines of ``metrics.jsonl`` behind `step`, and a torn last line."""
    path = out / METRICS_FILE
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    with replacing(path) as aside:
        aside.write_bytes(b"".join(_until(lines, step)))


def recent_loss(out: Path, steps: int) -> float:
    """The mean training loss over the targets of the last tenth of `steps`."""
    rows = [msgspec.json.decode(line) for line in (out / METRICS_FILE).read_bytes().splitlines()]
    recent = [row for row in rows if "loss" in row and row["step"] > steps * 0.9]
    return sum(row["loss"] * row["targets"] for row in recent) / sum(r["targets"] for r in recent)


def append_metrics(out: Path, row: dict[str, Any]) -> None:
    """Add one line to ``metrics.jsonl``."""
    with open(out / METRICS_FILE, "ab") as file:
        file.write(msgspec.json.encode(row) + b"\n")


def _until(lines: Iterable[bytes], step: int) -> Iterable[bytes]:
    for line in lines:
        if not line.endswith(b"\n") or msgspec.json.decode(line)["step"] > step:
            return
        yield line


def _random_states(device: torch.device, world: World) -> dict[str, Tensor]:
    """Of every process: each draws the dropout of its own batches."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {
        _random(kind, rank): state
        for kind, ours in states.items()
        for rank, state in enumerate(world.gathered(ours))
    }


def _set_random_states(tensors: dict[str, Tensor], device: torch.device, rank: int) -> None:
    def saved(kind: str) -> Tensor:
        # a process that was not there before goes on as the first
        return tensors.get(_random(kind, rank), tensors[_random(kind, 0)])

    torch.set_rng_state(saved("cpu"))
    if device.type == "cuda":
        torch.cuda.set_rng_state(saved("cuda"), device)


def _random(kind: str, rank: int) -> str:
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    with replacing(path) as aside:
        save_file({k: v.contiguous() for k, v in tensors.items()}, aside, metadata)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
