"""What ``/metrics`` shows of calls, queues and media, and the one object that counts it.

Names are ``waitline_…``; a counter is declared in ``COUNTERS`` with its labels, so that a count of an unknown name is an error in tests and
not a silent new series. Gauges are read at scrape time from the parts that know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "calls": ("Calls taken in", ("direction",)),
    "calls_refused": ("Calls refused before any document was asked for", ("reason",)),
    "notifications": ("Notifications written for tenants, by code", ("code",)),
    "queue_events": ("Members joined, claimed, released and left (with the reason)", ("kind", "reason")),
    "registrations": ("REGISTER requests by outcome", ("outcome",)),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "webhook_seconds": ("Time a tenant's server took to answer", ("outcome",)),
}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class PlatformMetrics:
    """Counts; see the module."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._counters = {name: Counter(f"waitline_{name}", text, labels, registry=registry) for name, (text, labels) in COUNTERS.items()}
        self._histograms = {
            name: Histogram(f"waitline_{name}", text, labels, registry=registry, buckets=_BUCKETS)
            for name, (text, labels) in HISTOGRAMS.items()
        }

        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        """What was counted before, found without prometheus_client's checks of every label"""

    def count(self, name: str, **labels: str) -> None:
        key = (name, tuple(labels.items()))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._counters[name].labels(**labels)
        series.inc()

    def observe(self, name: str, value: float, **labels: str) -> None:
        key = (name, tuple(labels.items()))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._histograms[name].labels(**labels)
        series.observe(value)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what ``read`` returns at each scrape."""
        Gauge(f"waitline_{name}", text, registry=self.registry).set_function(read)
