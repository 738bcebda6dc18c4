"""The ledger, several processes and a kill; what retention and forget leave on the disk."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from tiny_models import pixel_model, random_templates

from firstsight.recognition import sqlite
from firstsight.recognition.decision import Match, Rule, decide_identify
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger

# argv: the gallery, the first request, the one after the last. Says each request whose entry is on the disk.
RECORDER = """
import sys
from firstsight.recognition.decision import Match, Rule, decide_identify
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
with Gallery(sys.argv[1]) as gallery:
    ledger = Ledger(gallery)
    for i in range(int(sys.argv[2]), int(sys.argv[3])):
        decision = decide_identify([Match("ada", i / 1_000)], Rule(0.5))
        entry = ledger.record("identify", decision, request_id=f"request {i}", direction="in")
        print(f"{i} {entry.id}", flush=True)
"""


def recorder(url: str, first: int, end: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", RECORDER, url, str(first), str(end)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def with_ada(url: str) -> str:
    with Gallery(url) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll("ada", random_templates(1)[0])
    return url


def pairs(lines: list[str]) -> list[tuple[int, int]]:
    return [(int(request), int(number)) for request, number in map(str.split, lines)]


def test_a_kill_loses_no_acknowledged_entry_and_a_retry_doubles_none(shared_gallery_url: str) -> None:
    url = with_ada(shared_gallery_url)
    process = started(recorder(url, 0, 1_000))
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged = pairs(lines + rest.splitlines())
    assert process.returncode == -signal.SIGKILL
    assert 100 <= len(acknowledged) < 1_000, "the kill did not come in mid-work"
    with Gallery(url) as gallery:
        entries = list(Ledger(gallery).entries())
    assert [(int(e.request_id.split()[1]), e.id) for e in entries][: len(acknowledged)] == acknowledged
    assert len(entries) - len(acknowledged) <= 1  # it may have died between the commit and its word
    retried, _ = started(recorder(url, 0, 1_000)).communicate()
    again = pairs(retried.splitlines())
    assert again[: len(acknowledged)] == acknowledged, "a retry is answered with the entry of the first time"
    with Gallery(url) as gallery:
        entries = list(Ledger(gallery).entries())
        assert [(int(e.request_id.split()[1]), e.id) for e in entries] == again
        assert len({e.request_id for e in entries}) == len(entries) == 1_000
        assert [e.decision.distance for e in entries] == [i / 1_000 for i in range(1_000)]


def test_two_processes_with_the_same_requests_record_each_once(shared_gallery_url: str) -> None:
    url = with_ada(shared_gallery_url)
    both = [started(process) for process in [recorder(url, 0, 60), recorder(url, 0, 60)]]
    said = [pairs(process.communicate()[0].splitlines()) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    with Gallery(url) as gallery:
        assert [entry.request_id for entry in Ledger(gallery).entries()] == [f"request {i}" for i in range(60)]


def pieces_found(folder: Path, secret: bytes) -> int:
    """How many pieces of a secret are in the files of a folder: a page may end within it."""
    held = b"\0".join(path.read_bytes() for path in folder.iterdir())
    return sum(secret[start : start + 32] in held for start in range(0, len(secret) - 31, 32))


@pytest.mark.parametrize("erase", ["forget", "purge"])
def test_no_file_holds_a_probe_that_was_erased_or_a_name_that_was_forgotten(tmp_path: Path, erase: str) -> None:
    secret = np.random.default_rng(3).bytes(20_000)
    name = "Person of Interest"
    with Gallery(tmp_path / "g.sqlite") as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll_many([name, "bob"], random_templates(2))
        ledger = Ledger(gallery)
        seen = decide_identify([Match(name, 0.2), Match("bob", 0.9)], Rule(0.5))
        ledger.record("identify", seen)  # does the day's purge
        long_ago = datetime.now(UTC) - timedelta(days=100)
        number = ledger.record("identify", seen, probe=secret, keep_probe_days=9, at=long_ago, camera="front" * 9).id
        ledger.correct(ledger.record("identify", seen).id, name)
        assert ledger.probe(number) == secret
        assert pieces_found(tmp_path, secret) > 500
        if erase == "forget":
            gallery.forget(name)
        else:
            ledger.purge()
        assert pieces_found(tmp_path, secret) == 0
        assert pieces_found(tmp_path, b"front" * 9) == (erase == "forget")
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert (name.encode() in files) == (erase == "purge")


def test_a_gallery_without_a_ledger_gets_one_and_keeps_its_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_ledger(connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "firstsight.recognition:migrations")
        command.upgrade(config, "0002")

    path = tmp_path / "old.sqlite"
    with monkeypatch.context() as old:
        old.setattr(sqlite, "migrate", without_ledger)
        with Gallery(path) as gallery:
            gallery.bind_model(pixel_model("tiny"))
            gallery.enroll("ada", random_templates(1)[0])
            with gallery.storage.reading() as connection:
                assert "ledger" not in connection.dialect.get_table_names(connection)
    with Gallery(path) as gallery:
        assert gallery.names() == ["ada"]
        assert Ledger(gallery).record("identify", decide_identify([Match("ada", 0.2)], Rule(0.5))).name == "ada"
