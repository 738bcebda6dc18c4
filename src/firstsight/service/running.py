"""Running an application until it is asked to stop."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from firstsight.errors import UserError

_TO_FINISH = 30  # seconds, for what was accepted
_CONNECTIONS = 1000


class Certificate(NamedTuple):
    """PEM files."""

    chain: Path
    key: Path


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None] = lambda address: None,
    certificate: Certificate | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish what was accepted. `on_ready` is told the address.

    Raises:
        UserError: the address cannot be had.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # paths are not for logs
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_TO_FINISH,
        ssl_certfile=certificate and str(certificate.chain),
        ssl_keyfile=certificate and certificate.key,
    )
    with closing(_bound(host, port)) as bound, _ending_quietly():
        on_ready(_address(host, bound.getsockname()[1], "https" if certificate else "http"))
        uvicorn.Server(config).run(sockets=[bound])


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"The service cannot listen on {host}, port {port}: {reason}.", hint="Name another: --port 8001"
        ) from error


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


def _address(host: str, port: int, scheme: str) -> str:
    """As a browser takes it."""
    try:
        named = socket.gethostname() if ip_address(host).is_unspecified else host
    except ValueError:
        named = host
    return f"{scheme}://{f'[{named}]' if ':' in named else named}:{port}"
