"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rung.serve.worker import Batch

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SIZES = tuple(4.0**k for k in range(9))


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        shared: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter(
            "rung_requests", "Requests by how they ended.", ["route", "status"], **shared
        )
        self._seconds = Histogram(
            "rung_request_seconds", "From a request to the end of its answer.", ["route"], **shared
        )
        sized: dict[str, Any] = {"labelnames": ["model"], "buckets": SIZES, **shared}
        self._jobs = Histogram("rung_batch_jobs", "Jobs that a model did in one call.", **sized)
        about = "About the tokens that were scored, or the chains that were written, in one call."
        self._size = Histogram("rung_batch_size", about, **sized)
        self._busy = Counter("rung_model_seconds", "Time in a model's calls.", ["model"], **shared)
        self._tokens = Counter(
            "rung_search_tokens", "Tokens that searches sampled and scored.", ["what"], **shared
        )
        self._gauges: dict[str, Gauge] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, done: Batch) -> None:
        """Count what a worker did."""
        self._jobs.labels(done.worker).observe(done.num_jobs)
        self._size.labels(done.worker).observe(done.size)
        self._busy.labels(done.worker).inc(done.seconds)

    def searched(self, sampled: int, scored: int) -> None:
        """Count what a search took."""
        self._tokens.labels("sampled").inc(sampled)
        self._tokens.labels("scored").inc(scored)

    def watch(self, name: str, about: str, value: Callable[[], float], model: str = "") -> None:
        """Show what `value` gives when somebody looks."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, about, ["model"], registry=self._registry)
        self._gauges[name].labels(model).set_function(value)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
