"""How often may each ask: a bucket of tokens each, refilled steadily."""

import threading
import time
from collections import OrderedDict

_MOST = 10_000  # who asked longest ago is dropped: a full bucket is the same as none


class Rates:
    """`burst` requests at once, and `per_second` in the long run, for each name."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """0, and a token less; or how many seconds there is none."""
        with self._lock:
            tokens, now = self._tokens(name)
            taken = tokens >= 1
            self._buckets[name] = (tokens - taken, now)
            self._buckets.move_to_end(name)
            while len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._per_second

    def give(self, name: str) -> None:
        """Give back the token that was taken."""
        with self._lock:
            tokens, now = self._tokens(name)
            self._buckets[name] = (min(self._burst, tokens + 1), now)

    def _tokens(self, name: str) -> tuple[float, float]:
        now = time.monotonic()
        tokens, then = self._buckets.get(name, (self._burst, now))
        return min(self._burst, tokens + (now - then) * self._per_second), now
