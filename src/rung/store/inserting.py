"""Insert what is not there yet, in SQLite's and in PostgreSQL's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those that clash with one that is there are left out."""
    if rows:
        connection.execute(_insert(connection, table), list(rows))


def inserted(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert one row; False if it clashes with one that is there."""
    made = _insert(connection, table).returning(*table.primary_key)
    return connection.execute(made, row).first() is not None


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
