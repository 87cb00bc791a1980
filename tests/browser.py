"""A real Chromium for the tests of pages, and what every page must keep.

The fixtures are `page` (a fresh page whose console errors fail the test), `chromium` and `web`
(the built pages). Axe comes from `web/node_modules`, where `make web` puts it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from needed import missing

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "src" / "rung" / "serve" / "web"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def built_pages() -> Path:
    """The folder of `make web`; skips where it is not."""
    if not ((PAGES / "index.html").is_file() and AXE.is_file()):
        pytest.skip("needs the built pages (`make web`)")
    return PAGES


@contextlib.contextmanager
def open_chromium() -> Iterator[Browser]:
    """The system's Chromium; skips where it is missing, and fails in CI."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=as_root)
        yield browser
        browser.close()


@contextlib.contextmanager
def watched_page(
    browser: Browser, *, dark: bool = False, size: dict[str, int] = DESKTOP
) -> Iterator[Page]:
    """A page that must write no error on its console, raise none and miss no file."""
    errors: list[str] = []
    context = browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, "\n".join(errors)


def check_accessible(page: Page) -> None:
    """Axe finds nothing that keeps people out (WCAG 2.2 AA and good practice)."""
    page.evaluate(AXE.read_text())
    result: dict[str, Any] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], preload: false})"
        ".then(({violations}) => ({violations}))"
    )
    found = [
        f"{violation['id']}: {node['failureSummary']} {node['html'][:200]}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]
    assert not found, "\n".join(found)
