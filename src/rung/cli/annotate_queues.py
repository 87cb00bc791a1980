"""`rung annotate queues`: which queues there are, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from rung.cli.annotate_opening import STORE, StoreOption, opened
from rung.cli.output import JsonFlag, Output
from rung.core import RungError

if TYPE_CHECKING:
    from rich.console import Console

    from rung.eval.raters import QueueStatus


@dataclass(frozen=True, slots=True)
class Queues:
    """Which queues there are, how far each is, and who works on it.

    'rung annotate CHAINS --queue NAME' makes and fills one; chains may be in several. Whoever is
    assigned to no queue works on all of them, in the order in which they were made.
    """

    what: Annotated[Literal["list", "assign", "unassign"], tyro.conf.Positional] = "list"
    """list them; assign people to a queue; unassign them."""
    queue: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[QUEUE]")] = None
    """The queue to which people are assigned."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")] = ()
    """The people."""
    store: StoreOption = STORE
    """Where ratings are kept."""
    overlap: int = 1
    """How many people rate each chain, as given to the server."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Do it, and list them."""
        if self.what == "list" and self.queue is not None:
            raise RungError("a list takes no names")
        if self.what != "list" and not self.names:
            raise RungError(f"{self.what} takes a queue and the people")
        with opened(self.store) as store:
            if self.queue is not None:
                with store.writing() as connection:
                    self._change(connection, self.queue)
            with store.reading() as connection:
                from rung.eval.raters import rating_status

                found = rating_status(connection, overlap=self.overlap).queues
        out.result(found, lambda console: show_queues(console, found))

    def _change(self, connection: Any, queue: str) -> None:
        from rung.store.queues import assign, unassign

        (assign if self.what == "assign" else unassign)(connection, queue, self.names)


def show_queues(console: Console, queues: Sequence[QueueStatus]) -> None:
    """One line a queue."""
    if not queues:
        console.print("no queue yet; 'rung annotate CHAINS --queue NAME' makes one")
    for queue in queues:
        gold = f", {queue.gold_chains} gold" if queue.gold_chains else ""
        who = ", ".join(queue.people) or "whoever is assigned to none"
        far = f"{queue.done} of {queue.chains} chains done, {queue.begun} begun{gold}"
        console.print(f"{queue.name}: {far}; {who}", soft_wrap=True, markup=False, highlight=False)
