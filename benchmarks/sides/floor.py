"""What the processor does at its best: a plain large matrix product, in the run's number type."""

from __future__ import annotations

import time
from typing import Any

import torch

SIZE = 2048
SECONDS = 2.0


def product_flops(dtype: torch.dtype) -> dict[str, Any]:
    """Multiply and add for `SECONDS` of processor; FLOP by the wall clock and by processor time."""
    left, right = (torch.randn(SIZE, SIZE).to(dtype) for _ in range(2))
    torch.mm(left, right)
    began_s, began_cpu_s, count = time.perf_counter(), time.process_time(), 0
    while time.process_time() - began_cpu_s < SECONDS:
        torch.mm(left, right)
        count += 1
    flop = count * 2 * SIZE**3
    return {
        "flop": flop,
        "seconds": time.perf_counter() - began_s,
        "cpu_seconds": time.process_time() - began_cpu_s,
    }
