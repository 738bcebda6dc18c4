"""Pictures made for tests: identities that differ by a pattern of large squares, each picture with noise of its own."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_identity(identity: int, picture: int, *, size: int = 16) -> Image.Image:
    """A gray picture; the same arguments give the same pixels."""
    pattern = np.random.default_rng(identity).integers(0, 2, (4, 4)) * 160 + 30
    noise = np.random.default_rng((identity, picture)).integers(-25, 26, (size, size))
    return Image.fromarray(np.uint8(np.kron(pattern, np.ones((size // 4, size // 4))) + noise))


def write_identities(folder: Path, *, identities: int = 8, each: int = 4, first: int = 0) -> Path:
    """Identity folders `p0`, `p1` ... of PNG files."""
    for identity in range(first, first + identities):
        (folder / f"p{identity}").mkdir(parents=True)
        for picture in range(each):
            draw_identity(identity, picture).save(folder / f"p{identity}" / f"{picture}.png")
    return folder
