"""Which chains a person submitted, and which of those that the person has are still to do.

A chain is finished when its latest submit was not followed by a reopen. Each statement is built
once: that takes ten times as long as running it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, exists, func, select

from rung.store.tables import claims, events, queued

_submit, _reopen = events.alias(), events.alias()
_is_opened_again = exists().where(
    *(_reopen.c.chain == _submit.c.chain, _reopen.c.person == _submit.c.person),
    *(_reopen.c.kind == "reopen", _reopen.c.seq > _submit.c.seq),
)
_is_end = and_(_submit.c.kind == "submit", ~_is_opened_again)
_is_own_end = and_(_submit.c.person == bindparam("by"), _is_end)
_of_claim = and_(_submit.c.chain == claims.c.chain, _submit.c.person == claims.c.person)
_was_submitted = exists().where(_of_claim, _submit.c.kind == "submit")

_NUMBER = select(func.count(_submit.c.chain.distinct())).where(_is_own_end)
_LATEST = (
    select(_submit.c.chain)
    .where(_is_own_end, _submit.c.chain != bindparam("but"))
    .order_by(_submit.c.seq.desc())
    .limit(1)
)
_UNFINISHED = (
    select(claims.c.chain)
    .where(claims.c.person == bindparam("by"), ~exists().where(_of_claim, _is_end))
    .order_by(_was_submitted.desc(), claims.c.at_ms)
    .limit(1)
)
_UNFINISHED_IN = _UNFINISHED.where(
    exists().where(
        queued.c.chain == claims.c.chain,
        queued.c.queue.in_(bindparam("queues", expanding=True)),
    )
)


def count_finished(connection: Connection, person: int) -> int:
    """How many chains a person submitted."""
    return connection.execute(_NUMBER, {"by": person}).scalar_one()


def latest_finished(connection: Connection, person: int, *, but: str) -> str | None:
    """The chain that a person submitted last, leaving one out; None where there is none."""
    return connection.execute(_LATEST, {"by": person, "but": but}).scalar()


def first_unfinished(
    connection: Connection, person: int, queues: Sequence[int] | None = None
) -> str | None:
    """The first chain that a person has and did not submit; None where there is none.

    One that was opened again comes first. With `queues`, one that is in one of them.
    """
    if queues is None:
        return connection.execute(_UNFINISHED, {"by": person}).scalar()
    return connection.execute(_UNFINISHED_IN, {"by": person, "queues": list(queues)}).scalar()
