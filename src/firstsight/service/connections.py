"""Connections on which nothing is asked, and too many of one address: closed, so that none keeps another's place."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from firstsight.service.addresses import is_loopback, origin

ASKED_WITHIN = 30.0
"""Seconds for the head of a request, from when the connection was made or the last answer was complete; up to twice
as long where there was one. uvicorn waits without end once a byte has come."""

OF_ONE = 200
"""Connections of one address: a browser has six."""


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


class Doorway(socket.socket):
    """A listening socket with a bound for each address. It counts what it accepts: with TLS, the protocol above is told
    of a connection only after the handshake."""

    def __init__(self, listening: socket.socket, *, unbounded: Callable[[str], bool]) -> None:
        """Takes the place of `listening`. An address that is `unbounded` may have any number of connections."""
        super().__init__(fileno=listening.detach())
        self._unbounded = unbounded
        self._accepted: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError: this address has too many; the event loop goes on with the next."""
        accepted, address = super().accept()
        whose = origin(address[0])
        if not self._unbounded(address[0]) and self._held_by(whose) >= OF_ONE:
            accepted.close()
            raise ConnectionAbortedError(f"{whose} has too many connections.")
        self._accepted[accepted] = whose
        return accepted, address

    def _held_by(self, whose: str) -> int:
        return sum(each.fileno() >= 0 for each, other in self._accepted.items() if other == whose)


def unbounded(config: uvicorn.Config) -> Callable[[str], bool]:
    """Whose connections are not counted: those of this machine, and of a proxy that is believed who asks."""
    app: Any = config.app
    proxies = ProxyHeadersMiddleware(app, config.forwarded_allow_ips).trusted_hosts
    return lambda host: is_loopback(host) or host in proxies
