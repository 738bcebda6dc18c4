"""Pictures made for tests: identities that differ by a pattern of large squares, each picture with noise of its own;
and symbols drawn with a pen."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


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


def draw_symbol(
    symbol: int,
    *,
    size: int = 200,
    pen: float = 6.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    ink: Any = 0,
    paper: Any = 255,
) -> Image.Image:
    """Two to four random lines and arcs by a round pen of `pen` pixels, antialiased; `symbol` says which.

    `scale` is about the center, `shift` in shares of `size`. Of ink and paper in RGB it is a color picture.
    """
    drawn = Image.new("L", (4 * size, 4 * size), 0)
    canvas = ImageDraw.Draw(drawn)
    for line_N2 in _symbol_lines(symbol):
        points = [tuple(point) for point in (((line_N2 - 0.5) * scale + 0.5 + shift) * 4 * size).tolist()]
        canvas.line(points, fill=255, width=round(4 * pen))
        for x, y in points:
            canvas.ellipse((x - 2 * pen, y - 2 * pen, x + 2 * pen, y + 2 * pen), fill=255)
    mask = drawn.resize((size, size), Image.Resampling.BOX)
    mode = "L" if isinstance(ink, int) else "RGB"
    return Image.composite(Image.new(mode, mask.size, ink), Image.new(mode, mask.size, paper), mask)


def _symbol_lines(symbol: int) -> list[np.ndarray]:
    rng = np.random.default_rng(symbol)
    lines = []
    for _ in range(rng.integers(2, 5)):
        if rng.random() < 0.5:
            lines.append(rng.uniform(0.15, 0.85, (rng.integers(2, 5), 2)))
        else:
            angle = np.linspace(0, rng.uniform(2, 6), 24) + rng.uniform(0, 2 * np.pi)
            circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
            lines.append(rng.uniform(0.35, 0.65, 2) + rng.uniform(0.12, 0.3, 2) * circle)
    return lines
