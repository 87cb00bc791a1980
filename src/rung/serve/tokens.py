"""Tokens: who asks. Only their hashes are compared and kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rung.core.errors import RungError

TOKEN_VARIABLE = "RUNG_TOKEN"
"""The environment variable with the administrator's token, where no file is named."""
MIN_TOKEN_CHARS = 24


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """For logs and rate limits; never the token."""
    is_admin: bool = False


LOCAL = Caller("local", is_admin=True)
"""Whoever reaches a server that asks for no token."""
ADMIN = Caller("admin", is_admin=True)

Find = Callable[[str], Awaitable[Caller | None]]
"""From a token's hash (`hash_of`) to whose it is; None for a token that nobody has (any more).
Looking a hash up in a table is safe: whoever measures how long that takes learns about the hash,
not about the token."""


def new_token() -> str:
    """A token of 256 random bits, safe in URLs."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """What is kept of a token, in hexadecimal digits.

    A plain SHA-256 is enough for `new_token`: nobody can try 2**256 of them.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def admin_by(token: str, others: Find | None = None) -> Find:
    """Finds the administrator by a token, and everybody else by `others`."""
    known = hash_of(token)

    async def find(hashed: str) -> Caller | None:
        if hmac.compare_digest(hashed, known):
            return ADMIN
        return None if others is None else await others(hashed)

    return find


def read_token(file: Path | None) -> str | None:
    """The administrator's token: from a file, or from RUNG_TOKEN; None where there is neither.

    Raises:
        RungError: The file can't be read, or the token is too short to be safe.
    """
    token, place = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
    if file is not None:
        try:
            token, place = file.read_text().strip(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise RungError(f"{file}: the token can't be read ({error})") from error
    if token is not None and len(token) < MIN_TOKEN_CHARS:
        raise RungError(
            f"the token in {place} has {len(token)} characters, expected at least"
            f" {MIN_TOKEN_CHARS}; 'openssl rand -hex 32' makes a good one"
        )
    return token
