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


@pytest.fixture(params=["sqlite-file", "sqlite-memory"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path, model: Model) -> Iterator[Gallery]:
    """An empty gallery, bound to the model, on each backend."""
    with Gallery(tmp_path / "gallery.sqlite" if request.param == "sqlite-file" else "sqlite://") as opened:
        opened.bind_model(model)
        yield opened


@pytest.fixture(params=["sqlite-file"])
def shared_gallery_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A gallery that several processes can open, on each backend that has such."""
    return f"sqlite:///{tmp_path / 'shared.sqlite'}"
