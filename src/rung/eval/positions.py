"""Places of steps in their chains, in ranges that double: late steps are few."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    """Steps from one place of their chains to another, both included; 0-based."""

    first: int
    last: int | None
    """None: and all later ones."""

    def __str__(self) -> str:
        """As a row of a table says it."""
        if self.last is None:
            return f"{self.first} and later"
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


BUCKETS = (Bucket(0, 0), Bucket(1, 2), Bucket(3, 6), Bucket(7, 14), Bucket(15, None))


def bucket_of(position: int) -> int:
    """The index of a 0-based position's bucket in `BUCKETS`."""
    return min((position + 1).bit_length() - 1, len(BUCKETS) - 1)
