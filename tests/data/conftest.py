"""Small picture files, made on the spot."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., bytes]


@pytest.fixture(scope="session")
def encoded() -> Picture:
    """Encode random pixels: `encoded(seed, mode="RGB", size=(12, 10), kind="PNG")`."""

    def make(seed: int = 0, *, mode: str = "RGB", size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
        file = io.BytesIO()
        Image.frombytes(mode, size, pixels.tobytes()).save(file, kind)
        return file.getvalue()

    return make


@pytest.fixture
def people(tmp_path: Path, encoded: Picture) -> Path:
    """A folder of three identities with 3, 2 and 1 pictures."""
    folder = tmp_path / "people"
    for number, (name, count) in enumerate({"anna": 3, "bo": 2, "cy": 1}.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(encoded(10 * number + i))
    return folder
