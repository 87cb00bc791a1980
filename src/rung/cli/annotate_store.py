"""The verbs of `rung annotate` that need no server: import, export, people, status."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from rung.cli.annotate_opening import STORE, StoreOption, opened
from rung.cli.annotate_queues import show_queues
from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.core import RungError, Skipped
from rung.core.files import STDIN, create_binary
from rung.core.urls import name_of
from rung.data import Neutral

if TYPE_CHECKING:
    from rich.console import Console

    from rung.eval.raters import Alpha, PersonStatus, RatingStatus

ADDRESS = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Import:
    """Take in chains with ratings that were made elsewhere: PRM800K's, TRL's or rung's own files.

    Each labeler becomes a person who can't log in. What was imported before is not doubled.
    """

    chains: Chains
    """Files of labeled chains; "-" is standard input, OWNER/NAME a dataset."""
    store: StoreOption = STORE
    """Where ratings are kept."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    queue: str = "main"
    """The queue into which the chains go; a new name makes one."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Take them in, all or nothing."""
        skipped = Skipped()
        with opened(self.store, is_new=True) as store, read_twice(self.chains) as places:
            from rung.label.rating_import import import_ratings

            counted = skipped if self.skip_bad else None
            out.progress.start("ratings are taken in")
            with store.writing() as connection:
                records = records_of(places, self.format, "good", counted)
                found = import_ratings(connection, records, queue=self.queue)
            name = store.name
        tell_skipped(out.progress, skipped)
        counts = {field.name: getattr(found, field.name) for field in fields(found)}
        result = {"store": name, **counts, "skipped_rows": skipped.count}
        out.result(result, lambda console: _show_import(console, result))


@dataclass(frozen=True, slots=True)
class Export:
    """Write all ratings as they are at this moment; people may go on rating meanwhile."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write, compressed by its suffix; "-" is standard output."""
    store: StoreOption = STORE
    """Where ratings are kept."""
    format: Literal["rung", "trl", "prm800k"] = "rung"
    """rung: chains with the labels that are settled ("human") and each person's ("human:NAME").
    trl: the settled ones.
    prm800k: PRM800K's own rows, one for each person and chain."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Write them."""
        rows = 0
        with opened(self.store) as store, store.reading() as connection:
            from rung.label.rating_export import export_lines

            lines = export_lines(connection, self.format, neutral=self.neutral)
            if str(self.out) == STDIN:
                sys.stdout.buffer.writelines(lines)
                sys.stdout.buffer.flush()
                return
            with create_binary(self.out) as stream:
                for line in lines:
                    rows += stream.write(line) > 0
        result = {"out": name_of(self.out), "format": self.format, "rows": rows}
        out.result(result, lambda console: console.print(f"{rows} rows in {result['out']}"))


@dataclass(frozen=True, slots=True)
class People:
    """Who may rate: add people, make new links for them, or take their links away.

    A link logs in whoever has it, so give it to nobody else. It is shown once.
    """

    what: Annotated[Literal["list", "add", "link", "remove"], tyro.conf.Positional] = "list"
    """list them; add people; make a new link (the old one ends); remove: take the link away."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")] = ()
    """Whom to add, to link or to remove."""
    lead: bool = False
    """Whoever is added also sees the team, settles disagreements and exports."""
    store: StoreOption = STORE
    """Where ratings are kept."""
    address: Annotated[str, tyro.conf.arg(metavar="URL")] = ADDRESS
    """Where people reach the server, for their links."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Do it."""
        if (self.what == "list") == bool(self.names):
            raise RungError("name the people to add, link or remove; a list needs no names")
        with opened(self.store, is_new=self.what == "add") as store:
            with store.writing() as connection:
                links = {name: self._change(connection, name) for name in self.names}
            with store.reading() as connection:
                from rung.store.people import all_people

                people = all_people(connection)
        listed = [p for p in people if p.name in links] if links else people
        result = [
            {"name": p.name, "role": p.role, "active": p.is_active, "link": links.get(p.name)}
            for p in listed
        ]
        out.result(result, lambda console: _show_people(console, result))

    def _change(self, connection: Any, name: str) -> str | None:
        from rung.serve.tokens import hash_of, new_token
        from rung.store.people import add_person, remove_person, renew_token

        if self.what == "remove":
            remove_person(connection, name)
            return None
        token = new_token()
        if self.what == "add":
            role = "lead" if self.lead else "rater"
            add_person(connection, name, role, hash_of(token))
        else:
            renew_token(connection, name, hash_of(token))
        return f"{self.address.rstrip('/')}/annotate#token={token}"


@dataclass(frozen=True, slots=True)
class Status:
    """Show how rating goes: progress, people, gold items, agreement by week."""

    store: StoreOption = STORE
    """Where ratings are kept."""
    overlap: int = 1
    """How many people rate each chain, as given to the server."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Count."""
        with opened(self.store) as store, store.reading() as connection:
            from rung.eval.raters import rating_status

            found = rating_status(connection, overlap=self.overlap)
        out.result(found, lambda console: _show_status(console, found))


def _show_import(console: Console, result: dict[str, Any]) -> None:
    new = f"{result['chains']} chains and {result['ratings']} ratings taken into {result['store']}"
    console.print(new, soft_wrap=True, markup=False)
    known = f"{result['known_chains']} chains and {result['known_ratings']} ratings were there"
    console.print(f"  {known}; {result['alternatives']} alternatives", soft_wrap=True)
    if result["soft_labels"]:
        console.print(f"  {result['soft_labels']} soft labels left out: they are no ratings")


def _show_people(console: Console, people: list[dict[str, Any]]) -> None:
    if not people:
        console.print("nobody yet; 'rung annotate people add NAME' adds somebody")
    for person in people:
        state = "" if person["active"] else ", no link"
        console.print(f"{person['name']} ({person['role']}{state})", soft_wrap=True, markup=False)
        if person["link"]:
            console.print(f"  {person['link']}", soft_wrap=True, markup=False)


def _show_status(console: Console, status: RatingStatus) -> None:
    from rich.table import Table

    console.print(
        f"{status.done} of {status.chains} chains done, {status.begun} begun;"
        f" {status.ratings} ratings, {status.unsure} of them unsure"
    )
    console.print(f"{status.to_settle} disagreements to settle, {status.settled} settled")
    if len(status.queues) > 1:
        show_queues(console, status.queues)
    for alpha in [status.alpha, *status.weeks]:
        console.print(f"Krippendorff's alpha, {alpha.week or 'all weeks'}: {_alpha(alpha)}")
    table = Table()
    for name in ("person", "role", "chains", "steps", "unsure", "median s a step", "gold"):
        table.add_column(name)
    for person in status.people:
        table.add_row(*_row(person))
    console.print(table)


def _alpha(alpha: Alpha) -> str:
    found = alpha.alpha
    if found is None:
        return f"not known ({alpha.num_steps} steps that two rated)"
    bounds = f" ({found.low:.3f} to {found.high:.3f})" if found.low is not None else ""
    return f"{found.value:.3f}{bounds} on {alpha.num_steps} steps"


def _row(person: PersonStatus) -> list[str]:
    seconds = "-" if person.median_step_s is None else f"{person.median_step_s:.1f}"
    gold = person.gold
    agreed = f"{gold.same} of {gold.num_steps} steps" if gold else "-"
    counts = [str(person.chains), str(person.steps), str(person.unsure)]
    return [person.name, person.role, *counts, seconds, agreed]
