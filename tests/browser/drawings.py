"""Symbols as strokes, for the pad; and as pictures, for uploads and cameras. Points are shares of the side."""

import io
import math
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Page

Stroke = list[tuple[float, float]]


def _arc(x: float, y: float, radius: float, start: float, end: float) -> Stroke:
    steps = [start + (end - start) * i / 24 for i in range(25)]
    return [(x + radius * math.cos(turn * 2 * math.pi), y + radius * math.sin(turn * 2 * math.pi)) for turn in steps]


SHAPES: dict[str, list[Stroke]] = {
    "star": [[(0.5 + 0.35 * math.sin(k * 0.8 * math.pi), 0.5 - 0.35 * math.cos(k * 0.8 * math.pi)) for k in range(6)]],
    "moon": [_arc(0.55, 0.5, 0.32, 0.15, 0.85) + _arc(0.66, 0.5, 0.24, 0.78, 0.22)],
    "house": [[(0.25, 0.8), (0.25, 0.45), (0.5, 0.2), (0.75, 0.45), (0.75, 0.8), (0.25, 0.8)]],
    "cross": [[(0.2, 0.5), (0.8, 0.5)], [(0.5, 0.2), (0.5, 0.8)]],
    "wave": [[(0.12 + 0.76 * i / 48, 0.5 + 0.2 * math.sin(i / 4)) for i in range(49)]],
}


def by_another_hand(strokes: list[Stroke], size: float = 0.75) -> list[Stroke]:
    """The same symbol, smaller, elsewhere, and not as straight."""
    return [
        [(0.15 + size * (x + 0.02 * math.sin(9 * y)), 0.08 + size * (y + 0.02 * math.sin(7 * x))) for x, y in stroke]
        for stroke in strokes
    ]


def draw(page: Page, strokes: list[Stroke]) -> None:
    """Draw on the pad with the mouse."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=2)
        page.mouse.up()


def drawing(strokes: list[Stroke], width: int = 320, height: int = 320) -> Image.Image:
    """A symbol in black on white, in the middle."""
    picture = Image.new("RGB", (width, height), "white")
    pen, side = ImageDraw.Draw(picture), min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    for stroke in strokes:
        points = [(left + x * side, top + y * side) for x, y in stroke]
        pen.line(points, fill="black", width=side // 30, joint="curve")
    return picture


def png(picture: Image.Image) -> bytes:
    with io.BytesIO() as file:
        picture.save(file, "PNG")
        return file.getvalue()


def film(path: Path, picture: Image.Image) -> Path:
    """A picture as what a camera sees: a motion JPEG, for Chromium's fake camera, which shows it again and again."""
    with io.BytesIO() as file:
        picture.resize((640, 480)).save(file, "JPEG", quality=95)
        path.write_bytes(file.getvalue() * 3)
    return path
