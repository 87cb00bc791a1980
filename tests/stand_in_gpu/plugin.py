"""A pytest plugin: models run on a device that is not the CPU, made of it (see device.cpp).

`make stand-in-gpu` runs the tests of scoring, training, writing and reinforcement learning with it.
They are held to the same numbers, and a tensor that was left on the other device is an error, as on
a GPU. Speed, bf16 and several devices are not what it shows.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch.utils.cpp_extension import include_paths, library_paths

import rung

NAME = "stand_in"


def _compiled() -> Path:
    """The device as a library in .venv, compiled once for this torch; takes half a minute."""
    library = Path(sys.prefix) / f"stand-in-gpu-{torch.__version__}.so"
    source = Path(__file__).with_name("device.cpp")
    newest_s = max(path.stat().st_mtime for path in (source, Path(__file__)))
    if not library.exists() or library.stat().st_mtime < newest_s:
        includes = [f"-I{path}" for path in include_paths()]
        libraries = [f"-L{path}" for path in library_paths()]
        options = ["-shared", "-fPIC", "-O1", "-std=c++20", *includes, str(source), *libraries]
        linked = ["-lc10", "-ltorch_cpu", "-ltorch"]
        subprocess.run(["g++", *options, *linked, "-o", str(library)], check=True)
    return library


def _module() -> ModuleType:
    """What torch asks of a device's module."""
    module = ModuleType(NAME)
    told = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "_is_in_bad_fork": lambda: False,
        "manual_seed_all": lambda seed: None,
        "get_amp_supported_dtype": lambda: [torch.bfloat16],
    }
    vars(module).update(told)
    return module


def _use_everywhere(device: torch.device) -> None:
    """Let every module of rung pick the device, and treat it as a CPU where sizes depend on it."""
    for found in pkgutil.walk_packages(rung.__path__, "rung."):
        if found.name.split(".")[1] in {"model", "score", "train", "generate", "rl", "loop"}:
            with contextlib.suppress(ImportError):  # of packages that are not installed, as verl
                importlib.import_module(found.name)
    for name, module in list(sys.modules.items()):
        if name.startswith("rung."):
            for value in vars(module).values():
                if isinstance(value, dict) and {"cpu", "cuda"} == set(value):
                    value[NAME] = value["cpu"]
            if hasattr(module, "pick_device"):
                vars(module)["pick_device"] = lambda name="auto": device


torch.utils.rename_privateuse1_backend(NAME)
torch._register_device_module(NAME, _module())
torch.ops.load_library(str(_compiled()))
torch.utils.generate_methods_for_privateuse1_backend()
_use_everywhere(torch.device(NAME, 0))
