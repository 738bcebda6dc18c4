"""The service put together: an ASGI application over one recognizer."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.service import checkins, decisions, health, invitations, models, people, privacy, schemas, signin
from firstsight.service.access import Access, Gate
from firstsight.service.bodies import Bounded
from firstsight.service.keys import Keys
from firstsight.service.metrics import Metrics
from firstsight.service.observe import Observe
from firstsight.service.problems import answer_problems
from firstsight.service.state import Service
from firstsight.service.work import Workers

PAGES = Path(__file__).parent / "pages"
_ROUTERS = (people, decisions, checkins, models, signin, invitations, privacy, health)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ProblemBody, "description": what}
    for status, what in {
        400: "Not a form",
        401: "No key, or a wrong one",
        403: "The role may not",
        404: "Not there",
        405: "Not with this method",
        408: "Too slow",
        409: "In conflict with what is there",
        413: "More than is taken here",
        422: "The picture or a field cannot be used",
        429: "Too many requests of this key",
        500: "The service failed",
        503: "Busy, or the disk fails",
    }.items()
}

_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Spans would carry paths and queries, and so names, to whatever the environment says."""


def create_app(
    recognizer: Recognizer,
    *,
    forget: Callable[[Gallery, str], dict[str, Any]],
    keys: Keys | None = None,
    threads: int | None = None,
    queue: int = 64,
    per_second: float = 50,
    debounce: float = 0,
) -> FastAPI:
    """The service over a recognizer, whose gallery stays open until the caller closes it.

    `forget` erases a name and gives the receipt as plain values. Without `keys`, everyone on this machine is an admin,
    and others are refused. `threads` embed (one a core, by default), at most `queue` pictures wait. A key may ask
    `per_second` times a second. Whoever checked in within `debounce` minutes is not recorded again.
    """
    workers = Workers(recognizer, threads=threads or os.cpu_count() or 1, queue=queue)
    gallery = recognizer.gallery
    metrics = Metrics(waiting=lambda: workers.waiting, people=lambda: len(gallery))
    access = Access(keys, per_second=per_second)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title="firstsight",
        version=metadata.version("firstsight"),
        summary="Recognize at first sight.",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        responses=_PROBLEMS,
        middleware=[
            Middleware(Observe, metrics=metrics),
            Middleware(Gate, access=access, where=gallery.where),
            Middleware(Bounded),
        ],
    )
    app.state.service = Service(
        recognizer=recognizer, workers=workers, access=access, metrics=metrics, forget=forget, debounce=debounce
    )
    answer_problems(app, gallery.where)
    for module in _ROUTERS:
        app.include_router(module.router)
    app.mount("/", Pages(directory=PAGES, html=True, check_dir=False), name="pages")
    return app


class Pages(StaticFiles):
    """What no route takes. A route of this path that takes another method is told of: all paths lead here as well."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods: set[str] = set()
        for route in (route for module in _ROUTERS for route in module.router.routes):
            if isinstance(route, Route) and route.matches(scope)[0] == Match.PARTIAL:
                methods |= route.methods or set()
        if methods:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
        await super().__call__(scope, receive, send)
