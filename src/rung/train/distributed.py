"""Training on several processes: started by ``accelerate launch`` or ``torchrun``, one loop.

Both launchers set the same environment variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR), so
`rung train` under either becomes one of the processes. Of accelerate's own settings it takes
``--use_fsdp``, and says where the precision differs from the run's. The batches of an optimizer
step are dealt out to the processes, and each step's gradient is the sum over all, so the losses are
those of one process with the same settings, up to rounding. "ddp" keeps all weights in every
process; "fsdp" (FSDP2, torch's ``fully_shard``) keeps a share of weights, gradients and optimizer
state in each.

States are saved whole, not in shares, so a run can go on with another number of processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from rung.core.errors import RungError

Strategy = Literal["ddp", "fsdp"]
HELD = {"ddp": "all weights", "fsdp": "a share of the weights"}
"""What each process has under a strategy."""
OTHER_ENGINES = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron"}
PATIENCE = timedelta(days=7)
"""Of processes for one another: the first runs a frozen trunk, or a reference, alone. Where one
dies, the launcher ends all."""
HEAD_WEIGHTS = 2
"""Weight and bias: where these alone learn, the trunk has run before and there is no more to
share."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    strategy: Strategy = "ddp"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and says how far things are."""
        return self.rank == 0

    def share(self, batches: Sequence[list[int]]) -> list[tuple[list[int], bool]]:
        """This process's batches of a step; False where one only keeps the others company.

        All processes must go through the model equally often, since each pass waits for all.
        """
        rounds = -(-len(batches) // self.size)
        places = range(self.rank, rounds * self.size, self.size)
        return [(batches[k % len(batches)], k < len(batches)) for k in places]

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(tensor)
        return float(tensor.item())

    def sum_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over all processes."""
        if self.size == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            if isinstance(weight.grad, DTensor):  # FSDP2 has reduced it, to the mean
                weight.grad.mul_(self.size)
            else:
                dist.all_reduce(weight.grad)

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """What every process has of a tensor on the CPU, of one shape in all, by rank."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(found, tensor)
        return found

    def agree(self, is_so: bool) -> bool:
        """What the leading process says, for all: clocks differ."""
        return bool(self.total(float(is_so and self.leads)))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    @contextlib.contextmanager
    def first(self) -> Generator[None]:
        """The leading process does it, and writes what the others, who come after, then read."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


def join_world(strategy: Strategy | Literal["auto"]) -> World:
    """The world that a launcher started this process in; one process alone without a launcher.

    Args:
        strategy: "auto" is what ``accelerate launch`` was told (see `launched_strategy`).

    Raises:
        RungError: It was told to use what rung does not.
    """
    launched = launched_strategy(os.environ)
    chosen = launched if strategy == "auto" else strategy
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(strategy=chosen)
    # what accelerate launch --use_fsdp asks of transformers: to open the weights in the first
    # process alone, and leave it to Accelerator to send them to the others
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    return World(dist.get_rank(), dist.get_world_size(), chosen)


def launched_strategy(environment: Mapping[str, str]) -> Strategy:
    """FSDP2 where ``accelerate launch --use_fsdp`` started this process, else DDP.

    Raises:
        RungError: Accelerate was told to use DeepSpeed or Megatron.
    """
    for name, engine in OTHER_ENGINES.items():
        if environment.get(name) == "true":
            raise RungError(
                f"accelerate launch was told to use {engine}, which rung does not: launch with"
                " --use_fsdp, or with neither"
            )
    return "fsdp" if environment.get("ACCELERATE_USE_FSDP") == "true" else "ddp"


def launch_notes(world: World, precision: str, environment: Mapping[str, str]) -> list[str]:
    """What the user of a launcher should read: how many processes train, and what goes unheard."""
    notes: list[str] = []
    if world.size > 1:
        notes.append(f"{world.size} processes train, each with {HELD[world.strategy]}")
    launched = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in ("no", precision):
        notes.append(
            f"careful: accelerate launch says mixed precision {launched}, this run is in"
            f" {precision}; --precision sets it"
        )
    return notes


def spread(model: nn.Module, world: World, device: torch.device) -> None:
    """Put the model on the device, sharded where the strategy says so and more than a head learns.

    Raises:
        RungError: The model has no list of layers to shard by.
    """
    model.to(device)
    num_open = sum(weight.requires_grad for weight in model.parameters())
    if world.size == 1 or world.strategy == "ddp" or num_open <= HEAD_WEIGHTS:
        return
    mesh = init_device_mesh(device.type, (world.size,))
    layers = max(
        (m for m in model.modules() if isinstance(m, nn.ModuleList)), key=len, default=None
    )
    if layers is None:
        raise RungError("the model has no layers to shard; use --strategy ddp")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def gather(model: nn.Module) -> None:
    """Put a trained model's shares together in every process's memory, where it can be written."""
    wholes: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # what the last pass has put together is no share
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if isinstance(weight, DTensor):
                if weight not in wholes:  # tied weights stay tied
                    wholes[weight] = _plain(weight)
                setattr(module, name, wholes[weight])


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together from its shares; all processes must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, model_for: Tensor) -> Tensor:
    """A whole tensor cut into shares as `model_for` is, on its device."""
    tensor = tensor.to(model_for.device)
    if not isinstance(model_for, DTensor):
        return tensor
    return distribute_tensor(tensor, model_for.device_mesh, model_for.placements)


def _plain(weight: nn.Parameter) -> nn.Parameter:
    # a copy: what the shares are put together in is larger, and would be written whole; off the
    # device, which need not have room for all of the model
    return nn.Parameter(whole(weight.detach()).to("cpu", copy=True), weight.requires_grad)
