"""What a test can't do without: a skip where it is missing, and a failure in CI."""

import os
from typing import NoReturn

import pytest


def missing(package: str, reason: object = "") -> NoReturn:
    """Skip the test, naming the Debian package; CI has installed it, so there it is a failure."""
    because = f"needs the Debian package {package} (`make system`){reason and f': {reason}'}"
    if os.environ.get("CI") == "true":
        pytest.fail(because)
    pytest.skip(because)
