"""How the verbs of `rung annotate` open the store."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.core import MissingExtraError, RungError

if TYPE_CHECKING:
    from rung.store.opening import Store

STORE = "ratings.db"
StoreOption = Annotated[str, tyro.conf.arg(metavar="FILE|URL")]
"""The type of --store: a file of SQLite, or postgresql://USER@HOST/NAME."""


@contextlib.contextmanager
def opened(place: str, *, is_new: bool = False) -> Generator[Store]:
    """The store; one that must be there already is not made by a typing mistake.

    Raises:
        RungError: There is none.
        MissingExtraError: SQLAlchemy is not installed.
    """
    try:
        from rung.store.opening import is_url, open_store
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from None
    if not is_new and not is_url(place) and not Path(place).exists():
        raise RungError(f"{place}: there are no ratings; 'rung annotate serve' begins some")
    with open_store(place) as store:
        yield store
