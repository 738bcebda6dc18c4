"""Running an application until it is asked to stop."""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from firstsight.errors import FirstsightError, UserError
from firstsight.service.addresses import in_address
from firstsight.service.connections import Prompt

if TYPE_CHECKING:
    from firstsight.service.certificates import Certificate

log = logging.getLogger("firstsight.service")

_TO_FINISH = 30  # seconds, for what was accepted
_CONNECTIONS = 1000
_LOOKED_AT = 3600.0  # seconds, between two looks at the certificate


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None] = lambda address: None,
    certificate: Callable[[], "Certificate"] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish what was accepted. `on_ready` is told the address.

    With a `certificate`, over HTTPS alone. It is asked for again every hour, so that one that was renewed is used from
    then on.

    Raises:
        UserError: the address cannot be had.
    """
    held = certificate() if certificate else None
    config = uvicorn.Config(
        app,
        http=Prompt,
        ws="none",
        log_config=None,
        access_log=False,  # paths are not for logs
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_TO_FINISH,
        ssl_certfile=held.chain if held else None,
        ssl_keyfile=held.key if held else None,
    )
    with closing(_bound(host, port)) as bound, _ending_quietly(), _renewing(config, certificate):
        on_ready(_address(host, bound.getsockname()[1], "https" if certificate else "http"))
        uvicorn.Server(config).run(sockets=[bound])


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


def _bound(host: str, port: int) -> socket.socket:
    try:
        bound = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"The service cannot listen on {host}, port {port}: {reason}.", hint="Name another: --port 8001"
        ) from error
    # What is accepted inherits it. asyncio sees to it for sockets of its own alone; without it an answer waits 40 ms
    # between its head and its body, for the client's delayed acknowledgment.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


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
    return f"{scheme}://{in_address(named)}:{port}"
