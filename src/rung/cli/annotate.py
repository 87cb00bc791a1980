"""`rung annotate`: people rate steps in a browser, alone or as a team."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rung.cli.annotate_opening import STORE, StoreOption, opened
from rung.cli.annotate_queues import Queues
from rung.cli.annotate_store import Export, Import, People, Status
from rung.cli.inputs import Files, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.serving import LOCALLY, ServerOptions, check_installed
from rung.core import ChainRecord, RungError, Skipped, Verdict
from rung.label.next import First

if TYPE_CHECKING:
    from rung.label.rating_queue import Queued
    from rung.serve.annotate_desk import RatingDesk
    from rung.store.opening import Store

HOUR_MS = 3600 * 1000
MaybeChains = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[CHAINS ...]", help_behavior_hint=""),
]


@dataclass(frozen=True, slots=True)
class Serve:
    """Let people rate the steps of chains: 'rung annotate serve CHAINS' is 'rung annotate CHAINS'.

    The chains go into the store, those to learn from first; those that are there already are not
    doubled, and without CHAINS the store is served as it is. Alone on this machine you need no
    account; as soon as there are people (rung annotate people add), everybody needs their link.
    docs/guides/annotate.md shows the page and its keys.
    """

    chains: MaybeChains = ()
    """Files of chains; "-" is standard input, OWNER/NAME a dataset."""
    store: StoreOption = STORE
    """Where ratings are kept: a file of SQLite, or postgresql://USER@HOST/NAME."""
    queue: str = "main"
    """The queue into which the chains and the gold ones go; a new name makes one."""
    only: Literal["all", "wrong", "right"] = "all"
    """Queue only chains whose answer is wrong, or right."""
    most: int | None = None
    """Queue at most so many of them: those first in line."""
    first: First = "doubt"
    """Chains that come first. doubt: of whose steps the scorer is not sure. convincing: wrong
    answers that it rates highly. No two alike, and those on which scorers disagree, either way."""
    gold: Files = ()
    """Labeled chains to mix in, by which each person is measured."""
    gold_every: int = 10
    """Each person's every n-th chain is a gold one; 0: none."""
    overlap: int = 1
    """How many people rate each chain."""
    rate_all: bool = False
    """Rate every step; else a chain ends at its first bad one."""
    hide_answer: bool = False
    """Don't show the reference answer."""
    hide_scores: bool = False
    """Don't even show scorers' scores to those who ask; without it, whether they were shown is
    kept with each rating."""
    alternatives: int = 7
    """Other steps shown at a place, at most."""
    release_hours: float = 24.0
    """A chain that was taken and not touched for so long is given to somebody else too."""
    scorer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A scorer whose scores put the chains in order; give it again for another. Without it, all."""
    rule: str = "min"
    """The aggregation that makes a chain score."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    server: ServerOptions = LOCALLY
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Queue the chains, and serve until stopped."""
        if self.overlap < 1 or self.gold_every < 0 or self.alternatives < 0:
            raise RungError("--overlap is at least 1; --gold-every and --alternatives 0 or more")
        if self.most is not None and self.most < 1:
            raise RungError("--most is at least 1")
        check_installed()
        with opened(self.store, is_new=bool(self.chains)) as store:
            self._serve(store, out)

    def _serve(self, store: Store, out: Output) -> None:
        from rung.serve.annotate import annotate
        from rung.serve.app import create_app
        from rung.serve.pages import INDEX, WEB
        from rung.serve.running import check_listening, run_app

        desk = self._desk(store)
        safety = self.server.safety(desk.find if _has_people(store) else None)
        if safety.find != desk.find:  # not everybody comes by a link
            _add_local(store)
        check_listening(safety, self.server.listening)
        queued = self._queue(store, out)
        app = create_app(annotate, safety=safety, title="rung annotate", pages=WEB)
        app.state.rating_desk = desk
        if not (WEB / INDEX).is_file():
            out.progress.log("the pages are not built yet: 'make web' in the checkout builds them")
        run_app(app, self.server.listening, out.progress, path="/#/annotate")
        out.result({"store": store.name, **queued}, lambda _: None)

    def _desk(self, store: Store) -> RatingDesk:
        from rung.serve.annotate_desk import RatingDesk
        from rung.store.claims import Sharing

        return RatingDesk(
            store=store,
            sharing=Sharing(
                overlap=self.overlap,
                gold_every=self.gold_every,
                stale_ms=round(self.release_hours * HOUR_MS),
            ),
            rate_all=self.rate_all,
            shows_answer=not self.hide_answer,
            offers_scores=not self.hide_scores,
            max_alternatives=self.alternatives,
        )

    def _is_wanted(self, record: ChainRecord) -> bool:
        is_other = bool(record.meta.get("is_alternative"))
        return is_other or self.only == "all" or record.outcome == _OUTCOMES[self.only]

    def _queue(self, store: Store, out: Output) -> dict[str, int]:
        from rung.label.rating_queue import queue_chains, queue_gold

        skipped = Skipped()
        counted = skipped if self.skip_bad else None
        found: dict[str, int] = {}
        if self.chains:
            with read_twice(self.chains) as places, store.writing() as connection:
                records = records_of(places, self.format, "good", counted)
                queued = queue_chains(
                    connection,
                    (record for record in records if self._is_wanted(record)),
                    queue=self.queue,
                    first=self.first,
                    scorers=self.scorer,
                    rule=self.rule,
                    most=self.most,
                )
            found = _counted(queued, "chains", out)
            found["alternatives"] = queued.alternatives
        if self.gold:
            with read_twice(self.gold) as places, store.writing() as connection:
                records = records_of(places, None, "good", counted)
                place = ", ".join(self.gold)
                queued = queue_gold(connection, records, place, queue=self.queue)
            found |= _counted(queued, "gold chains", out)
        tell_skipped(out.progress, skipped)
        return found


_OUTCOMES = {"wrong": Verdict.INCORRECT, "right": Verdict.CORRECT}


def _counted(queued: Queued, what: str, out: Output) -> dict[str, int]:
    out.progress.log(f"{queued.new} {what} added, {queued.known} were there")
    name = what.replace(" ", "_")
    return {f"new_{name}": queued.new, f"known_{name}": queued.known}


def _has_people(store: Store) -> bool:
    """Whether people have links."""
    from rung.store.people import all_people

    with store.reading() as connection:
        return any(person.is_active for person in all_people(connection))


def _add_local(store: Store) -> None:
    """Give whoever runs the server an account."""
    from rung.serve.annotate_desk import local_name
    from rung.store.people import add_person, person_named

    with store.writing() as connection:
        if person_named(connection, local_name()) is None:
            add_person(connection, local_name(), "lead", None)


COMMANDS = {
    "serve": Serve,
    "import": Import,
    "export": Export,
    "people": People,
    "queues": Queues,
    "status": Status,
}
DEFAULT = "serve"
