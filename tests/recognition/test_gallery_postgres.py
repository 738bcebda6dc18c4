"""What only a gallery on a server can get wrong: notices, order of ids, lost connections, traces."""

import re
import sys
import threading

import pytest
import sqlalchemy as sa
import torch
from galleries import in_search, names_found, opened
from postgres_server import PostgresServer
from tiny_models import random_templates

from firstsight.errors import GalleryError, MissingExtra, StorageError
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.rows import lock

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'firstsight[dev]'")


def test_what_was_written_while_nobody_listened_is_not_missed(postgres: PostgresServer, postgres_url: str) -> None:
    one, two, three = random_templates(3)
    with opened(postgres_url) as mine, opened(postgres_url) as theirs:
        theirs.enroll_many(["one", "two"], torch.stack([one, two]))
        assert names_found(mine, one, k=9) == ["one", "two"]
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = ''"
            )
        theirs.enroll("three", three)
        assert names_found(mine, three, k=1) == ["three"]


def test_a_restart_between_two_calls_goes_unnoticed(postgres: PostgresServer, postgres_url: str) -> None:
    one, two = random_templates(2)
    with opened(postgres_url) as gallery:
        gallery.enroll("one", one)
        assert names_found(gallery, one) == ["one"]
        postgres.stop("fast")
        postgres.start()
        assert names_found(gallery, one) == ["one"]
        postgres.stop("fast")
        postgres.start()
        gallery.enroll("two", two)
        assert names_found(gallery, two, k=1) == ["two"]


def test_a_writer_waits_for_the_one_before_so_ids_are_seen_in_order(postgres_url: str) -> None:
    """The first writer holds the gallery with ids drawn and not committed; a second must not overtake it."""
    one, two = random_templates(2)
    with opened(postgres_url) as first, opened(postgres_url) as second, opened(postgres_url) as reader:
        names_found(reader, one)
        overtaking = threading.Thread(target=second.enroll, args=("two", two))
        with first._storage.writing() as connection:
            lock(connection)
            overtaking.start()
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            with psycopg.connect(postgres_url, autocommit=True) as observer:
                while observer.execute(waiting).fetchone() == (0,):
                    assert overtaking.is_alive(), "the second writer did not wait"
            assert names_found(reader, two) == []
        overtaking.join()
        first.enroll("one", one)
        assert names_found(reader, one, k=2) == ["one", "two"]
        with reader._storage.reading() as connection:
            ids = connection.execute(sa.text("SELECT id, xmin::text::bigint FROM templates ORDER BY id")).all()
        assert [xmin for _, xmin in ids] == sorted(xmin for _, xmin in ids)


def test_two_writers_at_once_are_followed_without_a_gap(postgres_url: str) -> None:
    templates = random_templates(60, seed=3)

    def enroll(start: int) -> None:
        with opened(postgres_url) as gallery:
            for i in range(start, 60, 2):
                gallery.enroll(str(i), templates[i])

    with opened(postgres_url) as reader:
        writers = [threading.Thread(target=enroll, args=(start,)) for start in range(2)]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            names_found(reader, templates[0])
        for writer in writers:
            writer.join()
        assert [found[0].name for found in reader.search(templates, k=1)] == [str(i) for i in range(60)]


def test_a_server_that_crashes_under_load_loses_nobody_and_is_found_again(
    postgres: PostgresServer, postgres_url: str
) -> None:
    templates = random_templates(5_000, seed=5)
    acknowledged: list[int] = []
    refused: list[StorageError] = []
    working, crashed, up_again, done = (threading.Event() for _ in range(4))

    def enroll(gallery: Gallery) -> None:
        for i, template in enumerate(templates):
            try:
                gallery.enroll(str(i), template)
            except StorageError as error:
                refused.append(error)
                crashed.set()
                up_again.wait()
                continue
            acknowledged.append(i)
            if len(acknowledged) == 20:
                working.set()
            if refused:
                done.set()
                return

    with opened(postgres_url) as gallery, opened(postgres_url) as reader:
        writer = threading.Thread(target=enroll, args=(gallery,))
        writer.start()
        working.wait()
        names_found(reader, templates[0])
        postgres.stop("immediate")
        crashed.wait()
        with pytest.raises(StorageError, match=r"cannot be reached: .*Check that it runs"):
            reader.search(templates[:1])
        postgres.start()
        up_again.set()
        writer.join()
        assert done.is_set(), "the crash did not come in mid-work"
        assert re.search(r"Try again|Check that it runs", refused[0].hint)
        found = reader.search(templates[acknowledged], k=1)
        assert [match.name for (match,) in found] == [str(i) for i in acknowledged]
        assert len(acknowledged) <= len(reader) == len(reader.names()) <= len(acknowledged) + len(refused)


def bytes_found(server: PostgresServer, secret: bytes) -> set[str]:
    """Which parts of the server's folder hold it. First, all that the server has in memory goes there."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as administrator:
        administrator.execute("CHECKPOINT")
    files = [path for path in server.data.rglob("*") if path.is_file()]
    return {path.relative_to(server.data).parts[0] for path in files if secret in path.read_bytes()}


def test_after_forget_only_the_log_of_the_server_holds_it_as_the_receipt_says(
    postgres: PostgresServer, postgres_url: str
) -> None:
    templates, pictures = random_templates(5, seed=11), [bytes([i]) * 40 + random_bytes(3_000, i) for i in range(5)]
    names = [f"Person of Interest {i}" for i in range(5)]
    with opened(in_search(postgres_url, "server")) as gallery:
        for name, template, picture in zip(names, templates, pictures, strict=True):
            gallery.enroll(name, template, picture)
        secrets = [
            names[4].encode(),
            templates[4].numpy().tobytes(),
            pictures[4][:200],
        ]  # the last: no row moves over it
        with psycopg.connect(postgres_url, autocommit=True) as administrator:
            administrator.execute("ANALYZE")
        assert all("base" in bytes_found(postgres, secret) for secret in secrets)
        receipt = gallery.forget(names[4])
        assert [bytes_found(postgres, secret) for secret in secrets] == [{"pg_wal"}] * 3
        assert receipt.erased_from == ("database", "ledger", "free space of the tables", "index")
        assert receipt.left_in == ("the server's write-ahead log", "its logs, replicas and backups")
        assert "base" in bytes_found(postgres, templates[3].numpy().tobytes())


def random_bytes(count: int, seed: int) -> bytes:
    return bytes(torch.randint(256, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


def test_forget_admits_that_an_older_transaction_keeps_the_rows(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstsight.recognition.postgres.BUSY_SECONDS", 0.1)
    with opened(postgres_url) as gallery, psycopg.connect(postgres_url) as other:
        gallery.enroll("ada", random_templates(1)[0])
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM gallery")  # does not lock what VACUUM locks
        with pytest.raises(StorageError, match=r"^ada is out of the gallery, but the disk of .* older.*VACUUM FULL"):
            gallery.forget("ada")
        assert gallery.names() == []
        monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited"))
        with opened(postgres_url) as another:  # and leaves the traces to the next
            assert another.names() == []


def test_forget_admits_that_the_user_may_not_write_the_tables_anew(postgres: PostgresServer, postgres_url: str) -> None:
    with opened(postgres_url) as gallery, psycopg.connect(postgres_url, autocommit=True) as administrator:
        gallery.enroll("ada", random_templates(1)[0])
        administrator.execute("DROP ROLE IF EXISTS clerk")
        administrator.execute("CREATE ROLE clerk LOGIN")
        administrator.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
        administrator.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk")
        with opened(postgres_url.replace("postgres@", "clerk@")) as theirs:
            theirs.enroll("bob", random_templates(1)[0])
            with pytest.raises(StorageError, match=r"^ada is out of the gallery, but .* Have the tables' owner"):
                theirs.forget("ada")
            assert (
                names_found(theirs, random_templates(1)[0]) == names_found(gallery, random_templates(1)[0]) == ["bob"]
            )


def test_a_locked_gallery_says_so_and_goes_on_when_free(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.recognition.postgres.BUSY_SECONDS", 0.05)
    with opened(postgres_url) as gallery, opened(postgres_url) as other:
        with other._storage.writing() as connection:
            lock(connection)
            assert gallery.names() == []  # readers are not held up
            with pytest.raises(StorageError, match=r"is locked by another program\. Try again when it is done"):
                gallery.enroll("ada", random_templates(1)[0])
        gallery.enroll("ada", random_templates(1)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"database": "nowhere"},
            r"There is no postgresql://postgres@/nowhere: its server has no such database\. Check",
        ),
        ({"user": "nobody"}, r'cannot be opened: role "nobody" does not exist'),
        ({"user": "locked:wrong"}, r"postgresql://locked@/\w+ refuses the password, or none .*PGPASSWORD"),
        ({"user": "locked"}, r"refuses the password, or none was given"),
        ({"user": "guest"}, r"postgresql://guest@/\w+ may not be used so by this user\. Ask the administrator"),
        ({"search": "fast"}, r"There is no search=fast\. Use search=server"),
    ],
)
def test_what_keeps_one_out_is_said_in_a_sentence(
    postgres: PostgresServer, postgres_url: str, change: dict[str, str], message: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as administrator:
        for role in ("locked", "guest"):
            administrator.execute(f"DROP ROLE IF EXISTS {role}")
            administrator.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    database = change.get("database", postgres_url.partition("?")[0].rpartition("/")[2])
    url = postgres.url(database, change.get("user", "postgres"))
    with pytest.raises(GalleryError if "guest" not in url else StorageError, match=message) as caught:
        Gallery(in_search(url, change["search"]) if "search" in change else url)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ada:secret@/faces?host=/nowhere", "of postgresql://ada@/faces cannot be reached: No such"),
        ("postgresql://ada@127.0.0.1:1/faces", r"ada@127\.0\.0\.1:1/faces cannot be reached: Connection refused"),
    ],
)
def test_a_server_out_of_reach_is_said_in_a_sentence(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message + r".*\. Check that it runs, and its address\.$"):
        Gallery(url)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "firstsight.recognition.postgres", raising=False)
    with pytest.raises(
        MissingExtra, match=r'needs psycopg, which is not installed\. Type: pip install "firstsight\[postgres\]"'
    ):
        Gallery("postgresql://localhost/faces")


def test_the_database_of_another_program_is_refused_and_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("CREATE TABLE bookmarks (url text)")
        with pytest.raises(GalleryError, match="is another program's database"):
            Gallery(postgres_url)
        tables = other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == [("bookmarks",)]
