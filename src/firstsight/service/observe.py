"""Around every request: headers that keep browsers strict, a line in the log, and the counters.

The log has the route, not the path: no name, no number of a person, nothing of a picture.
"""

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstsight.service.metrics import Metrics
from firstsight.service.problems import Problem, respond

log = logging.getLogger("firstsight.service")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_KEEP_NOTHING = (b"cache-control", b"no-store")
_ASK_AGAIN = (b"cache-control", b"no-cache")  # pages may be kept, but not beyond the next upgrade


class Observe:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                keep = _KEEP_NOTHING if scope["path"].startswith("/v1/") else _ASK_AGAIN
                message["headers"] = [*message["headers"], *_HEADERS, keep]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # it goes on to the log
            if status is None:
                failed = Problem(500, "failed", "The service failed.", hint="Its log says why.")
                await respond(failed)(scope, receive, send_with_headers)
            raise
        finally:
            self._note(scope, status or 500, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "(none)")
        # any word may be sent as a method: each that is counted stays in memory, and in the log as it came
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        caller = scope.get("state", {}).get("caller")
        who = caller.id if caller else "-"
        log.info("%s %s %d %.0f ms %s", method, path, status, 1000 * seconds, who)
