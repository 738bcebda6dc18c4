"""Is one picture good enough to be the only one? Measures of what the network sees of it, and the verdict.

H height, W width, C channels. Gray levels are 0 ... 255.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.align import MOST_ENLARGED
from firstsight.recognition.decision import Match

# Where doubt begins. A picture refused that was good is worse than a poor one enrolled, so each limit stands well
# clear of every ordinary set measured: benchmarks/enrollment_verdict.py says by how much, and what is caught.
LEAST_CONTRAST = 2.0
"""Gray levels of standard deviation: below, there is nothing but noise."""
LEAST_SHARPNESS = 0.02
"""The least of 800 aligned faces is 0.042. A blur of 3 pixels at 64 x 64 leaves 0.01 or less of most."""
LEAST_BRIGHT = 64.0
"""A picture whose bright parts are darker uses a quarter of the range: about four stops are missing."""
MOST_WHITE, MOST_DARK = 0.6, 80.0
"""So much of the content is white, and even its dark parts are gray: a drawing's are black. Of a catalogue on white
ground, none of 81 reaches both."""
CONFUSION = 0.5
"""Nearer to someone else than to the threshold: at a distance of at most this share of it."""

_SHARP_AT = 64  # pixels of the longer side: blur is told from texture by shares of a picture, not by pixels
_LIGHT_AT = 256  # pixels taken of the longer side, not averaged: the line of a fine pen stays black
_WHITE = 250

Kind = Literal["too small", "blurred", "under-exposed", "over-exposed", "empty", "look-alike"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """Measures of the part of a picture that the preprocessing shows to the network; it is never enlarged.

    Where `fit` is "ink" the drawing is found and drawn anew, so light and sharpness do not count and are None.
    """

    width: int
    height: int
    """Pixels of the whole picture."""
    enlargement: float
    """How many times a side must grow to be the network's input; below 1 it is reduced."""
    contrast: float | None = None
    """Standard deviation in gray levels."""
    sharpness: float | None = None
    """Variance of the Laplacian, by the variance of the picture; noise has 20."""
    bright: float | None = None
    """Gray level that a hundredth is brighter than."""
    dark: float | None = None
    """Gray level that a hundredth of the content is darker than; content is the box of all that is not white."""
    white: float | None = None
    """Share of the content that is white."""


@dataclasses.dataclass(frozen=True)
class Doubt:
    """One reason not to enroll, with its figures."""

    kind: Kind
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """On the one picture that someone is to be enrolled from: its doubts, and what was measured.

    `nearest` is the closest other identity, and `distance` that to it, where a threshold is known. `held`: the name has
    this very picture already, and nothing was added.
    """

    quality: Quality
    doubts: tuple[Doubt, ...] = ()
    nearest: str | None = None
    distance: float | None = None
    threshold: float | None = None
    held: bool = False

    @property
    def good(self) -> bool:
        return not self.doubts

    @property
    def may_be_confused(self) -> bool:
        """Whether `identify` would have called this picture by another's name."""
        return self.distance is not None and self.threshold is not None and self.distance <= self.threshold

    def __str__(self) -> str:
        return "; ".join(doubt.reason for doubt in self.doubts)

    def to_json(self) -> dict[str, Any]:
        """A flat dict of plain values, and `doubts` as a list."""
        return {
            "good": self.good,
            "doubts": [dataclasses.asdict(doubt) for doubt in self.doubts],
            **dataclasses.asdict(self.quality),
            "nearest": self.nearest,
            "distance": self.distance,
            "threshold": self.threshold,
        }


def measure(picture: Image.Image | UInt8[Tensor, "C H W"], preprocessing: Preprocessing) -> Quality:
    """Measure a picture that was decoded, or a crop.

    Example:
        >>> measure(Image.new("L", (32, 32)), Preprocessing(height=64, width=64)).enlargement
        2.0
    """
    if isinstance(picture, Tensor):
        pixels_HWC = picture.permute(1, 2, 0).numpy()
        picture = Image.fromarray(np.ascontiguousarray(pixels_HWC.squeeze(2) if len(picture) == 1 else pixels_HWC))
    scales = preprocessing.width / picture.width, preprocessing.height / picture.height
    enlargement = min(scales) if preprocessing.fit in ("pad", "ink") else max(scales)
    size = Quality(width=picture.width, height=picture.height, enlargement=enlargement)
    if preprocessing.fit == "ink":
        return size
    left, top, right, bottom = box = _shown(picture, preprocessing)
    longer = max(right - left, bottom - top)
    small_HW = _gray(picture, box, min(1.0, min(_SHARP_AT, max(preprocessing.width, preprocessing.height)) / longer))
    sample_HW = _gray(picture, box, min(1.0, _LIGHT_AT / longer), Image.Resampling.NEAREST)
    content_HW = _content(sample_HW)
    return dataclasses.replace(
        size,
        contrast=float(small_HW.std()),
        sharpness=_sharpness(small_HW),
        bright=float(np.quantile(sample_HW, 0.99)),
        dark=float(np.quantile(content_HW, 0.01)),
        white=float((content_HW >= _WHITE).mean()),
    )


def judge(quality: Quality, *, nearest: Match | None = None, threshold: float | None = None) -> Verdict:
    """The verdict on a picture of this quality whose closest other identity is `nearest`."""
    doubts = [*_doubts(quality)]
    if nearest and threshold is not None and nearest.distance <= CONFUSION * threshold:
        figures = f"distance {nearest.distance:.3f}, threshold {threshold:.3f}"
        reason = f"is closer to {nearest.name} than to the threshold: expect confusion ({figures})"
        doubts.append(Doubt("look-alike", reason))
    name, distance = nearest or (None, None)
    return Verdict(quality=quality, doubts=tuple(doubts), nearest=name, distance=distance, threshold=threshold)


def _doubts(quality: Quality) -> Iterator[Doubt]:
    """Of an empty picture nothing else is said."""
    if quality.enlargement > MOST_ENLARGED:
        size = f"{quality.width} x {quality.height} pixels"
        yield Doubt(
            "too small",
            f"is too small ({size}, to be enlarged {quality.enlargement:.1f} times; at most {MOST_ENLARGED:g})",
        )
    if quality.contrast is None or quality.bright is None or quality.white is None or quality.dark is None:
        return
    if quality.contrast < LEAST_CONTRAST:
        yield Doubt(
            "empty",
            f"is empty (standard deviation {quality.contrast:.1f} gray levels of 255, at least {LEAST_CONTRAST:g})",
        )
        return
    if quality.sharpness is not None and quality.sharpness < LEAST_SHARPNESS:
        yield Doubt("blurred", f"is blurred (sharpness {quality.sharpness:.3f}, at least {LEAST_SHARPNESS:g})")
    if quality.bright < LEAST_BRIGHT:
        yield Doubt(
            "under-exposed",
            f"is under-exposed (99 % is darker than {quality.bright:.0f} of 255, at least {LEAST_BRIGHT:.0f})",
        )
    if quality.white > MOST_WHITE and quality.dark > MOST_DARK:
        yield Doubt(
            "over-exposed",
            f"is over-exposed ({quality.white:.0%} of it is white, at most {MOST_WHITE:.0%}, and 99 % is brighter "
            f"than {quality.dark:.0f} of 255)",
        )


def _shown(picture: Image.Image, preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """The box that is shown to the network."""
    width, height = float(picture.width), float(picture.height)
    if preprocessing.fit == "crop":
        scale = min(width / preprocessing.width, height / preprocessing.height)
        width, height = scale * preprocessing.width, scale * preprocessing.height
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    return left, top, left + width, top + height


def _gray(
    picture: Image.Image,
    box: tuple[float, float, float, float],
    scale: float,
    how: Image.Resampling = Image.Resampling.BICUBIC,
) -> Float32[ndarray, "H W"]:
    size = max(1, math.floor((box[2] - box[0]) * scale + 0.5)), max(1, math.floor((box[3] - box[1]) * scale + 0.5))
    return np.asarray(picture.resize(size, how, box=box, reducing_gap=2.0).convert("L"), np.float32)


def _content(gray_HW: Float32[ndarray, "H W"]) -> Float32[ndarray, "h w"]:
    """The box of all that is not white: a catalogue's background is not over-exposed. All, where all is white."""
    is_content_HW = gray_HW < _WHITE
    if not is_content_HW.any():
        return gray_HW
    rows, columns = np.flatnonzero(is_content_HW.any(1)), np.flatnonzero(is_content_HW.any(0))
    return gray_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _sharpness(gray_HW: Float32[ndarray, "H W"]) -> float | None:
    if min(gray_HW.shape) < 3 or not gray_HW.var():
        return None
    inner_HW = gray_HW[1:-1, 1:-1]
    around_HW = gray_HW[:-2, 1:-1] + gray_HW[2:, 1:-1] + gray_HW[1:-1, :-2] + gray_HW[1:-1, 2:]
    return float((4 * inner_HW - around_HW).var() / gray_HW.var())
