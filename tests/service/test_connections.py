"""Connections on which nothing is asked, and those of one address."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from firstsight.service import connections, running
from firstsight.service.certificates import own_certificate


async def hello(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _served(bound: socket.socket, **options: Any) -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(hello, http=connections.Prompt, ws="none", lifespan="off", log_config=None, **options)
    yield uvicorn.Server(config)
    bound.close()


def _doorway(*, unbounded: Callable[[str], bool]) -> connections.Doorway:
    return connections.Doorway(socket.create_server(("127.0.0.1", 0)), unbounded=unbounded)


async def _ask(port: int, *parts: bytes, until: bytes | None = None) -> bytes:
    """What comes back until the server closes, or until it has said so much."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    got = await (reader.read() if until is None else reader.readuntil(until))
    if until is not None:
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nSlow: ")
        got += await reader.read()
    writer.close()
    return got


def test_who_asks_nothing_is_let_go_and_who_asks_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ASKED_WITHIN", 0.1)
    asked = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"

    async def all_of_it() -> list[bytes]:
        with socket.create_server(("127.0.0.1", 0)) as bound, _served(bound) as server:
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            port = bound.getsockname()[1]
            got = await asyncio.gather(
                _ask(port),
                _ask(port, asked[:20]),
                _ask(port, asked, until=b"ok"),
            )
            server.should_exit = True
            await serving
            return got

    silent, half, then_half = asyncio.run(asyncio.wait_for(all_of_it(), 20))
    assert (silent, half) == (b"", b"")
    assert then_half.startswith(b"HTTP/1.1 200")
    assert then_half.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(("believed", "held"), [([], [b"200", b"200", b"", b"200"]), (["127.0.0.1"], 4 * [b"200"])])
def test_one_address_has_so_many_connections_and_leaves_the_others_to_others(
    believed: list[str], held: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "OF_ONE", 2)
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this machine has one loopback address, as macOS does")

    async def status(port: int, address: str) -> bytes:
        """The connection stays open, unless the service closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        open_ones.append(writer)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            return (await reader.readuntil(b"ok"))[9:12]
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def all_of_it() -> list[bytes]:
        with _doorway(unbounded=believed.__contains__) as bound, _served(bound) as server:
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            port, addresses = bound.getsockname()[1], (*3 * ["127.0.0.1"], "127.0.0.2")
            got = [await status(port, address) for address in addresses]
            open_ones[0].close()
            while not await status(port, "127.0.0.1"):
                pass  # who has left makes room
            for each in open_ones:
                each.close()
            server.should_exit = True
            await serving
            return got

    open_ones: list[asyncio.StreamWriter] = []
    assert asyncio.run(asyncio.wait_for(all_of_it(), 20)) == held


def test_over_https_a_connection_counts_before_its_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "OF_ONE", 2)
    held = own_certificate(tmp_path, ["127.0.0.1"])

    async def closed_ones() -> list[int]:
        with (
            _doorway(unbounded=lambda _: False) as bound,
            _served(bound, ssl_certfile=held.chain, ssl_keyfile=held.key) as server,
        ):
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            silent = [await asyncio.open_connection(*bound.getsockname()) for _ in range(3)]
            told = [asyncio.create_task(reader.read()) for reader, _ in silent]
            done, _ = await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            closed = [number for number, each in enumerate(told) if each in done]
            for _, writer in silent:
                writer.close()
            await asyncio.gather(*told, return_exceptions=True)
            server.should_exit = True
            await serving
            return closed

    assert asyncio.run(asyncio.wait_for(closed_ones(), 20)) == [2]


def test_this_machine_and_a_proxy_that_is_believed_have_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.9")
    free = connections.unbounded(uvicorn.Config(hello))
    assert [host for host in ("127.0.0.1", "::1", "10.0.0.9", "10.0.0.8", "2001:db8::1") if free(host)] == [
        "127.0.0.1",
        "::1",
        "10.0.0.9",
    ]


def test_the_service_is_served_through_the_doorway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "OF_ONE", 1)
    monkeypatch.setattr(connections, "is_loopback", lambda _host: False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.9")

    def serve(_server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (bound,) = sockets
        here = bound.getsockname()
        with (
            socket.create_connection(here),
            socket.create_connection(here),
            bound.accept()[0],
            pytest.raises(ConnectionAbortedError),
        ):
            bound.accept()
        served.append(True)

    served: list[bool] = []
    monkeypatch.setattr(uvicorn.Server, "run", serve)
    running.run(hello, running.listen("127.0.0.1", 0))
    assert served
