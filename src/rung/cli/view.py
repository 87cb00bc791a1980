"""`rung view`: look at chains, search trees and curves in a browser, or write them as a site."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.output import JsonFlag, Output
from rung.cli.serving import LOCALLY, ServerOptions, check_installed

if TYPE_CHECKING:
    from rich.console import Console

    from rung.serve.view.bundle import Bundle
    from rung.serve.view.library import Library


@dataclass(frozen=True, slots=True)
class ViewCommand:
    """Look at chains, search trees and curves in a browser.

    Takes a run's folder, a folder of many runs, or one file: chains in any format that rung reads,
    the event log of 'rung search', what 'rung eval' wrote, metrics.jsonl of a training. Nothing is
    changed and nothing outside the folder is read. With --bundle it writes a static site instead,
    which opens from disk and from any web host.
    """

    run_or_file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_FILE")]
    """What to look at."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Write a static site into this folder, and serve nothing."""
    server: ServerOptions = LOCALLY
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Serve until it is stopped, or write the site."""
        check_installed()
        from rung.serve.pages import WEB
        from rung.serve.view.bundle import write_bundle
        from rung.serve.view.library import Library

        library = Library(self.run_or_file)
        if self.bundle is None:
            self._serve(library, out)
            return
        made = write_bundle(library, WEB, self.bundle, out.progress)
        out.result(asdict(made), lambda console: _tell(console, made))

    def _serve(self, library: Library, out: Output) -> None:
        from rung.serve.app import create_app
        from rung.serve.pages import INDEX, WEB
        from rung.serve.running import run_app
        from rung.serve.view.routes import view_routes

        safety = self.server.safety()
        app = create_app(view_routes(library), safety=safety, title="rung view", pages=WEB)
        if not (WEB / INDEX).is_file():
            out.progress.log("the pages are not built yet: 'make web' in the checkout builds them")
        run_app(app, self.server.listening, out.progress, path="/#/")


def _tell(console: Console, made: Bundle) -> None:
    console.print(
        f"{made.chains} chains and {made.searches} searches of {made.runs} runs,"
        f" {made.bytes / 2**20:.1f} MiB: open {made.index}",
        soft_wrap=True,
    )


COMMAND = ViewCommand
