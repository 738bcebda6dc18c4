"""The verb: it prints where to go, keeps keys, and ends in order."""

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pictures import draw_symbol

from firstsight.cli.main import main
from firstsight.errors import UserError
from firstsight.places import data_folder
from firstsight.service.keys import Keys
from firstsight.service.pairing import Codes
from firstsight.service.running import listen

Started = tuple[subprocess.Popen[str], str]


@pytest.fixture
def started() -> Iterator[Callable[..., Started]]:
    """Type `firstsight serve` in a process of its own; the process, and the address that it prints."""
    processes = []

    def start(*words: str) -> Started:
        command = [sys.executable, "-m", "firstsight", "serve", "--port", "0", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Open "):
                return process, said
        raise AssertionError(process.communicate()[1])

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: Any) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["firstsight", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_it_prints_where_to_go_and_ends_with_what_was_accepted_done(
    started: Callable[..., Started], tmp_path: Path
) -> None:
    process, said = started("--gallery", str(tmp_path / "gallery.sqlite"))
    address = said.split()[-1]
    draw_symbol(1).save(tmp_path / "star.png")
    star = (tmp_path / "star.png").read_bytes()
    with httpx2.Client(base_url=address, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.post("/v1/people", files={"picture": star}, data={"name": "star"}).status_code == 201
        assert client.post("/v1/identify", files={"picture": star}).json()["name"] == "star"
        assert client.get("/readyz").status_code == 200
        assert "text/html" in client.get("/").headers["content-type"]
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.search(r"POST /v1/identify 200 \d+ ms local", log)
    assert "Traceback" not in log
    assert not (tmp_path / "gallery.sqlite-wal").exists(), "the gallery was closed"


def test_keys_are_made_listed_and_revoked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = typed(capsys, monkeypatch, "serve", "keys", "add", "front door", "--role", "kiosk", "--json")
    made = json.loads(out)
    assert (code, made["role"]) == (0, "kiosk")
    listed = json.loads(typed(capsys, monkeypatch, "serve", "keys", "list", "--json")[1])
    assert (listed["name"], listed["id"]) == ("front door", made["key"].split("-")[1])
    assert made["key"].split("-", 2)[2] not in typed(capsys, monkeypatch, "serve", "keys", "list")[1]
    said = typed(capsys, monkeypatch, "serve", "keys", "revoke", listed["id"])
    assert said[:2] == (0, "The key of front door opens nothing any more.\n")
    code, _, err = typed(capsys, monkeypatch, "serve", "keys", "revoke", listed["id"])
    assert (code, f"There is no key {listed['id']}." in err) == (2, True)


def test_an_address_that_cannot_be_had_is_said_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("serve", "--gallery", tmp_path / "gallery.sqlite", "--host")
    for host in ("203.0.113.1", "door.invalid"):
        code, out, err = typed(capsys, monkeypatch, *words, host)
        assert (code, out) == (2, ""), "no key is shown that nobody can use yet"
        assert re.fullmatch(rf"The service cannot listen on {host}, port 8000: [\w ]+\.", err.splitlines()[0])
        assert "Name an address of this machine: --host ADDRESS" in err
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_said_in_a_sentence_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = typed(capsys, monkeypatch, "serve", "--port", port, "--model", "none that there is")
    assert (code, out) == (2, "")
    another = port + 1 if port < 65535 else 8000
    assert " ".join(err.split()) == f"Port {port} of 127.0.0.1 is in use. Name another: --port {another}"


@pytest.mark.parametrize(
    ("error", "port", "said"),
    [
        (OSError(errno.EADDRINUSE, "in use"), 65535, "is in use. Name another: --port 8000"),
        (socket.gaierror(8, "no such name, as macOS counts"), 8000, "as macOS counts. Name an address of this machine"),
        (OSError(errno.EACCES, "Permission denied"), 80, "Permission denied. Name another: --port 8001"),
    ],
)
def test_what_to_type_instead_fits_what_is_wrong_with_the_address(
    monkeypatch: pytest.MonkeyPatch, error: OSError, port: int, said: str
) -> None:
    def refused(*_: Any) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(UserError, match=re.escape(said)):
        listen("door", port)


def test_the_admin_key_is_shown_once(tmp_path: Path, started: Callable[..., Started]) -> None:
    words = ("--keys", "--gallery", str(tmp_path / "gallery.sqlite"))
    first, again = (started(*words)[1] for _ in range(2))
    assert re.search(r"The admin key, shown this once: fs-[0-9a-f]{8}-[\w-]{43}\n", first)
    assert "shown this once" not in again


def test_a_tablet_is_paired_while_the_service_runs_and_not_once_it_was_killed(
    started: Callable[..., Started],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    process, said = started("--keys", "--gallery", str(tmp_path / "gallery.sqlite"))
    with httpx2.Client(base_url=said.split()[-1], timeout=60) as tablet:
        tablet.get("/healthz")
        code, out, _ = typed(capsys, monkeypatch, "serve", "pair", "--json")
        made = json.loads(out)
        assert (code, made["address"]) == (0, f"{said.split()[-1]}/pair.html#{made['code']}")
        assert tablet.post("/v1/session", json={"code": made["code"]}).json()["role"] == "kiosk"
    process.kill()
    process.wait()
    code, out, err = typed(capsys, monkeypatch, "serve", "pair")
    assert (code, out, "No service with keys is running here" in err) == (2, "", True)


def test_a_disk_without_locks_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    codes = Codes(Keys(data_folder() / "service" / "keys.json"))
    with codes.looked_at("https://192.168.1.5:8000"):
        monkeypatch.setattr(fcntl, "flock", refused)
        code, out, err = typed(capsys, monkeypatch, "serve", "pair")
    said = " ".join(err.split())
    assert (code, out, "Traceback" in said) == (1, "", False)
    assert re.search(r"running\.lock cannot be locked: No locks available\. Name a folder on a disk of this", said)


def test_without_its_extra_it_says_in_one_sentence_what_to_type(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for words in (["serve"], ["serve", "pair"]):
        code, out, err = typed(capsys, monkeypatch, *words)
        assert (code, out) == (2, "")
        said = " ".join(err.split())
        assert said == 'The service needs FastAPI, which is not installed. Type: pip install "firstsight[serve]"'
