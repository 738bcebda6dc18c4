"""What is too large, too slow, too much or broken: refused in one sentence, and nothing is left of it."""

import asyncio
import io
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from callers import noise, png
from PIL import Image
from served_process import Process
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from firstsight.service import bodies
from firstsight.service.bodies import MOST_BYTES
from firstsight.service.forms import Budget
from firstsight.service.problems import Problem

BOUNDARY = "x" * 20
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'.encode()


def test_an_upload_is_counted_while_it_is_read_and_never_touches_a_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)  # what a large form would be rolled over to
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield HEAD
        while sent < 10 * MOST_BYTES:
            sent += 2**20
            yield bytes(2**20)

    answer = client.post("/v1/identify", content=endless(), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    said = client.post("/v1/identify", files={"picture": bytes(MOST_BYTES + 2**20)})
    assert (said.status_code, said.json()["message"]) == (413, "More than 10 MB were sent.")
    most = client.post("/v1/identify", files={"picture": bytes(MOST_BYTES)})
    assert (most.status_code, most.json()["code"]) == (422, "picture"), "10 MB are no picture, but are read"
    assert client.app.state.service.budget._left == Budget()._left  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["application/json", FORM["Content-Type"]])
def test_who_is_not_signed_in_cannot_have_much_kept_in_memory(guarded: TestClient, kind: str) -> None:
    told = guarded.post("/v1/session", content=iter([bytes(2**10)] * 70), headers={"Content-Type": kind})
    assert (told.status_code, told.json()["message"]) == (413, "More than 64 KB were sent.")
    for path in ("/v1/identify", "/v1/checkins/1/correct"):
        assert guarded.post(path, content=bytes(2**20), headers={"Content-Type": kind}).status_code in (401, 413)


def test_a_body_that_does_not_arrive_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.02)
    answers: list[Any] = []

    async def read_all(_scope: Any, receive: Any, _send: Any) -> None:
        assert (await receive())["more_body"]
        with pytest.raises(HTTPException) as refused:
            await receive()
        answers.append(refused.value.status_code)

    async def say(message: Any) -> None:
        raise AssertionError(message)

    async def ask() -> None:
        messages = iter([{"type": "http.request", "body": b"a", "more_body": True}])

        async def receive() -> Any:
            return next(messages, None) or await asyncio.sleep(60)

        await bodies.Bounded(read_all)({"type": "http", "headers": []}, receive, say)

    asyncio.run(ask())
    assert answers == [408]


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(client: TestClient) -> None:
    with io.BytesIO() as file:
        Image.new("1", (20_000, 2_001)).save(file, "PNG")
        bomb = file.getvalue()
    tracemalloc.start()
    answer = client.post("/v1/identify", files={"picture": bomb})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status_code, "megapixels" in answer.json()["message"]) == (422, True)
    assert peak < 20e6


def test_all_uploads_together_are_bounded() -> None:
    budget = Budget(10)
    budget.take(6)
    with pytest.raises(Problem, match="busy with other uploads"):
        budget.take(6)
    budget.give(6)
    budget.take(10)


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"", FORM),
        (b"\x00" * 100, FORM),
        (HEAD, FORM),
        (HEAD + b"abc", {"Content-Type": "multipart/form-data"}),
        (HEAD.replace(b"picture", b"p\xff"), FORM),
        (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}),
        ((HEAD + b"\r\n") * 2 + f"--{BOUNDARY}--\r\n".encode(), FORM),
        (HEAD.replace(b'; filename="a.png"', b"") + bytes(100_000), FORM),
    ],
)
def test_what_is_no_form_is_said(client: TestClient, content: bytes, headers: dict[str, str]) -> None:
    answer = client.post("/v1/identify", content=content, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] in ("not-a-form", "invalid")


def test_who_goes_away_in_the_middle_is_no_fault_of_the_service(client: TestClient) -> None:
    sent, lost = [], [{"type": "http.request", "body": HEAD, "more_body": True}, {"type": "http.disconnect"}]
    headers = [(b"host", b"127.0.0.1"), (b"content-type", FORM["Content-Type"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/identify", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return lost.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(client.app({**scope, "server": None, "client": None, "scheme": "http"}, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 400, "an exception would fill the log with each tablet that loses its network"
    assert client.app.state.service.budget._left == Budget()._left  # type: ignore[attr-defined]


def broken(seed: int) -> bytes:
    """A picture with a few bytes changed, cut, doubled, or in another format's clothes."""
    rng = np.random.default_rng(seed)
    kind = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")[seed % 7]
    with io.BytesIO() as file:
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(file, kind)
        held = bytearray(file.getvalue())
    for at in rng.integers(0, len(held), rng.integers(0, 8)):
        held[at] = rng.integers(0, 256)
    match seed // 7 % 4:
        case 0:
            return bytes(held[: rng.integers(0, len(held))])
        case 1:
            return bytes(held + held)
        case 2:
            start = int(rng.integers(0, len(held)))
            return bytes(held[:start] + rng.bytes(50) + held[start:])
    return bytes(held)


def send_broken(client: httpx2.Client, seeds: range) -> set[int]:
    paths: list[tuple[str, dict[str, Any]]] = [
        ("/v1/identify", {}),
        ("/v1/people", {"name": "someone", "anyway": "true"}),
        ("/v1/checkins", {}),
    ]
    codes = set()
    for seed in seeds:
        path, fields = paths[seed % 3]
        answer = client.post(path, files={"picture": broken(seed)}, data=fields)
        assert answer.status_code < 500, f"{seed}: {answer.text}"
        assert answer.status_code < 400 or answer.json()["hint"], f"{seed}: {answer.text}"
        codes.add(answer.status_code)
    return codes


def test_broken_pictures_fail_nobody(client: TestClient) -> None:
    assert {200, 422} <= send_broken(client, range(60))
    assert client.post("/v1/identify", files={"picture": noise(1)}).status_code == 200


@pytest.mark.slow
def test_2000_broken_pictures_leave_nothing_in_memory(process: Process) -> None:
    with process.client() as client:
        send_broken(client, range(500))
        before = process.memory
        send_broken(client, range(500, 2500))
    assert process.memory - before < 2e7


def test_a_disk_that_fails_is_said_without_its_path(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    where = client.app.state.service.recognizer.gallery.where  # type: ignore[attr-defined]
    from firstsight.errors import StorageError
    from firstsight.recognition.sqlite import SqliteStorage

    def full(_storage: Any) -> Any:
        raise StorageError(f"{where} cannot be written: the disk is full.", hint="Free some space and try again.")

    monkeypatch.setattr(SqliteStorage, "writing", full)
    answer = client.post("/v1/people", files={"picture": noise(1)}, data={"name": "ada"})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert answer.json()["message"] == "the gallery cannot be written: the disk is full."
    assert client.post("/v1/identify", files={"picture": png(np.eye(16) * 255)}).status_code == 200
