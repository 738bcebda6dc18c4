"""Full, read-only and locked disks: one sentence, and nothing half-written."""

import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from tiny_models import random_templates
from traces import pieces_found

from firstsight.errors import StorageError
from firstsight.recognition import sqlite
from firstsight.recognition.gallery import Gallery

NOBODY = 65_534


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write; root, to whom permissions do not apply, becomes nobody meanwhile."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: writes fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anyone may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def path(tmp_path: Path, model) -> Path:
    """A gallery of one."""
    path = tmp_path / "gallery.sqlite"
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll("ada", random_templates(1)[0])
    return path


def intact_names(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    names = [name for (name,) in connection.execute("SELECT name FROM identities ORDER BY id")]
    connection.close()
    return names


def test_a_read_only_gallery_says_so(open_folder: Path, path: Path) -> None:
    moved = Path(shutil.copy(path, open_folder))
    with (
        read_only(open_folder),
        pytest.raises(StorageError, match=r"gallery\.sqlite cannot be .* read-only\. Change the"),
    ):
        Gallery(moved)
    assert [p.name for p in open_folder.iterdir()] == ["gallery.sqlite"]


@pytest.mark.parametrize("name", ["new.sqlite", "sub/new.sqlite"])
def test_a_new_gallery_in_a_read_only_folder_says_so(open_folder: Path, name: str) -> None:
    with read_only(open_folder), pytest.raises(StorageError, match=r"cannot be (opened|made): .*(read-only|denied)"):
        Gallery(open_folder / name)
    assert list(open_folder.iterdir()) == []


def test_a_folder_that_is_a_file_says_so(path: Path) -> None:
    with pytest.raises(StorageError, match=r"The folder .*gallery\.sqlite cannot be made"):
        Gallery(path / "gallery.sqlite")


def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path, model) -> None:
    acknowledged = ["ada"]
    with Gallery(path) as gallery:
        gallery.bind_model(model)

        def enroll_many() -> None:
            for i in range(1_000):
                gallery.enroll(f"person {i}", random_templates(1)[0], bytes(5_000))
                acknowledged.append(f"person {i}")

        message = r"gallery\.sqlite cannot be .*full.*Free some space"
        with files_end_at(1_000_000), pytest.raises(StorageError, match=message):
            enroll_many()
        assert gallery.names() == acknowledged
        gallery.enroll("after", random_templates(1)[0])  # goes on once there is room
    assert 10 < len(acknowledged) < 1_000
    assert intact_names(path) == [*acknowledged, "after"]


def test_forget_admits_that_a_full_disk_keeps_traces_and_they_go_once_there_is_room(path: Path, model) -> None:
    picture = np.random.default_rng(0).bytes(200_000)
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll_many(["bob", "cyd"], random_templates(2), [picture, bytes(400_000)])
    with Gallery(path) as gallery:
        with (
            files_end_at(360_000),
            pytest.raises(StorageError, match=r"bob is out of the gallery, but .*full.*Free some space"),
        ):
            gallery.forget("bob")
        assert gallery.names() == ["ada", "cyd"]
        assert pieces_found(path.parent, picture) > 1_000
        with Gallery(path):
            assert pieces_found(path.parent, picture) == 0
    assert intact_names(path) == ["ada", "cyd"]


def test_a_full_disk_while_a_gallery_is_made_leaves_one_that_can_be_made(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with files_end_at(8_000), pytest.raises(StorageError, match="full"):
        Gallery(path)
    with Gallery(path) as gallery:
        assert gallery.names() == []


def test_a_database_that_is_full_is_said_to_be(path: Path, model) -> None:
    def small(connection, _record) -> None:
        connection.execute("PRAGMA max_page_count = 20").close()

    sa.event.listen(sa.Engine, "connect", small)
    try:
        with Gallery(path) as gallery:
            gallery.bind_model(model)
            with pytest.raises(StorageError, match="cannot be written: the disk is full"):
                gallery.enroll("bob", random_templates(1)[0], bytes(200_000))
    finally:
        sa.event.remove(sa.Engine, "connect", small)
    assert intact_names(path) == ["ada"]


def test_a_locked_gallery_says_so_and_goes_on_when_free(path: Path, model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        other.execute("BEGIN IMMEDIATE")
        assert gallery.names() == ["ada"]  # readers are not held up
        with pytest.raises(StorageError, match=r"gallery\.sqlite is locked by another program\. Try again"):
            gallery.enroll("bob", random_templates(1)[0])
        other.execute("COMMIT")
        gallery.enroll("bob", random_templates(1)[0])
    other.close()
    assert intact_names(path) == ["ada", "bob"]


def test_forget_admits_that_another_program_keeps_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    with Gallery(path) as gallery:
        other.execute("BEGIN")
        other.execute("SELECT * FROM identities").fetchall()
        message = (
            r"ada is out of the gallery, but .*-wal cannot be emptied while another program reads .*End that program"
        )
        with pytest.raises(StorageError, match=message):
            gallery.forget("ada")
        assert gallery.names() == []
    other.close()
    assert not path.with_name("gallery.sqlite-wal").exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_nobody_is_enrolled_into_a_file_that_is_gone(replaced: bool, path: Path) -> None:
    with Gallery(path) as gallery:
        for file in path.parent.glob("gallery.sqlite*"):
            file.unlink()
        if replaced:
            Gallery(path).close()
        with pytest.raises(StorageError, match=r"gallery\.sqlite was removed or replaced while it was open") as raised:
            gallery.enroll("bob", random_templates(1)[0])
    assert raised.value.hint == "Put the file back in its place, and start again."
    assert replaced == path.exists()
    assert not replaced or intact_names(path) == []
