"""How a recipe is called: what was given wrongly is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tyro

from rung.core import RungError

R = TypeVar("R")


def run_command(main: Callable[[R], None], recipe: type[R], name: str, about: str | None) -> None:
    """Read the command line as `recipe`, and do it.

    Raises:
        SystemExit: A `RungError` ended it.
    """
    try:
        main(tyro.cli(recipe, description=about))
    except RungError as error:
        raise SystemExit(f"{name}: {error}") from None
