"""The progress that says nothing, for library use and tests."""


class Silent:
    """A `Progress` that shows nothing."""

    def start(self, what: str, total: int | None = None) -> None:
        """Say nothing."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say nothing."""

    def log(self, message: str) -> None:
        """Say nothing."""
