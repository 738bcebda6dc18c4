"""Backup and restore: what is copied is the gallery at one moment, and what was there stays until all of it is."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tiny_models import pixel_model, random_templates

from firstsight.errors import GalleryError, StorageError
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model
from firstsight.recognition import backup as backup_module
from firstsight.recognition import backup as module
from firstsight.recognition import sqlite
from firstsight.recognition.backup import Restored, backup, remove_unused, restore
from firstsight.recognition.copies import copies_with
from firstsight.recognition.decision import Rule, decide_identify
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.rows import id_of
from firstsight.recognition.schema import copies

# argv: the backup, the gallery, after how many pages the process ends
KILLED = """
import os, sys
from pathlib import Path
from firstsight.recognition import backup
backup._PAGES = 4
end = lambda done, total: done >= {"12": 12, "total": total}[sys.argv[3]] and os._exit(9)
backup.restore(Path(sys.argv[1]), sys.argv[2], force=True, on_progress=end)
"""
NAMES = [f"person {i}" for i in range(40)]


@pytest.fixture
def path(tmp_path: Path, model: Model) -> Path:
    path = tmp_path / "gallery.sqlite"
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll_many(NAMES, random_templates(40), [bytes(5_000)] * 40)
    return path


def found(path: Path) -> list[str]:
    """Who is found by their own templates, in a gallery opened anew."""
    with Gallery(path) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        return [match.name for (match,) in gallery.search(random_templates(len(gallery)), k=1)]


def journal_mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return mode


def test_a_backup_is_the_gallery_of_one_moment_while_others_write(
    path: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGES", 4)
    late = []
    with Gallery(path) as other:
        other.bind_model(model)

        def write(done: int, total: int) -> None:
            name = f"late {len(late)}"
            other.enroll(name, random_templates(1, seed=9)[0], bytes(5_000))
            late.append(name)

        assert backup(path, tmp_path / "b.sqlite", on_progress=write) == 40
        assert len(late) > 5, "nobody wrote in between"
        assert other.names() == NAMES + late
    assert found(tmp_path / "b.sqlite") == NAMES
    assert stat.S_IMODE((tmp_path / "b.sqlite").stat().st_mode) == 0o600
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith((".b", "b.sqlite-"))]


def test_what_was_restored_is_what_was_backed_up(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "b.sqlite")
    with Gallery(path) as gallery:
        gallery.forget(NAMES[3])
    with pytest.raises(GalleryError, match=r"gallery\.sqlite holds 39 identities, and 0 entries .* all with --force"):
        restore(tmp_path / "b.sqlite", path)
    assert restore(tmp_path / "b.sqlite", path, force=True) == Restored(40, (NAMES[3],))
    assert found(path) == NAMES
    assert restore(tmp_path / "b.sqlite", tmp_path / "new" / "g.sqlite") == Restored(40, ())
    assert found(tmp_path / "new" / "g.sqlite") == NAMES
    assert journal_mode(path) == journal_mode(tmp_path / "new" / "g.sqlite") == "wal"
    assert journal_mode(tmp_path / "b.sqlite") == "delete"


def test_an_unused_gallery_is_removed_and_no_other(path: Path, tmp_path: Path, model: Model) -> None:
    fresh = tmp_path / "fresh.sqlite"
    with Gallery(fresh) as opened:
        remove_unused(fresh)  # another has it open
        assert fresh.exists()
        opened.set_operating_point(
            "m", OperatingPoint(threshold=1.0, target=0.1, accepted=0, comparisons=1, identities=2)
        )
    for used in (fresh, path):
        remove_unused(used)
        assert used.exists()
    fresh.unlink()
    Gallery(fresh).close()
    late = sqlite3.connect(fresh, isolation_level=None)  # opened, and not yet locked
    remove_unused(fresh)
    assert not fresh.exists()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):  # nothing is written into what is gone
        late.execute("UPDATE gallery SET size = 7")
    late.close()


def receipt_of(path: Path, name: str, model: Model) -> list[str]:
    with Gallery(path) as gallery:
        return [copy.path for copy in gallery.forget(name).copies]


def test_a_receipt_names_the_backup_that_was_restored(path: Path, tmp_path: Path, model: Model) -> None:
    backup(path, tmp_path / "b.sqlite")
    moved = (tmp_path / "b.sqlite").rename(tmp_path / "moved.sqlite")
    restore(moved, tmp_path / "new.sqlite")
    assert receipt_of(tmp_path / "new.sqlite", NAMES[3], model) == [str(tmp_path / "b.sqlite"), str(moved)]
    with Gallery(tmp_path / "new.sqlite") as gallery:
        gallery.bind_model(model)
        gallery.enroll("late", random_templates(1)[0])
    assert receipt_of(tmp_path / "new.sqlite", "late", model) == []


def test_copies_that_were_known_of_are_known_of_after_a_restore(path: Path, tmp_path: Path, model: Model) -> None:
    backup(path, tmp_path / "b.sqlite")
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll("late", random_templates(1, seed=9)[0])
    backup(path, tmp_path / "later.sqlite")
    for _ in range(2):
        restore(tmp_path / "b.sqlite", path, force=True)
    with Gallery(path) as gallery, gallery.storage.reading() as connection:
        assert len(copies_with(connection)) == connection.scalar(sa.select(sa.func.count()).select_from(copies)) == 2
    known = receipt_of(path, NAMES[3], model)
    assert sorted(known) == [str(tmp_path / "b.sqlite"), str(tmp_path / "later.sqlite")]
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll("late", random_templates(1, seed=9)[0])
    assert receipt_of(path, "late", model) == [str(tmp_path / "later.sqlite")]


def test_who_is_back_is_said_of_the_same_gallery_alone(path: Path, tmp_path: Path, model: Model) -> None:
    backup(path, tmp_path / "b.sqlite")
    moved = (tmp_path / "b.sqlite").rename(tmp_path / "moved.sqlite")
    with Gallery(path) as gallery:
        gallery.forget(NAMES[2])
        gallery.forget(NAMES[5])
    assert restore(moved, path, force=True).back == (NAMES[2], NAMES[5])
    other = tmp_path / "other.sqlite"
    with Gallery(other) as gallery:
        gallery.bind_model(model)
        gallery.enroll_many(["x", "y"], random_templates(2))
        gallery.forget("x")
    assert restore(moved, other, force=True).back == ()


def test_a_ledger_alone_is_not_replaced_unasked(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "b.sqlite")
    with Gallery(tmp_path / "g.sqlite") as gallery:
        Ledger(gallery).record("identify", decide_identify([], Rule(1.0)))
    with pytest.raises(GalleryError, match=r"holds 0 identities, and 1 entries in its ledger\. Replace them all"):
        restore(tmp_path / "b.sqlite", tmp_path / "g.sqlite")


def test_a_backup_in_clear_takes_the_place_of_no_encrypted_gallery(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "b.sqlite")
    key = bytes(range(32))
    with Gallery(path) as gallery:
        gallery.encrypt(key)
    with pytest.raises(GalleryError, match=r"b\.sqlite is in clear, and .*g.* is encrypted\. Encrypt the backup first"):
        restore(tmp_path / "b.sqlite", path, force=True)
    with Gallery(tmp_path / "b.sqlite") as gallery:
        gallery.encrypt(key)
    assert restore(tmp_path / "b.sqlite", path, force=True).identities == 40
    with Gallery(path, key=key) as gallery:
        assert gallery.names() == NAMES


def test_a_backup_is_known_of_before_it_is_made_and_a_failed_one_is_none(
    path: Path, tmp_path: Path, model: Model
) -> None:
    told = []
    with Gallery(path) as gallery:

        def ask(done: int, total: int) -> None:
            with gallery.storage.reading() as connection:
                told.extend(copies_with(connection, id_of(connection, NAMES[3], "")))

        backup(path, tmp_path / "b.sqlite", on_progress=ask)
    assert {copy.path for copy in told} == {str(tmp_path / "b.sqlite")}
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        backup(path, tmp_path / "folder", force=True)
    assert receipt_of(path, NAMES[4], model) == [str(tmp_path / "b.sqlite")], "one that failed is no copy"


def test_what_a_killed_backup_left_goes_with_the_next(path: Path, tmp_path: Path) -> None:
    left, mine = tmp_path / ".b.sqlite-1x2y.fresh", tmp_path / ".b.sqlite-notes"
    left.write_text("half a gallery")
    mine.write_text("not ours")
    backup(path, tmp_path / "b.sqlite")
    assert (left.exists(), mine.exists()) == (False, True)


def test_a_backup_replaces_nothing_unasked(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.sqlite"
    out.write_text("mine")
    for force, target, said in ((False, out, "is there already"), (True, path, "is the gallery itself")):
        with pytest.raises(GalleryError, match=said):
            backup(path, target, force=force)
    assert out.read_text() == "mine"
    assert found(path) == NAMES
    assert backup(path, out, force=True) == 40


@pytest.mark.parametrize("broken", ["head", "cut", "middle"])
def test_a_damaged_backup_replaces_nothing(path: Path, tmp_path: Path, broken: str) -> None:
    out = tmp_path / "b.sqlite"
    backup(path, out)
    content = bytearray(out.read_bytes())
    if broken == "head":
        content[:100] = bytes(100)
    elif broken == "cut":
        del content[len(content) // 2 :]
    else:
        content[4096 : len(content) : 4096] = b"\xff" * len(content[4096 : len(content) : 4096])
    out.write_bytes(content)
    with pytest.raises((StorageError, GalleryError), match=r"b\.sqlite is (damaged|not a gallery)"):
        restore(out, path, force=True)
    assert found(path) == NAMES


@pytest.mark.parametrize("broken", ["head", "cut"])
def test_a_damaged_gallery_is_replaced_when_asked(path: Path, tmp_path: Path, broken: str) -> None:
    out = tmp_path / "b.sqlite"
    backup(path, out)
    content = path.read_bytes()
    path.write_bytes(b"nonsense" * 1000 if broken == "head" else content[: len(content) // 2])
    with pytest.raises((StorageError, GalleryError), match=r"Put the backup in its place with --force|--force"):
        restore(out, path)
    assert restore(out, path, force=True).identities == 40
    assert found(path) == NAMES


def test_a_gallery_that_another_has_open_is_not_replaced(
    path: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    backup(path, tmp_path / "b.sqlite")
    with Gallery(path) as other:
        other.bind_model(model)
        other.enroll("late", random_templates(1, seed=9)[0])
        with pytest.raises(StorageError, match=r"gallery\.sqlite is locked by another program"):
            restore(tmp_path / "b.sqlite", path, force=True)
        assert other.names() == [*NAMES, "late"]
    assert restore(tmp_path / "b.sqlite", path, force=True).identities == 40


@pytest.mark.parametrize("step", ["remember", "_made_ready"])
def test_what_is_written_while_a_restore_is_prepared_is_not_lost(
    path: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    backup(path, tmp_path / "b.sqlite")
    done = getattr(backup_module, step)

    def enrolled_meanwhile(*args: Any) -> Any:
        result = done(*args)
        with Gallery(path) as other:
            other.bind_model(model)
            other.enroll("late", random_templates(1, seed=9)[0])
        return result

    monkeypatch.setattr(backup_module, step, enrolled_meanwhile)
    with pytest.raises(StorageError, match=r"gallery\.sqlite was written to meanwhile, and stays as it is"):
        restore(tmp_path / "b.sqlite", path, force=True)
    with Gallery(path) as gallery:
        assert gallery.names() == [*NAMES, "late"]


def test_a_restore_that_ends_midway_leaves_the_old_gallery(path: Path, tmp_path: Path) -> None:
    """The process ends while some of the pages are over the old ones."""
    backup(path, tmp_path / "b.sqlite")
    with Gallery(path) as gallery:
        gallery.forget(NAMES[0])
    end_after("12", tmp_path / "b.sqlite", path)
    with Gallery(path) as gallery:
        assert gallery.names() == NAMES[1:]
    assert restore(tmp_path / "b.sqlite", path, force=True) == Restored(40, (NAMES[0],))
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.endswith(".fresh")) == []


def test_a_restore_that_ends_with_the_last_page_has_forgotten_nothing(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "known.sqlite")
    (tmp_path / "b.sqlite").write_bytes((tmp_path / "known.sqlite").read_bytes())
    with Gallery(path) as gallery:
        gallery.forget(NAMES[0])
    end_after("total", tmp_path / "b.sqlite", path)
    with Gallery(path) as gallery:
        assert gallery.names() == NAMES
        receipt = gallery.forget(NAMES[0])
    assert {Path(copy.path).name for copy in receipt.copies} == {"known.sqlite", "b.sqlite"}


def end_after(pages: str, file: Path, gallery: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file), str(gallery), pages], check=False)
    assert killed.returncode == 9, "it came to its end"


def test_what_is_no_backup_is_refused(path: Path, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    (tmp_path / "text").write_text("no database, but long enough to have a header of one hundred bytes" * 9)
    for name, said in (
        ("other.sqlite", "is no gallery"),
        ("text", "is not a gallery"),
        ("none", "There is no gallery"),
    ):
        with pytest.raises(GalleryError, match=said):
            restore(tmp_path / name, path, force=True)
    newer = tmp_path / "newer.sqlite"
    backup(path, newer)
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE gallery_format SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match=r"newer firstsight \(format 9999"):
        restore(newer, path, force=True)
    assert found(path) == NAMES


def test_where_there_is_no_file_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="pg_dump"):
        backup("postgresql://host/db", tmp_path / "b.sqlite")
    with pytest.raises(GalleryError, match="pg_dump"):
        restore(tmp_path / "b.sqlite", "postgresql+psycopg://host/db")
    with pytest.raises(GalleryError, match="firstsight gallery export"):
        backup("sqlite://", tmp_path / "b.sqlite")
