"""Open a store: SQLite in a file (WAL), or PostgreSQL by URL; the schema is brought up to date."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError

from rung.core.errors import InputError, MissingExtraError, RungError, UnavailableError
from rung.store.grouping import Grouped
from rung.store.tables import metadata

BUSY_S = 30.0
"""How long SQLite waits for another process that writes."""
POOL = 40
"""Connections; as many as a server's threads."""
_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x72756E67
"""PostgreSQL's lock while the schema is brought up to date: "rung"."""
_URL = re.compile(r"[a-z][a-z0-9+]+://")


class Store:
    """A database of chains and of what people said of them.

    `reading` and `writing` each give a connection in one transaction. A read sees one moment,
    whatever is written meanwhile. What is written is on the disk when `writing` ends, or not there
    at all. `reads` and `writes` are for many small jobs that come at once: each of the `reads`
    is one statement, which sees one moment without a transaction around it.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        """As the user wrote it, without a password."""
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        level = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = engine.execution_options(**level)
        single = {"rung_single": True} if self._is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._single = engine.execution_options(**single)
        self._writer = engine.execution_options(rung_writes=True)
        self._turn = threading.Lock()
        self.reads, self.writes = Grouped(self._looking), Grouped(self.writing)

    @contextlib.contextmanager
    def reading(self) -> Generator[Connection]:
        """A transaction that only reads."""
        with self._told(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _looking(self) -> Generator[Connection]:
        with self._told(), self._single.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that may write."""
        # SQLite lets one write; threads that ask the file in turn wait less than those that poll
        turn = self._turn if self._is_sqlite else contextlib.nullcontext()
        with self._told(), turn, self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Do what waits, and let go of the connections."""
        self.writes.close()
        self.reads.close()
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _explained(error, self.name) from error


class StoreError(UnavailableError):
    """The database failed; what was being done was not kept."""


def open_store(place: str | Path) -> Store:
    """Open a store, and make it where there is none.

    Args:
        place: A file of SQLite, or a URL: ``postgresql://USER@HOST/NAME``.

    Raises:
        InputError: The file is something else, or was made by a newer rung.
        RungError: The database can't be reached.
        MissingExtraError: The database's driver is not installed.
    """
    url, name = _url_of(str(place))
    engine = _engine(url)
    store = Store(engine, name)
    try:
        _bring_up_to_date(store)
    except BaseException:
        store.close()
        raise
    return store


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def is_url(place: str) -> bool:
    """Whether a place is a database's URL; else it is a file."""
    return _URL.match(place) is not None


def _url_of(place: str) -> tuple[URL, str]:
    if not is_url(place):
        return URL.create("sqlite", database=place), place
    try:
        url = make_url(place)
    except ArgumentError as error:
        raise RungError(f"this is not the URL of a database: {place!r}") from error
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    elif kind != "sqlite":
        raise RungError(f"ratings are kept in SQLite or PostgreSQL, not {kind!r}")
    return url, url.render_as_string(hide_password=True).replace("+psycopg", "")


def _engine(url: URL) -> Engine:
    try:
        engine = create_engine(url, pool_size=POOL, max_overflow=0, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise MissingExtraError("psycopg", "postgres") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see `_begin_sqlite`
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    _turn_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # a saved rating outlives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    # two that turn one new file at once block each other: SQLite fails one of them without a wait
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("rung_single", False):
        return
    # a transaction that reads first and writes later may fail; one that will write says so
    writes = options.get("rung_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _bring_up_to_date(store: Store) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with store.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        if found == script.get_current_head():
            return
        if found not in (None, *(one.revision for one in script.walk_revisions())):
            raise InputError("this was made by a newer rung (or is not rung's)", file=store.name)
        clash = set(inspect(connection).get_table_names()) & set(metadata.tables)
        if found is None and clash:
            raise InputError(f"it has tables of somebody else's: {sorted(clash)}", file=store.name)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _explained(error: DBAPIError, name: str) -> RungError:
    reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else str(error)
    if "file is not a database" in reason or "unable to open" in reason:
        return InputError(f"this is not a file of ratings ({reason})", file=name)
    said = f"{name}: the database says: {reason}"
    return RungError(said) if isinstance(error, DataError) else StoreError(said)
