"""Measures of a picture against their definitions, and the verdict: ordinary pictures pass, poor ones are named."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pictures import draw_symbol
from PIL import Image, ImageFilter

from firstsight.config import Preprocessing
from firstsight.recognition.decision import Match
from firstsight.recognition.quality import judge, measure

SEEN = Preprocessing(height=64, width=64, color="gray", fit="pad")


def photo(seed: int = 0, *, size: int = 192) -> Image.Image:
    """Noise with the 1/f spectrum of natural pictures, its gray levels from dark to bright."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1
    wave = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) / frequency).real
    return Image.fromarray(np.uint8(np.clip(128 + 45 * (wave - wave.mean()) / wave.std(), 0, 255)))


def exposed(picture: Image.Image, stops: float) -> Image.Image:
    """As if the shutter had been open 2^stops times as long (gamma 2.2)."""
    light = (np.asarray(picture, np.float64) / 255) ** 2.2 * 2.0**stops
    return Image.fromarray(np.uint8(np.clip(light, 0, 1) ** (1 / 2.2) * 255 + 0.5))


def catalogue() -> Image.Image:
    """A small thing on a white ground."""
    page = Image.new("L", (192, 192), 255)
    page.paste(photo(1, size=64).point(lambda level: min(level, 245)), (64, 64))
    return page


POOR: dict[str, Callable[[], Image.Image]] = {
    "too small": lambda: photo().resize((15, 15)),
    "blurred": lambda: photo().filter(ImageFilter.GaussianBlur(12)),
    "under-exposed": lambda: exposed(photo(), -5),
    "over-exposed": lambda: exposed(photo(), 4),
    "empty": lambda: Image.fromarray(np.uint8(200 + np.random.default_rng(0).integers(-1, 2, (64, 64)))),
}


@pytest.mark.parametrize("kind", POOR)
def test_what_is_wrong_is_said_with_its_figure(kind: str) -> None:
    (doubt,) = judge(measure(POOR[kind](), SEEN)).doubts
    assert doubt.kind == kind
    assert any(character.isdigit() for character in doubt.reason)


@pytest.mark.parametrize(
    "picture",
    [photo(), photo(1), exposed(photo(), -1), exposed(photo(), 1), catalogue(), draw_symbol(0), draw_symbol(1, pen=2),
     draw_symbol(2, ink=255, paper=0), photo().convert("RGB"), photo().resize((17, 17)),
     Image.effect_noise((64, 64), 60)],
)  # fmt: skip
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_ordinary_pictures_pass(picture: Image.Image, fit: str) -> None:
    assert judge(measure(picture, Preprocessing(height=64, width=64, color="gray", fit=fit))).doubts == ()


def test_a_drawing_found_anew_is_not_judged_by_its_light() -> None:
    ink = Preprocessing(height=48, width=48, color="gray", fit="ink")
    for picture in (draw_symbol(0), draw_symbol(0, ink=250, paper=255), draw_symbol(0, ink=0, paper=6)):
        assert judge(measure(picture, ink)).good
    assert [doubt.kind for doubt in judge(measure(draw_symbol(0, size=10, pen=1), ink)).doubts] == ["too small"]


def test_the_measures_are_what_they_say() -> None:
    """Of a picture that is shown as it is."""
    gray = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float64)
    lap = [
        4 * gray[y, x] - gray[y - 1, x] - gray[y + 1, x] - gray[y, x - 1] - gray[y, x + 1]
        for y in range(1, 63)
        for x in range(1, 63)
    ]
    found = measure(Image.fromarray(gray.astype(np.uint8)), SEEN)
    assert found.sharpness == pytest.approx(np.var(lap) / gray.var(), rel=1e-3)
    assert found.contrast == pytest.approx(gray.std(), rel=1e-4)
    assert (found.bright, found.dark) == pytest.approx((np.quantile(gray, 0.99), np.quantile(gray, 0.01)))
    assert found.white == pytest.approx((gray >= 250).mean())


@pytest.mark.parametrize(("fit", "enlargement"), [("pad", 0.5), ("crop", 2), ("stretch", 2), ("ink", 0.5)])
def test_how_far_a_picture_is_enlarged(fit: str, enlargement: float) -> None:
    picture = draw_symbol(0, size=128).crop((0, 0, 128, 32))
    found = measure(picture, Preprocessing(height=64, width=64, color="gray", fit=fit))
    assert (found.width, found.height, found.enlargement) == (128, 32, enlargement)


def test_what_is_cut_off_does_not_count() -> None:
    wide = Image.new("L", (192, 64), 128)
    wide.paste(photo(size=64), (0, 0))  # left of the middle, which is empty
    kinds = {
        fit: [doubt.kind for doubt in judge(measure(wide, Preprocessing(height=64, width=64, fit=fit))).doubts]
        for fit in ("pad", "crop")
    }
    assert kinds == {"pad": [], "crop": ["empty"]}


def test_blur_is_no_matter_of_size() -> None:
    """The same picture is as sharp from a large file as from a small one, in gray or color, as a file or a crop."""
    small = photo(size=64)
    crop_CHW = torch.from_numpy(np.array(small))[None]
    found = [measure(each, SEEN).sharpness for each in (small, small.convert("RGB"), crop_CHW)]
    assert found == pytest.approx([found[0]] * 3)
    large = measure(photo(size=512), SEEN).sharpness
    assert large == pytest.approx(measure(photo(size=256), SEEN).sharpness, rel=0.5)


@pytest.mark.parametrize(
    ("distance", "doubted", "confused"), [(0.5, True, True), (0.51, False, True), (1.01, False, False)]
)
def test_whom_it_looks_like(distance: float, doubted: bool, confused: bool) -> None:
    """Nearer to them than to the threshold of 1."""
    verdict = judge(measure(photo(), SEEN), nearest=Match("ada", distance), threshold=1.0)
    assert [doubt.kind for doubt in verdict.doubts] == ["look-alike"] * doubted
    assert verdict.may_be_confused == confused
    if doubted:
        said = "is closer to ada than to the threshold: expect confusion (distance 0.500, threshold 1.000)"
        assert str(verdict) == said


def test_a_verdict_for_programs() -> None:
    plain = judge(measure(photo(), SEEN), nearest=Match("ada", 0.1), threshold=1.0).to_json()
    assert (plain["good"], plain["nearest"], plain["doubts"][0]["kind"]) == (False, "ada", "look-alike")
    assert {"width", "height", "enlargement", "contrast", "sharpness", "bright", "dark", "white"} < set(plain)
