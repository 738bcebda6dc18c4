"""What the routes of one service share."""

import dataclasses
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """One recognizer, and all that stands around it."""

    recognizer: Recognizer
    workers: Workers
    access: Access
    metrics: Metrics
    forget: Callable[[Gallery, str], dict[str, Any]]
    debounce: float
    budget: Budget = dataclasses.field(default_factory=Budget)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.recognizer.gallery)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
