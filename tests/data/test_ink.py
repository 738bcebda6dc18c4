"""Symbols redrawn: the same input whatever pen, paper, light and place, and each step against what is known."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import draw_symbol
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from firstsight.config import Preprocessing
from firstsight.data.cache import packed_pictures, resolve_color
from firstsight.data.identities import open_pictures
from firstsight.data.ink import PEN, ink_contrast, redraw, thinned
from firstsight.data.pictures import prepare
from firstsight.errors import PictureError

SYMBOLS = range(20)
INK = Preprocessing(height=32, width=32, color="gray", fit="ink")
BLUE, YELLOW = (30, 40, 170), (240, 225, 120)


def network_input(picture: Image.Image) -> np.ndarray:
    return redraw(picture, height=32, width=32).astype(float).ravel()


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).copy()


def photo(picture: Image.Image, symbol: int, *, dark: float, grain: float = 4.0) -> Image.Image:
    """Lit from one side, down to the share `dark` of the light at the other, with noise of `grain` gray levels."""
    rng = np.random.default_rng(symbol)
    pixels = np.asarray(picture, dtype=float).reshape(picture.height, picture.width, -1)
    y, x = np.mgrid[0 : 1 : picture.height * 1j, 0 : 1 : picture.width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    light = dark + (1 - dark) * (along - along.min()) / np.ptp(along)
    taken = pixels * light[..., None] + rng.normal(0, grain, pixels.shape)
    return Image.fromarray(taken.clip(0, 255).astype(np.uint8).squeeze())


def shaded(picture: Image.Image, symbol: int) -> Image.Image:
    """A photo with the shadow of a hand over its lower half."""
    shadow = Image.new("L", picture.size, 255)
    width, height = picture.size
    ImageDraw.Draw(shadow).polygon([(0, 0.4 * height), (width, 0.7 * height), (width, height), (0, height)], fill=150)
    lit = np.asarray(picture) * (np.asarray(shadow.filter(ImageFilter.GaussianBlur(0.04 * width))) / 255)
    return photo(Image.fromarray(lit.astype(np.uint8)), symbol, dark=1.0, grain=2.0)


def specked(picture: Image.Image, symbol: int) -> Image.Image:
    rng = np.random.default_rng(symbol)
    pixels = np.asarray(picture).copy()
    pixels[tuple(rng.integers(0, pixels.shape[0], (2, 15)))] = rng.integers(0, 120, 15)
    return Image.fromarray(pixels)


def ruled(picture: Image.Image) -> Image.Image:
    """On squared paper with pale lines."""
    pixels = np.asarray(picture).copy()
    pixels[::16] = np.minimum(pixels[::16], 180)
    pixels[:, ::16] = np.minimum(pixels[:, ::16], 180)
    return Image.fromarray(pixels)


VARIANTS: dict[str, Callable[[int], Image.Image]] = {
    "half the size": lambda s: draw_symbol(s, scale=0.5, pen=3),
    "half the size, same pen": lambda s: draw_symbol(s, scale=0.5, pen=6),
    "half the file": lambda s: draw_symbol(s, size=100, pen=3),
    "five times the file": lambda s: draw_symbol(s, size=1000, pen=30),
    "twice the pen": lambda s: draw_symbol(s, pen=12),
    "half the pen": lambda s: draw_symbol(s, pen=3),
    "a hairline": lambda s: draw_symbol(s, size=900, pen=2),
    "moved": lambda s: draw_symbol(s, scale=0.5, pen=3, shift=(0.22, -0.2)),
    "1 bit": lambda s: draw_symbol(s, size=105, pen=2.6).convert("1", dither=Image.Dither.NONE).convert("L"),
    "white on black": lambda s: draw_symbol(s, ink=255, paper=0),
    "blue on yellow": lambda s: draw_symbol(s, ink=BLUE, paper=YELLOW),
    "red on green, equally bright": lambda s: draw_symbol(s, ink=(200, 60, 60), paper=(40, 132, 60)),
    "yellow on white": lambda s: draw_symbol(s, ink=(250, 230, 60), paper=(255, 255, 255)),
    "coarse JPEG": lambda s: jpeg(draw_symbol(s), 10),
    "uneven light": lambda s: photo(draw_symbol(s, ink=40, paper=235), s, dark=0.3),
    "a bad photo": lambda s: jpeg(photo(draw_symbol(s, ink=BLUE, paper=YELLOW), s, dark=0.4), 50),
    "chalk": lambda s: photo(draw_symbol(s, ink=220, paper=60), s, dark=0.4),
    "pencil": lambda s: photo(draw_symbol(s, ink=190, paper=225, pen=4), s, dark=0.7, grain=5),
    "coarse grain": lambda s: photo(draw_symbol(s, ink=40, paper=235), s, dark=0.7, grain=20),
    "a shadow": lambda s: shaded(draw_symbol(s, ink=100, paper=235), s),
    "specks": lambda s: specked(draw_symbol(s, scale=0.5, pen=3), s),
    "squared paper": lambda s: ruled(draw_symbol(s, ink=40)),
}


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    """The inputs of 20 symbols as they are."""
    return np.stack([network_input(draw_symbol(symbol)) for symbol in SYMBOLS])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_nearest_pixels_are_of_the_same_symbol(plain: np.ndarray, variant: str) -> None:
    inputs = np.stack([network_input(VARIANTS[variant](symbol)) for symbol in SYMBOLS])
    distance = np.linalg.norm(inputs[:, None] - plain[None], axis=2)
    same = distance.diagonal().copy()
    np.fill_diagonal(distance, np.inf)
    assert (same < 0.9 * distance.min(1)).all()
    assert np.median(same / distance.min(1)) < 0.4


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_other_fits_would_not_pass(plain: np.ndarray, fit: str) -> None:
    """The test above can fail: without the ink being found most symbols at half the size are taken for others."""
    other = Preprocessing(height=32, width=32, color="gray", fit=fit)
    whole, half = (
        np.stack([prepare(draw_symbol(s, pen=pen, scale=scale), other).flatten().numpy() for s in SYMBOLS]).astype(
            float
        )
        for pen, scale in ((6, 1.0), (3, 0.5))
    )
    nearest = np.linalg.norm(half[:, None] - whole[None], axis=2).argmin(1)
    assert (nearest == np.arange(20)).mean() < 0.5


def test_ink_is_black_on_white_and_fills_the_input() -> None:
    """80 pixels long, 2 wide: a straight line keeps its proportions, and its pen is the standard one."""
    picture = Image.new("L", (100, 100), 255)
    ImageDraw.Draw(picture).rectangle((10, 50, 89, 51), fill=0)
    drawn = redraw(picture, height=64, width=64)
    dark = drawn < 128
    assert np.flatnonzero(dark.any(0)).tolist() == list(range(2, 62))
    assert dark.sum(0).max() == pytest.approx(PEN * 64 / (1 + 0.16), abs=1)
    assert abs(np.flatnonzero(dark.any(1)).mean() - 31.5) <= 0.5
    assert (drawn[0] == 255).all()
    assert drawn.min() == 0


def test_proportions_stay_in_an_input_that_is_not_square() -> None:
    picture = Image.new("L", (120, 120), 255)
    ImageDraw.Draw(picture).rectangle((20, 40, 99, 79), outline=0, width=2)
    for height, width in ((32, 64), (64, 32), (48, 48)):
        dark = redraw(picture, height=height, width=width) < 128
        tall, wide = (np.ptp(np.flatnonzero(dark.any(axis))) + 1 for axis in (1, 0))
        assert wide / tall == pytest.approx(2, rel=0.15)
        assert max(tall / height, wide / width) > 0.85


@pytest.mark.parametrize("side", [1, 4, 40])
def test_a_dot_of_any_size_is_a_small_dot_in_the_middle(side: int) -> None:
    pixels = np.full((100, 100), 255, np.uint8)
    pixels[20 : 20 + side, 30 : 30 + side] = 0
    ink = 255.0 - redraw(Image.fromarray(pixels), height=33, width=33)
    places = np.arange(33)
    assert ink.sum(1) @ places / ink.sum() == pytest.approx(16, abs=0.5)
    assert ink.sum(0) @ places / ink.sum() == pytest.approx(16, abs=0.5)
    assert 2 < ink.sum() / 255 < 12


def test_a_dot_beside_a_stroke_is_no_speck() -> None:
    picture = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((50, 40, 52, 90), fill=0)
    pen.rectangle((50, 20, 52, 22), fill=0)
    assert ndimage.label(redraw(picture, height=48, width=48) < 160)[1] == 2
    pen.rectangle((20, 60, 20, 60), fill=0)
    assert ndimage.label(redraw(picture, height=48, width=48) < 160)[1] == 2


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0)])
def test_what_reaches_around_the_border_is_paper_though_it_is_less(ink: int, paper: int) -> None:
    picture = Image.new("L", (100, 100), paper)
    ImageDraw.Draw(picture).ellipse((2, 2, 97, 97), fill=ink)
    ImageDraw.Draw(picture).ellipse((38, 38, 61, 61), fill=paper)
    assert np.mean(np.asarray(picture) == ink) > 0.6
    dark = redraw(picture, height=48, width=48) < 128
    assert ndimage.label(dark)[1] == 1
    assert ndimage.label(~dark)[1] == 2
    assert ndimage.binary_fill_holes(dark).mean() > 0.6


def test_a_line_is_followed_from_the_light_into_the_dark() -> None:
    picture = Image.new("L", (200, 200), 235)
    ImageDraw.Draw(picture).rectangle((10, 98, 189, 102), fill=40)
    ImageDraw.Draw(picture).rectangle((60, 60, 64, 98), fill=40)
    light = np.linspace(1, 0.06, 200) ** 1.3
    dim = Image.fromarray((np.asarray(picture) * light).astype(np.uint8))
    assert np.abs(redraw(dim, height=32, width=32).astype(float) - redraw(picture, height=32, width=32)).max() < 60


def empty_pictures() -> dict[str, Image.Image]:
    paper = Image.new("RGB", (300, 200), (225, 220, 190))
    return {
        "white": Image.new("L", (50, 50), 255),
        "all ink": Image.new("L", (50, 50), 0),
        "red": Image.new("RGB", (50, 50), (200, 0, 0)),
        "one pixel": Image.new("L", (1, 1), 9),
        "one row": Image.new("L", (3000, 1), 9),
        "a photo of paper": jpeg(photo(paper, 0, dark=0.5, grain=4), 60),
        "a gradient": photo(paper, 1, dark=0.3, grain=0),
    }


@pytest.mark.parametrize("name", empty_pictures())
def test_without_ink_a_picture_is_refused(name: str) -> None:
    with pytest.raises(PictureError) as refused:
        prepare(empty_pictures()[name], INK, name="sheet.png")
    assert str(refused.value) == "sheet.png holds no ink. Give a picture of something drawn on an even background."


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.integers(0, 2**32 - 1))
def test_any_picture_is_redrawn_or_refused(width: int, height: int, mode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width) if mode == "L" else (height, width, 3), dtype=np.uint8)
    try:
        assert redraw(Image.fromarray(pixels), height=16, width=20).shape == (16, 20)
    except PictureError as error:
        assert error.message == "holds no ink."  # noqa: PT017 - both ends are right


def test_redrawn_again_it_is_nearly_the_same(plain: np.ndarray) -> None:
    """A gallery keeps what the network saw; it may be enrolled anew from that."""
    again = np.stack([network_input(Image.fromarray(row.reshape(32, 32).astype(np.uint8))) for row in plain])
    distance = np.linalg.norm(again[:, None] - plain[None], axis=2)
    assert (distance.argmin(1) == np.arange(20)).all()


def test_color_says_how_often_the_ink_is_repeated() -> None:
    gray = prepare(draw_symbol(0), INK)
    assert (gray.dtype, gray.shape) == (torch.uint8, (1, 32, 32))
    color = prepare(draw_symbol(0), Preprocessing(height=32, width=32, color="rgb", fit="ink"))
    assert torch.equal(color, gray.expand(3, -1, -1))


def test_a_sheet_without_ink_is_skipped_in_a_set_and_the_others_are_gray(tmp_path: Path) -> None:
    for symbol in range(3):
        (tmp_path / "set" / str(symbol)).mkdir(parents=True)
        draw_symbol(symbol, ink=BLUE, paper=YELLOW).save(tmp_path / "set" / str(symbol) / "a.png")
    Image.new("RGB", (40, 40), YELLOW).save(tmp_path / "set" / "2" / "b.png")
    pictures = open_pictures(tmp_path / "set")
    resolved = resolve_color(pictures, Preprocessing(height=32, width=32, fit="ink"))
    assert resolved.color == "gray"
    packed = packed_pictures(pictures, resolved, folder=tmp_path / "cache")
    assert packed.skipped == (("2/b.png", "holds no ink."),)
    assert packed.pixels_NCHW.shape == (3, 1, 32, 32)


# the steps


def test_the_contrast_of_ink_is_a_mean_above_its_own_half() -> None:
    # over 100 lie 200, 190 and 110: mean 166.7; 90 lies over half of that, hence 147.5; 60 does not lie over 73.75
    contrast = np.array([[200.0, 190.0, 110.0, 90.0], [60.0, 3.0, 2.0, -1.0]], np.float32)
    assert ink_contrast(contrast, above=10.0) == pytest.approx(147.5)
    assert ink_contrast(contrast, above=150.0) == pytest.approx(195.0)
    with pytest.raises(PictureError, match=r"holds no ink"):
        ink_contrast(contrast, above=200.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8), st.floats(0, 2))
def test_thinning_keeps_parts_and_holes_and_comes_to_an_end(seed: int, share: float, blur: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 36)), blur)
    ink = np.pad(noise > np.quantile(noise, share), 1)
    rows, columns = thinned(ink)
    lines = np.zeros_like(ink)
    lines[rows, columns] = True
    assert not (lines & ~ink).any()
    assert ndimage.label(lines, np.ones((3, 3)))[1] == ndimage.label(ink, np.ones((3, 3)))[1]
    assert ndimage.label(~lines)[1] == ndimage.label(~ink)[1]
    assert np.array_equal(thinned(lines), (rows, columns))


@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_a_bar_is_thinned_to_its_middle(width: int) -> None:
    ink = np.zeros((60, 30), bool)
    ink[5:55, 10 : 10 + width] = True
    rows, columns = thinned(ink)
    assert len(rows) == len(set(rows.tolist()))
    inner = (rows > 5 + width) & (rows < 54 - width)
    assert np.abs(columns[inner] - (10 + (width - 1) / 2)).max() <= 0.5
    assert rows.min() <= 5 + width / 2
    assert rows.max() >= 54 - width / 2
