"""The shipped migrations, and what tells a gallery from other files."""

import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from jaxtyping import Int8
from tiny_models import pixel_model, random_templates
from torch import Tensor

from firstsight.errors import GalleryError, StorageError
from firstsight.recognition import schema
from firstsight.recognition.gallery import Gallery
from firstsight.workflows.models import list_models


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.sqlite"


def filled(path: Path, model) -> Path:
    with Gallery(path) as gallery:
        gallery.bind_model(model)
        gallery.enroll_many([str(i) for i in range(50)], random_templates(50), [bytes(9_000)] * 50)
    return path


def test_the_migrations_lead_to_the_tables_of_the_code(shared_gallery_url: str) -> None:
    with Gallery(shared_gallery_url) as gallery, gallery._storage.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.FORMAT
    config = Config()
    config.set_main_option("script_location", "firstsight.recognition:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.FORMAT


def in_first_format(path: Path) -> Int8[Tensor, "1 D"]:
    """A gallery of one person; her template."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "firstsight.recognition:migrations")
        command.upgrade(config, "0001")
        held = random_templates(1)
        row = {
            "name": "ada",
            "model": "m" * 64,
            "template": held.numpy().tobytes(),
            "now": "2026-01-02 03:04:05.000000",
        }
        for statement in (
            "PRAGMA secure_delete = OFF",
            "UPDATE gallery SET model_identity = :model, model_name = 'old', size = 1",
            "INSERT INTO identities (id, name, enrolled_at) VALUES (7, :name, :now)",
            "INSERT INTO templates VALUES (9, 7, :model, :template, 'a picture', :now)",
            "INSERT INTO forgotten VALUES (1, 3, 3)",
            "CREATE TABLE secrets AS SELECT 'of one who was forgotten'",
            "DROP TABLE secrets",
        ):
            connection.execute(sa.text(statement), row)
    engine.dispose()
    return held


def test_a_gallery_of_the_first_format_keeps_what_it_holds(path: Path) -> None:
    """And of whom it had forgotten, the traces are erased."""
    held = in_first_format(path)
    assert b"of one who was forgotten" in path.read_bytes()
    with Gallery(path) as gallery:
        assert (gallery.names(), gallery.model_name, len(gallery)) == (["ada"], "old", 1)
        assert torch.equal(gallery.templates_of("ada"), held)
        ((name, [enrollment]),) = gallery.enrollments()
        assert (name, enrollment) == ("ada", (datetime(2026, 1, 2, 3, 4, 5), True, None))
    assert b"of one who was forgotten" not in path.read_bytes()


def test_to_list_what_is_enrolled_changes_no_gallery(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older format stays as it is: another machine may still need it. No key is asked for."""
    monkeypatch.setattr("firstsight.workflows.models.default_gallery_path", lambda identity: path)
    in_first_format(path)
    before = path.read_bytes()
    assert [model["enrolled"] for model in list_models(path.parent / "runs")] == [1, 1]
    assert (path.read_bytes(), [file.name for file in path.parent.iterdir()]) == (before, [path.name])
    path.unlink()
    with Gallery(path, key=bytes(32)) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll("ada", random_templates(1)[0])
    assert [model["enrolled"] for model in list_models(path.parent / "runs")] == [1, 1]


def test_a_gallery_is_made_with_its_folders_and_found_again(tmp_path: Path, model) -> None:
    path = tmp_path / "a" / "100% é ?#" / "gallery.sqlite"
    assert filled(path, model).is_file()
    for name in (path, str(path), f"sqlite:///{tmp_path}/a/../a/{path.parent.name.replace('?', '%3F')}/gallery.sqlite"):
        with Gallery(name) as gallery:
            assert len(gallery) == 50
    assert sorted(p.name for p in path.parent.iterdir()) == ["gallery.sqlite"]  # the log is gone once closed


def test_what_protects_the_data_is_switched_on(path: Path) -> None:
    with Gallery(path) as gallery, gallery._storage.reading() as connection:
        found = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("foreign_keys", "secure_delete")}
        assert found == {"foreign_keys": 1, "secure_delete": 1}
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: outlives a power cut


def test_a_text_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("ada,bob\n" * 1_000)
    with pytest.raises(GalleryError, match=r"gallery\.sqlite is not a gallery: it is no database\. Name a gallery"):
        Gallery(path)
    assert path.read_text() == "ada,bob\n" * 1_000
    assert list(path.parent.iterdir()) == [path]


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"gallery\.sqlite is another program's database"):
        Gallery(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_gallery_of_a_newer_version_is_refused_and_left_alone(path: Path, model) -> None:
    filled(path, model)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"written by a newer firstsight \(format 0999; .*pip install --upgrade"):
        Gallery(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_gallery_is_said_to_be_damaged(path: Path, model, share: float) -> None:
    content = filled(path, model).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StorageError, match=r"gallery\.sqlite is damaged or cut short\. Put a backup in its place"):
        Gallery(path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/faces", "Galleries on mysql are not supported"),
        ("sqlight://faces", "Galleries on sqlight are not supported"),
        ("://", "is not the URL of a database"),
        (".", "is a folder, not a gallery"),
    ],
)
def test_what_is_no_place_for_a_gallery(url: str, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        Gallery(url)


def test_a_migration_that_fails_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch, model) -> None:
    def interrupted(connection: sa.Connection) -> None:
        migrate(connection)
        raise KeyboardInterrupt

    from firstsight.recognition import sqlite

    migrate = sqlite.migrate
    monkeypatch.setattr(sqlite, "migrate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Gallery(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    monkeypatch.undo()
    assert filled(path, model) == path
