"""Galleries of every backend."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import pixel_model

from firstsight.models.folder import Model
from firstsight.recognition.gallery import Gallery


@pytest.fixture
def model() -> Model:
    return pixel_model("tiny")


@pytest.fixture
def picture() -> Callable[[int], Image.Image]:
    """Noise of the model's size, another for each seed."""
    return lambda seed: Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "sqlite-encrypted", "postgres", "postgres-server-search"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path, model: Model) -> Iterator[Gallery]:
    """An empty gallery, bound to the model, on each backend, and encrypted."""
    if request.param.startswith("postgres"):
        url = request.getfixturevalue("postgres_url")
        where: str | Path = url + "&search=server" * request.param.endswith("search")
    else:
        where = "sqlite://" if request.param == "sqlite-memory" else tmp_path / "gallery.sqlite"
    with Gallery(where, key=bytes(range(32)) if request.param.endswith("encrypted") else None) as opened:
        opened.bind_model(model)
        yield opened


@pytest.fixture(params=["sqlite-file", "postgres"])
def shared_gallery_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A gallery that several processes can open, on each backend that has such."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'shared.sqlite'}"
