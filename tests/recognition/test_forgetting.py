"""After forget, no file holds what it erased: searched byte by byte, also after a kill."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import pixel_model, random_templates
from traces import killed_midway, pieces_found

from firstsight.errors import TracesLeft
from firstsight.models.folder import Model
from firstsight.recognition import sqlite
from firstsight.recognition.backup import backup, restore
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.transfer import export_lines

NAMES = [f"Person of Interest {i}" for i in range(5)]
NAME = NAMES[2]
TEMPLATES = random_templates(5, seed=3)
PICTURES = [np.random.default_rng(i).bytes(20_000) for i in range(5)]


def found(folder: Path, number: int = 2) -> tuple[int, int, int]:
    """Pieces of the picture, the template and the name of a person in the files of a folder."""
    name = NAMES[number].encode()
    template = TEMPLATES[number].numpy().tobytes()
    return pieces_found(folder, PICTURES[number]), pieces_found(folder, template), pieces_found(folder, name, len(name))


def is_there(folder: Path, number: int = 2) -> bool:
    picture, template, name = found(folder, number)
    return picture > 600 and (template, name) == (2, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A gallery of five, beside the folders of galleries and caches (see tests/conftest.py)."""
    path = tmp_path / "home" / "galleries" / "g.sqlite"
    with Gallery(path) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        for name, template, picture in zip(NAMES, TEMPLATES, PICTURES, strict=True):
            gallery.enroll(name, template, picture)
    return path


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with Gallery(path) as opened:
        opened.bind_model(pixel_model("tiny"))
        yield opened


def test_no_file_holds_the_template_the_picture_or_the_name(tmp_path: Path, path: Path, gallery: Gallery) -> None:
    with Gallery(path) as other:
        other.bind_model(pixel_model("tiny"))
        other.enroll("another", TEMPLATES[0])
        gallery.search(TEMPLATES)
        other.search(TEMPLATES)
        assert {file.name for file in path.parent.iterdir()} == {"g.sqlite", "g.sqlite-wal", "g.sqlite-shm"}
        assert is_there(tmp_path)
        receipt = gallery.forget(NAME)
        assert found(tmp_path) == (0, 0, 0)
        assert is_there(tmp_path, 3)
        in_memory = gallery._searcher._index._segments[0][:5].numpy().tobytes()
        assert TEMPLATES[2].numpy().tobytes() not in in_memory
        assert TEMPLATES[3].numpy().tobytes() in in_memory
    assert receipt.erased_from == ("database", "ledger", "free space of the database", "write-ahead log", "index")


def test_a_restore_leaves_nothing_of_the_gallery_before(tmp_path: Path, path: Path) -> None:
    with Gallery(tmp_path / "others.sqlite") as others:
        others.bind_model(pixel_model("tiny"))
        for number in (0, 1, 3, 4):
            others.enroll(NAMES[number], TEMPLATES[number], PICTURES[number])
    assert is_there(path.parent)
    restore(tmp_path / "others.sqlite", path, force=True)
    assert [file.name for file in path.parent.iterdir()] == ["g.sqlite"]
    assert found(path.parent) == (0, 0, 0)
    assert is_there(path.parent, 3)


def test_the_journal_of_a_restore_that_was_killed_at_its_end_is_erased(
    tmp_path: Path, path: Path, gallery: Gallery
) -> None:
    pages = path.read_bytes()
    journal = path.with_name("g.sqlite-journal")
    journal.write_bytes(bytes(28) + pages[28:])  # as SQLite leaves one whose transaction is over
    gallery.forget(NAME)
    assert not journal.exists()
    assert found(tmp_path) == (0, 0, 0)
    assert is_there(tmp_path, 3)


def test_a_backup_that_is_used_as_a_gallery_is_no_copy_of_itself(tmp_path: Path, path: Path) -> None:
    backup(path, tmp_path / "b.sqlite")
    backup(tmp_path / "b.sqlite", tmp_path / "c.sqlite")
    with Gallery(tmp_path / "b.sqlite") as opened:
        assert [Path(copy.path).name for copy in opened.forget(NAME).copies] == ["c.sqlite"]


def test_a_gallery_in_memory_claims_no_files() -> None:
    with Gallery("sqlite://") as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll(NAME, TEMPLATES[2])
        assert gallery.forget(NAME).erased_from == ("database", "ledger", "index")


def test_rows_that_the_database_moved_leave_no_copy(tmp_path: Path) -> None:
    """Where pages are merged and split, SQLite leaves copies of rows in the gaps, secure_delete or not."""
    draw = random.Random(1)
    names = [draw.randbytes(draw.randint(8, 24)).hex() for _ in range(150)]
    templates = random_templates(len(names), 128)
    pictures = [draw.choice([None, draw.randbytes(draw.randint(100, 900))]) for _ in names]
    left = []
    with Gallery(tmp_path / "g.sqlite") as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll_many(names, templates, pictures)
        for i in draw.sample(range(len(names)), len(names) - 10):
            gallery.forget(names[i])
            secrets = (names[i].encode(), len(names[i])), (templates[i].numpy().tobytes(), 32), (pictures[i] or b"", 32)
            if any(pieces_found(tmp_path, secret, length) for secret, length in secrets):
                left.append(names[i])
    assert left == []


def test_a_kill_before_the_end_of_the_transaction_forgets_nothing(tmp_path: Path, path: Path) -> None:
    killed_midway(path, f"gallery.forget({NAME!r})", "DELETE FROM identities")
    with Gallery(path) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        assert gallery.names() == NAMES
        assert [match.name for (match,) in gallery.search(TEMPLATES, k=1)] == NAMES
        assert is_there(tmp_path)
        assert gallery.forget(NAME).pictures == 1
        assert found(tmp_path) == (0, 0, 0)


@pytest.mark.parametrize("where", ["VACUUM", "PRAGMA wal_checkpoint", "UPDATE gallery SET erased"])
def test_after_a_kill_the_next_to_open_the_gallery_erases_what_is_left(tmp_path: Path, path: Path, where: str) -> None:
    killed_midway(path, f"gallery.forget({NAME!r})", where)
    if where == "VACUUM":
        assert found(tmp_path) > (0, 0, 0), "nothing was left to erase"
    with Gallery(path) as gallery:
        assert found(tmp_path) == (0, 0, 0)
        gallery.bind_model(pixel_model("tiny"))
        kept = [0, 1, 3, 4]
        assert gallery.names() == [NAMES[i] for i in kept]
        assert torch.equal(gallery.templates_of(NAMES[3]), TEMPLATES[3:4])
        assert [match.name for (match,) in gallery.search(TEMPLATES[kept], k=1)] == [NAMES[i] for i in kept]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_while_another_reads_the_receipt_says_what_is_not_erased_yet(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM templates").fetchone()
    with Gallery(path) as gallery, pytest.raises(TracesLeft, match="out of the gallery, but") as left:
        gallery.forget(NAME)
    assert left.value.receipt.erased_from == ("database", "ledger", "index")
    assert left.value.receipt.to_erase == ("free space of the database", "write-ahead log")
    assert "another program" in left.value.receipt.reason
    assert found(tmp_path) > (0, 0, 0)
    reader.close()
    Gallery(path).close()
    assert found(tmp_path) == (0, 0, 0)


def test_the_receipt_names_the_backups_and_exports_that_hold_it_still(tmp_path: Path, model: Model) -> None:
    with Gallery(tmp_path / "gallery.sqlite") as gallery:
        gallery.bind_model(model)
        gallery.enroll("ada", torch.ones(64, dtype=torch.int8))
        backup(tmp_path / "gallery.sqlite", tmp_path / "monday.sqlite")
        gallery.enroll("bob", torch.ones(64, dtype=torch.int8))
        export_lines(gallery, tmp_path / "all.jsonl")
        held_ada = [(copy.kind, Path(copy.path).name) for copy in gallery.forget("ada").copies]
        held_bob = [(copy.kind, Path(copy.path).name) for copy in gallery.forget("bob").copies]
    assert held_ada == [("backup", "monday.sqlite"), ("export", "all.jsonl")]
    assert held_bob == [("export", "all.jsonl")]
