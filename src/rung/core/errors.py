"""Errors that a user can mend: the CLI prints one sentence and exits with code 2."""


class RungError(Exception):
    """A mistake in what the user gave us, said in one sentence."""


class InputError(RungError):
    """A file holds something that rung can't read.

    Args:
        reason: What was found and what was expected.
        file: The file's name, as the user wrote it.
        line: The 1-based line (or row, in Parquet), if the mistake is in one line.
    """

    def __init__(self, reason: str, *, file: str, line: int | None = None) -> None:
        self.reason = reason
        self.file = file
        self.line = line
        name = "standard input" if file == "-" else file
        place = name if line is None else f"{name}, line {line}"
        super().__init__(f"{place}: {reason}")


class UnknownFormatError(InputError):
    """A file's rows can be read, and are of no known format."""


class UnavailableError(RungError):
    """A service fails for now; the same command can go on later with what is done."""


class MissingExtraError(RungError):
    """An optional package is not installed; the message says which command installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package {package}: pip install 'rung[{extra}]'")
