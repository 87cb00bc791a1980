"""Where models run."""

from __future__ import annotations

import torch

from rung.core.errors import RungError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        RungError: It is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise RungError(f"the device {name!r} can't be used ({error})") from error
