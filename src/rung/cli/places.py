"""How models are named on the command line: a folder or a name, perhaps behind a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from rung.core.errors import RungError

FamilyOptions = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")
]
"""The type of the options of a published model's family."""
TrustPickle = Annotated[
    bool,
    tyro.conf.arg(
        help="Open pickled weights (.bin, .pt), which are refused otherwise; only tensors are read."
    ),
]
"""The type of every verb's ``--trust-pickle``."""
_URL = re.compile("@(?=https?://)")


class Place(NamedTuple):
    """A scorer as it was named on the command line."""

    name: str
    folder: str
    url: str | None
    """The server that runs it; None to run it here."""


def split_url(text: str) -> tuple[str, str | None]:
    """What stands before ``@URL``, and the URL."""
    place, *url = _URL.split(text, maxsplit=1)
    return place, url[0] if url else None


def place_of(text: str) -> Place:
    """Read ``FOLDER``, ``NAME=FOLDER``, ``FOLDER@URL`` or ``NAME=FOLDER@URL``."""
    place, url = split_url(text)
    name, equals, folder = place.partition("=")
    if not equals:
        name, folder = Path(place).resolve().name, place
    return Place(name, folder, url)


def named_places(texts: Sequence[str]) -> list[Place]:
    """Read several; their names differ.

    Raises:
        RungError: There is none, or two have one name.
    """
    if not texts:
        raise RungError("no scorer: give --scorer FOLDER")
    places: dict[str, Place] = {}
    for place in map(place_of, texts):
        if place.name in places:
            named = f"--scorer NAME={place.folder}"
            raise RungError(f"two scorers are called {place.name!r}; name one: {named}")
        places[place.name] = place
    return list(places.values())


def options_by_name(given: Sequence[str]) -> dict[str, str]:
    """Read a family's options, each ``NAME=VALUE``.

    Raises:
        RungError: One is not of this form.
    """
    options: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise RungError(f"--family-option is {text!r}, expected NAME=VALUE")
        options[name] = value
    return options
