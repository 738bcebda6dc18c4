"""Connections on which nothing is asked, and too many of one address: closed, so that none keeps another's place."""

import asyncio

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from firstsight.service.addresses import origin

ASKED_WITHIN = 30.0
"""Seconds for the head of a request, from when the connection was made or the last answer was complete; up to twice
as long where there was one. uvicorn waits without end once a byte has come."""

OF_ONE = 200
"""Connections of one address: a browser has six. A proxy that is believed who asks, and this machine, have no bound."""


class Prompt(H11Protocol):
    """HTTP/1.1 for clients that ask something, and leave room for others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._one_too_many():
            transport.abort()
            return
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

    def _one_too_many(self) -> bool:
        host = self.client[0] if self.client else ""
        if isinstance(self.app, ProxyHeadersMiddleware) and host in self.app.trusted_hosts:
            return False
        others = (each.client for each in self.connections if isinstance(each, Prompt) and each.client)
        return sum(origin(client[0]) == origin(host) for client in others) > OF_ONE
