"""Several processes on one gallery, one of them killed."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from galleries import names_found, opened
from tiny_models import pixel_model, random_templates

from firstsight.recognition.gallery import Gallery

# argv: the folder of tiny_models.py, the gallery, a prefix, how many. Starts when told to; says each name enrolled.
ENROLLER = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_models import pixel_model, random_templates
from firstsight.recognition.gallery import Gallery
print("ready", flush=True)
sys.stdin.readline()
count = int(sys.argv[4])
templates = random_templates(count, seed=int(sys.argv[3]))
with Gallery(sys.argv[2]) as gallery:
    gallery.bind_model(pixel_model("tiny"))
    for i, template in enumerate(templates):
        gallery.enroll(f"{sys.argv[3]}-{i}", template, bytes(2_000))
        print(f"{sys.argv[3]}-{i}", flush=True)
"""


def enroller(url: str, prefix: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ENROLLER, str(Path(__file__).parents[1]), url, str(prefix), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_make_and_fill_a_gallery_at_once_lose_nobody(shared_gallery_url: str) -> None:
    processes = [enroller(shared_gallery_url, prefix, 40) for prefix in range(2)]
    for process in processes:
        start(process)
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    with Gallery(shared_gallery_url) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        assert sorted(gallery.names()) == sorted(f"{prefix}-{i}" for prefix in range(2) for i in range(40))
        for prefix in range(2):
            found = gallery.search(random_templates(40, seed=prefix), k=1)
            assert [(match.name, match.distance) for (match,) in found] == [(f"{prefix}-{i}", 0.0) for i in range(40)]


def test_a_search_sees_what_others_enrolled_and_forgot(shared_gallery_url: str) -> None:
    one, two, three = random_templates(3)
    with Gallery(shared_gallery_url) as mine, Gallery(shared_gallery_url) as theirs:
        for gallery in (mine, theirs):
            gallery.bind_model(pixel_model("tiny"))

        def found() -> list[str]:
            return [match.name for match in mine.search(one[None], k=9)[0]]

        theirs.enroll("one", one)
        assert found() == ["one"]
        theirs.enroll("two", two)
        theirs.enroll("one", three, add=True)
        assert found() == ["one", "two"]
        theirs.forget("two")
        theirs.enroll("three", one)  # as near as "one", and enrolled in the place of the newest
        assert found() == ["one", "three"]
        theirs.clear()
        assert found() == []
        theirs.enroll("four", one)
        assert found() == ["four"]


def test_the_database_is_read_again_only_when_someone_wrote(
    shared_gallery_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = random_templates(2)
    with opened(shared_gallery_url) as mine, opened(shared_gallery_url) as theirs:
        theirs.enroll("one", one)
        assert names_found(mine, one) == ["one"]
        with monkeypatch.context() as patched:
            patched.setattr("firstsight.recognition.searcher.standing_of", lambda *_: pytest.fail("read again"))
            assert names_found(mine, one) == ["one"]
            theirs.names()
            assert (names_found(mine, one), mine.count_templates()) == (["one"], 1)
        theirs.enroll("two", two)
        assert names_found(mine, two) == ["two", "one"]


def test_who_is_forgotten_during_a_search_is_not_found(
    shared_gallery_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = random_templates(2)
    with Gallery(shared_gallery_url) as mine, Gallery(shared_gallery_url) as theirs:
        for gallery in (mine, theirs):
            gallery.bind_model(pixel_model("tiny"))
        theirs.enroll_many(["one", "two"], torch.stack([one, two]))
        search = mine._searcher._index.search

        def interrupted(*arguments: Any) -> Any:
            found = search(*arguments)
            if "one" in theirs.names():
                theirs.forget("one")
            return found

        monkeypatch.setattr(mine._searcher._index, "search", interrupted)
        assert [match.name for match in mine.search(one[None], k=2)[0]] == ["two"]


def test_a_kill_loses_no_acknowledged_enrollment(shared_gallery_url: str) -> None:
    process = enroller(shared_gallery_url, 7, 1_000)
    assert process.stdout
    start(process)
    acknowledged = [process.stdout.readline().strip() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged += rest.split()
    assert process.returncode == -signal.SIGKILL
    assert 100 <= len(acknowledged) < 1_000, "the kill did not come in mid-work"
    with Gallery(shared_gallery_url) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        names = gallery.names()
        assert acknowledged == names[: len(acknowledged)]
        assert len(names) - len(acknowledged) <= 1  # it may have died between the commit and its word
        assert len(gallery) == len(names)
        templates = random_templates(1_000, seed=7)[: len(names)]
        assert [match.name for (match,) in gallery.search(templates, k=1)] == names
    if shared_gallery_url.startswith("sqlite"):
        connection = sqlite3.connect(shared_gallery_url.removeprefix("sqlite:///"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
