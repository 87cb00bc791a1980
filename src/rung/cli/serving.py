"""What the verbs share that start a server: where it listens, and what it lets in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.core.errors import MissingExtraError

if TYPE_CHECKING:
    from rung.serve.guard import Safety
    from rung.serve.running import Listening
    from rung.serve.tokens import Find


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server listens, and what it lets in."""

    host: str = "127.0.0.1"
    """The address to listen on; beyond this machine it takes a token and TLS."""
    port: int = 8000
    """The port; 0 takes any that is free."""
    token_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The administrator's token, which every request must bring; else it is in RUNG_TOKEN."""
    tls_cert: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The certificate with its chain (PEM)."""
    tls_key: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The certificate's key (PEM)."""
    allow_host: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")
    ] = ()
    """A name under which the server is reached, beside the machine's own; again for another."""
    rate: float | None = None
    """Requests a second that each token may make; no limit by default."""
    unsafe_open: bool = False
    """Listen beyond this machine without a token or without TLS: behind a proxy that has them."""

    @property
    def listening(self) -> Listening:
        """The address."""
        from rung.serve.running import Listening

        return Listening(
            host=self.host,
            port=self.port,
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
            unsafe_open=self.unsafe_open,
        )

    def safety(self, others: Find | None = None) -> Safety:
        """What is let in: the administrator's token, and those that `others` finds.

        Raises:
            RungError: The token can't be read or is too short, or the rate is not above 0.
        """
        from rung.serve.guard import Safety
        from rung.serve.rates import rate_of
        from rung.serve.tokens import admin_by, read_token

        token = read_token(self.token_file)
        find = others if token is None else admin_by(token, others)
        return Safety(find=find, names=self.allow_host, rate=rate_of(self.rate))


ServerOptions = Annotated[Server, tyro.conf.arg(name="", prefix_name=False)]
"""The type of a verb's `server`: the options have no prefix."""
LOCALLY = Server()


def check_installed() -> None:
    """See that the packages of a server are here.

    Raises:
        MissingExtraError: One is not.
    """
    try:
        import fastapi  # noqa: F401  # pyright: ignore
        import uvicorn  # noqa: F401  # pyright: ignore
    except ImportError as error:
        raise MissingExtraError(str(error.name), "serve") from error
