"""How large and how slow the body of a request may be: known from what it announces, else seen while it is read."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstsight.service.problems import problem_of, respond

MOST_BYTES = 10 * 2**20
"""Of a picture."""
MOST_FIELDS = 64 * 2**10
"""Of a body that is no upload, and of all else in one that is."""
MOST_SENT = MOST_BYTES + MOST_FIELDS
SECONDS = 30.0
"""For a whole body."""


class Bounded:
    """An ASGI application whose requests have bodies of at most `MOST_FIELDS`, until a route asks for an upload.

    Anyone may sign in, so what reads a whole body before it looks at it gets a small one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > MOST_SENT:
            await respond(problem_of(413, _too_large(MOST_BYTES)))(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["most_sent"] = MOST_FIELDS
        ends = asyncio.get_running_loop().time() + SECONDS
        read, more = 0, True

        async def receive_so_much() -> Message:
            nonlocal read, more
            try:
                async with asyncio.timeout_at(ends if more else None):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408) from error
            read += len(message.get("body", b""))
            more = bool(message.get("more_body"))
            if read > state["most_sent"]:
                raise HTTPException(413, _too_large(min(state["most_sent"], MOST_BYTES)))
            return message

        await self._app(scope, receive_so_much, send)


def expect_upload(request: Request) -> None:
    """Let a request have the body of an upload, from now on."""
    request.state.most_sent = MOST_SENT


def _too_large(most: int) -> str:
    shown = f"{most // 2**20} MB" if most >= 2**20 else f"{most // 2**10} KB"
    return f"More than {shown} were sent."
