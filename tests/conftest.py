"""Shared fixtures."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is not."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip("needs the real data in ../shared/data")
    return SHARED_DATA
