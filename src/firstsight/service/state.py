"""What the routes of one service share."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

from fastapi import Request

from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.access import Access
from firstsight.service.forms import Budget
from firstsight.service.metrics import Metrics
from firstsight.service.work import Workers

UNDO_MINUTES = 5
"""So long a kiosk may take back what it was told."""


class Told:
    """Which entries of the ledger each caller was told of lately. A service that starts anew knows of none."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()

    def note(self, caller: str, entry: int) -> None:
        now = time.monotonic()
        with self._lock:
            self._until = {told: until for told, until in self._until.items() if until > now}
            self._until[caller, entry] = now + self._seconds

    def knows(self, caller: str, entry: int) -> bool:
        with self._lock:
            return self._until.get((caller, entry), 0.0) > time.monotonic()


@dataclasses.dataclass(kw_only=True)
class Service:
    """One recognizer, and all that stands around it. `address` is where other machines find it, once that is known."""

    recognizer: Recognizer
    workers: Workers
    access: Access
    metrics: Metrics
    forget: Callable[[Gallery, str], dict[str, Any]]
    debounce: float
    address: str | None = None
    budget: Budget = dataclasses.field(default_factory=Budget)
    told: Told = dataclasses.field(default_factory=lambda: Told(60 * UNDO_MINUTES))

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.recognizer.gallery)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
