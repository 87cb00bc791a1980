"""Named queues; the chains that are there are in the queue "main"."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, and put the chains into a queue."""
    op.create_table(
        "queues",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("added_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "queued",
        sa.Column("queue", _COUNTER, sa.ForeignKey("queues.id"), nullable=False),
        sa.Column("chain", sa.Text, sa.ForeignKey("chains.id"), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("chain", "queue", name="queued_pkey"),
        sa.UniqueConstraint("queue", "place", name="queued_place"),
    )
    op.create_table(
        "assignments",
        sa.Column("queue", _COUNTER, sa.ForeignKey("queues.id"), nullable=False),
        sa.Column("person", _COUNTER, sa.ForeignKey("people.id"), nullable=False),
        sa.PrimaryKeyConstraint("person", "queue", name="assignments_pkey"),
    )
    op.execute(
        "INSERT INTO queues (name, added_ms) SELECT 'main', 0 WHERE EXISTS (SELECT 1 FROM chains)"
    )
    op.execute(
        "INSERT INTO queued (queue, chain, place)"
        " SELECT queues.id, chains.id, chains.place FROM queues, chains"
    )
