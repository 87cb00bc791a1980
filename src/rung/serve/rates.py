"""How often each caller may ask: buckets that fill steadily and are emptied by requests."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from rung.core.errors import RungError

MAX_CALLERS = 10_000
"""So many are remembered; who has been away longest is forgotten, and begins with a full bucket."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second, and so many at once after a pause."""

    per_s: float
    burst: int


def rate_of(per_s: float | None) -> Rate | None:
    """So many a second, and ten seconds' worth at once; None: no limit.

    Raises:
        RungError: The number is not above 0.
    """
    if per_s is None:
        return None
    if not (per_s > 0 and math.isfinite(per_s)):
        raise RungError(f"the rate is {per_s} requests a second, expected above 0")
    return Rate(per_s, max(1, round(10 * per_s)))


class _Bucket(NamedTuple):
    left: float
    at_s: float


@dataclass(slots=True)
class Rates:
    """A bucket for each key."""

    rate: Rate
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict[str, _Bucket])

    def wait_s(self, key: str) -> float:
        """Seconds until `key` may ask; 0: it has asked now."""
        now_s = self.clock()
        bucket = self._buckets.pop(key, _Bucket(self.rate.burst, now_s))
        left = min(self.rate.burst, bucket.left + (now_s - bucket.at_s) * self.rate.per_s)
        wait_s = max(0.0, (1 - left) / self.rate.per_s)
        self._buckets[key] = _Bucket(left - (not wait_s), now_s)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return wait_s
