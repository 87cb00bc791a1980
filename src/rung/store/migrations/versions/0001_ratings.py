"""People, chains by their steps, claims and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "people",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("token_hash", sa.Text, unique=True),
        sa.Column("added_ms", sa.BigInteger, nullable=False),
        sa.CheckConstraint("role IN ('rater', 'lead', 'import')", name="people_role"),
    )
    op.create_table(
        "problems",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "steps",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("parent", sa.Text, nullable=False, index=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("written_by", _COUNTER, sa.ForeignKey("people.id")),
    )
    op.create_table(
        "chains",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("problem", sa.Text, sa.ForeignKey("problems.id"), nullable=False),
        sa.Column("step_ids", sa.Text, nullable=False),
        sa.Column("rest", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("is_gold", sa.Boolean, nullable=False),
    )
    op.create_index("chains_in_order", "chains", ["is_gold", "place"])
    op.create_table(
        "claims",
        sa.Column("chain", sa.Text, sa.ForeignKey("chains.id"), nullable=False),
        sa.Column("person", _COUNTER, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("slot", sa.Integer),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("chain", "person", name="claims_pkey"),
        sa.UniqueConstraint("chain", "slot", name="claims_slot"),
        sa.CheckConstraint("purpose IN ('rate', 'gold', 'adjudicate')", name="claims_purpose"),
    )
    op.create_index("claims_by_person", "claims", ["person"])
    _make_events()


def _make_events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", _COUNTER, primary_key=True),
        sa.Column("person", _COUNTER, sa.ForeignKey("people.id"), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("chain", sa.Text, sa.ForeignKey("chains.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("step", sa.Text, sa.ForeignKey("steps.id")),
        sa.Column("rating", sa.Integer),
        sa.Column("is_unsure", sa.Boolean, nullable=False),
        sa.Column("finish", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("undoes", sa.Text),
        sa.Column("scores_shown", sa.Boolean, nullable=False),
        sa.Column("took_ms", sa.BigInteger),
        sa.Column("at_ms", sa.BigInteger),
        sa.Column("saved_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("person", "key", name="events_key"),
        sa.CheckConstraint("rating IN (-1, 0, 1)", name="events_rating"),
        sa.CheckConstraint(
            "kind IN ('rate', 'write', 'undo', 'submit', 'reopen', 'show_scores')",
            name="events_kind",
        ),
    )
    op.create_index("events_of_work", "events", ["chain", "person", "seq"])
    op.create_index("events_by_person", "events", ["person", "kind"])
    op.create_index("events_by_step", "events", ["step"])
