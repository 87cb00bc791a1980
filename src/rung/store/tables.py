"""The tables. What people did is in `events`, to which rows are only ever added.

A chain is stored as the ids of its steps and the rest of its record. Steps are stored once, by the
hash of their prefix, so that what is said of a shared prefix meets there. Texts of others (steps,
problems) are kept as JSON: PostgreSQL takes no NUL in plain text. Times are milliseconds since
1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
_Counter = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only what it calls INTEGER."""

people = Table(
    "people",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("token_hash", Text, unique=True),
    Column("added_ms", BigInteger, nullable=False),
    CheckConstraint("role IN ('rater', 'lead', 'import')", name="people_role"),
)
problems = Table(
    "problems",
    metadata,
    Column("id", Text, primary_key=True),
    Column("content", Text, nullable=False),
)
steps = Table(
    "steps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("parent", Text, nullable=False, index=True),
    Column("content", Text, nullable=False),
    Column("written_by", ForeignKey("people.id")),
)
chains = Table(
    "chains",
    metadata,
    Column("id", Text, primary_key=True),
    Column("problem", ForeignKey("problems.id"), nullable=False),
    Column("step_ids", Text, nullable=False),
    Column("rest", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("is_gold", Boolean, nullable=False),
    Index("chains_in_order", "is_gold", "place"),
)
queues = Table(
    "queues",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("added_ms", BigInteger, nullable=False),
)
queued = Table(
    "queued",
    metadata,
    Column("queue", ForeignKey("queues.id"), nullable=False),
    Column("chain", ForeignKey("chains.id"), nullable=False),
    Column("place", BigInteger, nullable=False),
    PrimaryKeyConstraint("chain", "queue", name="queued_pkey"),
    UniqueConstraint("queue", "place", name="queued_place"),
)
assignments = Table(
    "assignments",
    metadata,
    Column("queue", ForeignKey("queues.id"), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    PrimaryKeyConstraint("person", "queue", name="assignments_pkey"),
)
claims = Table(
    "claims",
    metadata,
    Column("chain", ForeignKey("chains.id"), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("slot", Integer),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("chain", "person", name="claims_pkey"),
    UniqueConstraint("chain", "slot", name="claims_slot"),
    CheckConstraint("purpose IN ('rate', 'gold', 'adjudicate')", name="claims_purpose"),
    Index("claims_by_person", "person"),
)
events = Table(
    "events",
    metadata,
    Column("seq", _Counter, primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("key", Text, nullable=False),
    Column("chain", ForeignKey("chains.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", ForeignKey("steps.id")),
    Column("rating", Integer),
    Column("is_unsure", Boolean, nullable=False),
    Column("finish", Text),
    Column("text", Text),
    Column("undoes", Text),
    Column("scores_shown", Boolean, nullable=False),
    Column("took_ms", BigInteger),
    Column("at_ms", BigInteger),
    Column("saved_ms", BigInteger, nullable=False),
    UniqueConstraint("person", "key", name="events_key"),
    CheckConstraint("rating IN (-1, 0, 1)", name="events_rating"),
    CheckConstraint(
        "kind IN ('rate', 'write', 'undo', 'submit', 'reopen', 'show_scores')", name="events_kind"
    ),
    Index("events_of_work", "chain", "person", "seq"),
    Index("events_by_person", "person", "kind"),
    Index("events_by_step", "step"),
)
