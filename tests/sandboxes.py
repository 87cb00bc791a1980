"""Which sandbox the tests have: none is a skip here, and a failure in CI."""

import os

import pytest

from rung import RungError
from rung.verify.bubblewrap import BubblewrapSandbox


def bubblewrap() -> BubblewrapSandbox:
    """The sandbox; skips, naming the package, where it is missing (and fails under CI=true)."""
    try:
        return BubblewrapSandbox.found()
    except RungError as error:
        reason = f"needs the Debian package bubblewrap (`make system`): {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
