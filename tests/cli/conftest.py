"""A model trained once, and the command line as a user meets it."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import write_identities
from typed import Answer, Type

from firstsight.cli.main import main
from firstsight.config import Recipe
from firstsight.recipes import with_flags
from firstsight.workflows.train_run import train


@pytest.fixture(name="type")
def type_(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command; get its exit code and what it printed."""

    def run(*words: Any) -> Answer:
        monkeypatch.setattr(sys, "argv", ["firstsight", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return Answer(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_identities(tmp_path_factory.mktemp("data") / "photos", identities=12, each=5)


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    flags = {"height": 16, "width": 16, "channels": (8, 16), "embedding_size": 16, "identities": 4, "pictures": 4}
    train(with_flags(Recipe(), data=str(photos), holdout=0.5, epochs=8, **flags), out=out)
    return out
