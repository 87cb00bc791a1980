"""The shape of the house: small modules, one direction of imports, every public name explained."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rung

ROOT = Path(__file__).resolve().parents[2]
SRC = Path(rung.__file__).parent
STATIONS = ["core", "data", "verify", "generate", "model", "label"]
STATIONS += ["train", "score", "search", "eval", "loop"]
MAX_LINES = 400


def test_no_module_is_longer_than_the_cap():
    lines = {
        str(path.relative_to(SRC)): len(path.read_text().splitlines()) for path in SRC.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_a_station_imports_only_what_stands_before_it():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("station", STATIONS)
def test_every_station_says_what_it_is_and_names_what_is_public(station: str):
    module = importlib.import_module(f"rung.{station}")
    assert module.__doc__
    assert all(hasattr(module, name) for name in module.__all__)
    # a file of the same name would hide what is loaded on demand
    assert not any(inspect.ismodule(getattr(module, name)) for name in module.__all__)


@pytest.mark.parametrize("station", STATIONS)
def test_every_public_function_and_class_has_a_docstring_of_its_own(station: str):
    module = importlib.import_module(f"rung.{station}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
            assert not value.__doc__.startswith(f"{name}("), f"{name}: made by dataclass"


def test_the_names_at_the_top_are_those_of_core():
    assert rung.__all__ == rung.core.__all__
    assert all(hasattr(rung, name) for name in rung.__all__)


def test_the_package_says_that_it_is_typed():
    assert (SRC / "py.typed").is_file()
