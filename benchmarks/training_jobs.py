"""What rung and TRL are told when they train side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import Peer
from rows import Row

TRL = Peer(
    "TRL",
    "trl_training.py",
    "RUNG_TRL_PYTHON",
    "trl",
    "trl==1.13.0 torch==2.13.0",
)


def rung_job(
    rows: Sequence[Row], *, tells_order: bool = False, **optimization: Any
) -> dict[str, Any]:
    """What rung does with these rows; `optimization` as in `rung.train.settings.Optimization`."""
    schedule = {"lr": 1e-5, "schedule": "constant", "warmup_fraction": 0.0}
    return {"rows": rows, "optimization": schedule | optimization, "tells_order": tells_order}


def trl_job(rows: Sequence[Row], *, order: Any = None, **changed: Any) -> dict[str, Any]:
    """TRL's defaults, but for the schedule, which is rung's, and one epoch."""
    schedule = {"num_train_epochs": 1, "learning_rate": 1e-5, "lr_scheduler_type": "constant"}
    return {"rows": rows, "config": schedule | changed, "order": order}
