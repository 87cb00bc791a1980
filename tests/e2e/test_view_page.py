"""The pages of `rung view` in a real Chromium."""

import re
from pathlib import Path

import pytest

from browser import check_accessible

pytest.importorskip("playwright")


def test_first_page_opens_from_disk_and_shows_its_keys(page, web: Path):
    page.goto((web / "index.html").as_uri())
    check_accessible(page)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    check_accessible(page)
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_lock_file_names_no_registry(pytestconfig: pytest.Config):
    lock = (pytestconfig.rootpath / "web" / "package-lock.json").read_text()
    assert not re.search(r'"resolved"|registry\.', lock)
