"""Connections on which nothing is asked: closed, so that none keeps another's place."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

ASKED_WITHIN = 30.0
"""Seconds for the head of a request, from when the connection was made or the last answer was complete; up to twice
as long where there was one. uvicorn waits without end once a byte has come."""


class Prompt(H11Protocol):
    """HTTP/1.1 for clients that ask something."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(ASKED_WITHIN, self._look, None)

    def _look(self, before: object) -> None:
        """Close where no request has begun since the one seen `before` was answered."""
        if self.transport.is_closing():
            return
        at_rest = self.cycle is None or self.cycle.response_complete
        if at_rest and self.cycle is before:
            self.transport.close()
            return
        self.loop.call_later(ASKED_WITHIN, self._look, self.cycle if at_rest else object())
