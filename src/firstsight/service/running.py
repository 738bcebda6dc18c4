"""Running an application until it is asked to stop."""

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from firstsight.errors import FirstsightError, UserError
from firstsight.service.addresses import in_address
from firstsight.service.connections import Doorway, Prompt, unbounded

if TYPE_CHECKING:
    from firstsight.service.certificates import Certificate

log = logging.getLogger("firstsight.service")

_TO_FINISH = 30  # seconds, for what was accepted
_CONNECTIONS = 1000
_LOOKED_AT = 3600.0  # seconds, between two looks at the certificate


class Listening(NamedTuple):
    """A socket that takes connections, and the host that was asked for. Whoever comes waits until `run` has it."""

    host: str
    socket: socket.socket

    def close(self) -> None:
        self.socket.close()


def listen(host: str, port: int) -> Listening:
    """Take an address; port 0: any port that is free.

    Raises:
        UserError: it cannot be had.
    """
    try:
        bound = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as error:
        raise _not_to_be_had(host, port, error) from error
    # What is accepted inherits it. asyncio sees to it for sockets of its own alone; without it an answer waits 40 ms
    # between its head and its body, for the client's delayed acknowledgment.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Listening(host, bound)


def run(
    app: ASGIApp,
    listening: Listening,
    *,
    on_ready: Callable[[str], None] = lambda address: None,
    certificate: Callable[[], "Certificate"] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish what was accepted, and close. `on_ready` is told the address.

    With a `certificate`, over HTTPS alone. It is asked for again every hour, so that one that was renewed is used from
    then on.
    """
    held = certificate() if certificate else None
    config = uvicorn.Config(
        app,
        http=Prompt,
        ws="none",
        loop="asyncio",  # uvloop accepts past the doorway
        log_config=None,
        access_log=False,  # paths are not for logs
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_TO_FINISH,
        ssl_certfile=held.chain if held else None,
        ssl_keyfile=held.key if held else None,
    )
    with closing(listening), _ending_quietly(), _renewing(config, certificate):
        on_ready(_address(listening, "https" if certificate else "http"))
        with Doorway(listening.socket, unbounded=unbounded(config)) as doorway:
            uvicorn.Server(config).run(sockets=[doorway])


@contextmanager
def _renewing(config: uvicorn.Config, certificate: Callable[[], "Certificate"] | None) -> Iterator[None]:
    """Connections that begin after a certificate was renewed get the new one."""
    ended = threading.Event()

    def renew() -> None:
        while certificate and not ended.wait(_LOOKED_AT):
            try:
                held = certificate()
                if config.ssl:
                    config.ssl.load_cert_chain(held.chain, held.key)
            except (FirstsightError, OSError) as error:
                log.error("The certificate was not renewed: %s", error)

    threading.Thread(target=renew, name="certificate", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _not_to_be_had(host: str, port: int, error: OSError | OverflowError) -> UserError:
    number = getattr(error, "errno", None) or 0
    if number == errno.EADDRINUSE:
        another = port + 1 if port < 65535 else 8000
        return UserError(f"Port {port} of {host} is in use.", hint=f"Name another: --port {another}")
    said = getattr(error, "strerror", None) or str(error)
    reason = said.partition(" (while")[0].rstrip(".")  # Python says where twice
    nameless = any(isinstance(each, socket.gaierror) for each in (error, error.__context__))  # Python wraps it
    elsewhere = nameless or number == errno.EADDRNOTAVAIL  # no such name, or no address of this machine
    return UserError(
        f"The service cannot listen on {host}, port {port}: {reason}.",
        hint="Name an address of this machine: --host ADDRESS" if elsewhere else "Name another: --port 8001",
    )


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """uvicorn, once it has ended, raises the signals anew that it was sent: they have done their work then."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, lambda *_: None) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _address(listening: Listening, scheme: str) -> str:
    """As a browser takes it."""
    host, port = listening.host, listening.socket.getsockname()[1]
    try:
        named = socket.gethostname() if ip_address(host).is_unspecified else host
    except ValueError:
        named = host
    return f"{scheme}://{in_address(named)}:{port}"
