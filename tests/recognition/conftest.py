"""Galleries of every backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import pixel_model

from firstsight.models.folder import Model
from firstsight.recognition.gallery import Gallery


@pytest.fixture
def model() -> Model:
    return pixel_model("tiny")


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
