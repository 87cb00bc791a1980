"""A static site of a folder's documents: opens from disk, or from any web host.

A browser refuses `fetch` to a page from disk, but not a script. So every document is a script that
calls `rungData(NAME, DOCUMENT)`, and the page loads it when it is wanted.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rung.core.errors import RungError
from rung.core.protocols import Progress
from rung.serve.pages import INDEX
from rung.serve.view.library import Library, documents

DATA = "data"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self';"
    " base-uri 'none'; form-action 'none'"
)
"""As the server's (`rung.serve.guard`), but for what a page can't say of itself."""
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}" />
    <meta name="rung-data" content="{DATA}" />
    <title>"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written."""

    index: str
    """The page to open."""
    runs: int
    chains: int
    searches: int
    bytes: int


def write_bundle(library: Library, pages: Path, out: Path, progress: Progress) -> Bundle:
    """Write the pages with all documents.

    Args:
        library: What to show.
        pages: The built pages (`rung.serve.pages.WEB`).
        out: The folder, new or empty, or an earlier bundle, whose place this one takes.
        progress: Counts documents.

    Raises:
        RungError: The pages are not built, or `out` holds something else.
    """
    index = pages / INDEX
    if not index.is_file():
        raise RungError("the pages are not built: 'make web' in a checkout of rung builds them")
    if out.is_dir() and any(out.iterdir()) and not _is_bundle(out):
        raise RungError(f"{out} holds something else; give a new folder for the bundle")
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(pages, aside)
        (aside / INDEX).write_text(index.read_text().replace("<title>", HEAD, 1))
        counts = _write_documents(library, aside / DATA, progress)
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Bundle(str(out / INDEX), counts["runs"], counts["chains"], counts["searches"], size)


def _write_documents(library: Library, data: Path, progress: Progress) -> dict[str, int]:
    counts = {"runs": 0, "chains": 0, "searches": 0}
    progress.start("write the bundle")
    for name, document in documents(library):
        path = data / f"{name}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.encode(document)
        path.write_bytes(b"rungData(%s,%s)\n" % (msgspec.json.encode(name), content))
        kind = type(document).__name__
        counts["runs"] += kind == "RunEntry"
        counts["searches"] += kind == "SearchTree"
        counts["chains"] += len(document.rows) if kind == "ChainIndex" else 0
        progress.advance()
    return counts


def _is_bundle(folder: Path) -> bool:
    index = folder / INDEX
    return index.is_file() and 'name="rung-data"' in index.read_text(errors="replace")
