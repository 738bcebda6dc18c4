"""What Prometheus may count: how often and how long, never who."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one service."""

    def __init__(self, *, waiting: Callable[[], int], people: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "path", "status")
        name = "firstsight"
        self.requests = Counter(f"{name}_requests", "Requests answered.", labels, registry=self._registry)
        self.seconds = Histogram(
            f"{name}_request_seconds", "From request to answer.", ("path",), registry=self._registry, buckets=_SECONDS
        )
        self.decisions = Counter(f"{name}_decisions", "Decisions made.", ("kind", "decision"), registry=self._registry)
        Gauge(f"{name}_waiting", "Pictures that wait.", registry=self._registry).set_function(waiting)
        Gauge(f"{name}_people", "Identities enrolled.", registry=self._registry).set_function(people)

    def text(self) -> bytes:
        """All of them, in the format of Prometheus."""
        return generate_latest(self._registry)
