"""Insert what is not there yet, in SQLite's and in PostgreSQL's words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those that clash with one that is there are left out."""
    if rows:
        connection.execute(_insert(connection.dialect.name, table), list(rows))


def inserted(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert one row; False if it clashes with one that is there."""
    made = _insert_one(connection.dialect.name, table)
    return connection.execute(made, row).first() is not None


@functools.cache
def _insert_one(dialect: str, table: Table) -> ReturningInsert[Any]:
    return _insert(dialect, table).returning(*table.primary_key)


@functools.cache
def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    kind = sqlite if dialect == "sqlite" else postgresql
    return kind.insert(table).on_conflict_do_nothing()
