"""Drawn symbols: find the ink of a picture, and draw its centerlines anew with a standard pen, cropped and centered.

So the network sees the same whatever the size, the place and the pen of the drawing, the colors of ink and paper, and
the light. H height, W width, C channels, N samples or ink pixels, F terms of the background, L components.
"""

import functools
import math

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy import ndarray
from PIL import Image
from scipy import ndimage

from firstsight.errors import PictureError

PEN = 0.08  # width of the lines drawn, as a share of the longer side of the symbol's centerlines
MARGIN = 0.04  # left free on each side, as a share of that side
CANVAS, FILLED = 96, 80  # side of the square on which ink is thinned, and how much of it the ink fills
SHORTEST = FILLED / 2.5  # canvas pixels: what is shorter than this when thinned is not blown up, it is a dot

_LONGEST = 512  # a larger picture is reduced to this: enough for a symbol that fills a fifth of it
_GRID = 24  # samples a side that the background is fitted to
_BORDER = 4.0  # in doubt the border is background: there a sample counts as so many within
_ROUNDS = 6
_FIRST_SPREAD, _LAST_SPREAD = 64.0, 8.0  # gray levels: what is farther off loses its say in the background
_SHADE = 24.0  # gray levels: how dark a background may look before contrast is no longer divided by its light
_CLEAN = 1.0  # gray levels: above this noise the picture is smoothed
_WIDEST = 5  # no pen is wider than a fifth of a photo
_LEAST_CONTRAST = 8.0  # gray levels
_LEAST_SIGMAS = 6.0  # ink stands out of the noise by so many standard deviations
_SPECK = 0.4  # of the square of the pen's width: smaller areas are dirt


def redraw(picture: Image.Image, *, height: int, width: int) -> UInt8[ndarray, "H W"]:
    """The symbol in a picture, drawn in black on white with a pen of standard width.

    Background is what varies slowly and covers most of the border; ink is what stands out of it, lighter or darker
    or in another color. Specks go, dots stay. The proportions of the symbol stay; a dot stays small.

    Args:
        picture: mode "L" or "RGB".
        height, width: of the result. Above about 100 pixels no more detail comes.

    Raises:
        PictureError: the picture holds no ink; the message begins with a verb, as its reader knows the picture's name.
    """
    return draw(*centerlines(picture), height=height, width=width)


def centerlines(picture: Image.Image) -> tuple[Int64[ndarray, "N"], Int64[ndarray, "N"]]:
    """The rows and columns of a symbol's centerlines, on a canvas of `CANVAS` pixels a side that they nearly fill.

    Raises:
        PictureError: as from `redraw`.
    """
    return thinned(_on_canvas(_ink(_contrast(_pixels(picture)))))


def _pixels(picture: Image.Image) -> Float32[ndarray, "H W C"]:
    scale = _LONGEST / max(picture.size)
    if scale < 1:
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels_HWC: Float32[ndarray, "H W C"] = np.asarray(picture, np.float32).reshape(picture.height, picture.width, -1)
    return pixels_HWC


def _contrast(pixels_HWC: Float32[ndarray, "H W C"]) -> Float32[ndarray, "H W"]:
    """How far each pixel is off the background, in gray levels at average light; ink is positive."""
    background_HWC = _background(pixels_HWC)
    off_HWC = pixels_HWC - background_HWC
    light_HW = background_HWC.mean(2).clip(0, 255) + _SHADE
    contrast_HW: Float32[ndarray, "H W"] = _main_color(off_HWC) * (light_HW.mean() / light_HW)
    return contrast_HW if (contrast_HW * contrast_HW * contrast_HW).sum() > 0 else -contrast_HW


def _background(pixels_HWC: Float32[ndarray, "H W C"]) -> Float32[ndarray, "H W C"]:
    """A quadratic surface through what most pixels, and most at the border, agree on.

    Iteratively reweighted least squares with Geman-McClure weights: far outliers, the ink, have no say in the end.
    """
    height, width, channels = pixels_HWC.shape
    rows = np.linspace(0, height - 1, min(height, _GRID)).astype(int)[:, None]
    columns = np.linspace(0, width - 1, min(width, _GRID)).astype(int)
    sample_NC = pixels_HWC[rows, columns].reshape(-1, channels)
    say = np.ones((len(rows), len(columns)), np.float32)
    say[[0, -1]] = say[:, [0, -1]] = _BORDER
    say_N = say.ravel()
    terms_HWF = _terms(height, width)
    term_NF = terms_HWF[rows, columns].reshape(len(sample_NC), -1)
    ridge_FF = 1e-3 * np.eye(term_NF.shape[1], dtype=np.float32)  # a picture of one row has no vertical gradient
    off_NC = sample_NC - _weighted_median(sample_NC, say_N)
    for spread in np.geomspace(_FIRST_SPREAD, _LAST_SPREAD, _ROUNDS, dtype=np.float32):
        weight_N = say_N / np.square(1 + np.square(off_NC).sum(1) / spread**2)
        weighted_FN = (term_NF * weight_N[:, None]).T
        factor_FC = np.linalg.solve(weighted_FN @ term_NF + ridge_FF, weighted_FN @ sample_NC)
        off_NC = sample_NC - term_NF @ factor_FC
    surface_HWC: Float32[ndarray, "H W C"] = terms_HWF @ factor_FC
    return surface_HWC


@functools.lru_cache(maxsize=4)
def _terms(height: int, width: int) -> Float32[ndarray, "H W F"]:
    """1, x, y, x², xy, y² at every pixel, with x and y from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2).astype(np.float32)


def _weighted_median(sample_NC: Float32[ndarray, "N C"], weight_N: Float32[ndarray, "N"]) -> Float32[ndarray, "C"]:
    order_NC = np.argsort(sample_NC, axis=0)
    below_NC = np.cumsum(weight_N[order_NC], axis=0)
    middle_C = (below_NC < below_NC[-1] / 2).sum(0)
    sorted_NC: Float32[ndarray, "N C"] = np.take_along_axis(sample_NC, order_NC, axis=0)
    return sorted_NC[middle_C, range(len(middle_C))]


def _main_color(off_HWC: Float32[ndarray, "H W C"]) -> Float32[ndarray, "H W"]:
    """What lies along the color in which the pixels are off the most: red ink on green paper has no other contrast."""
    off_NC = off_HWC.reshape(-1, off_HWC.shape[2])
    axis_C = np.linalg.eigh(off_NC.T @ off_NC)[1][:, -1]
    along_HW: Float32[ndarray, "H W"] = off_HWC @ (axis_C / np.sqrt(len(axis_C), dtype=np.float32))
    return along_HW


def _ink(contrast_HW: Float32[ndarray, "H W"]) -> Float32[ndarray, "H W"]:
    """How much of each pixel is ink, 0 ... 1."""
    noise = _noise(contrast_HW)
    if noise > _CLEAN:
        contrast_HW = _evened(contrast_HW)
        noise = _noise(contrast_HW)
    full = ink_contrast(contrast_HW, above=max(_LEAST_CONTRAST, _LEAST_SIGMAS * noise))
    is_ink_HW = contrast_HW > full / 2
    share_HW = (contrast_HW / full).clip(0, 1)
    share_HW[is_ink_HW & ~_without_specks(is_ink_HW)] = 0
    return share_HW


def _evened(contrast_HW: Float32[ndarray, "H W"]) -> Float32[ndarray, "H W"]:
    """A photo without its grain and its shadows: smoothed, less what is wider than any pen (a white top-hat)."""
    smooth_HW = ndimage.gaussian_filter(contrast_HW, 1.0)
    lines_HW = smooth_HW - ndimage.grey_opening(smooth_HW, max(3, max(smooth_HW.shape) // _WIDEST))
    evened_HW: Float32[ndarray, "H W"] = lines_HW - np.median(lines_HW)
    return evened_HW


def _noise(contrast_HW: Float32[ndarray, "H W"]) -> float:
    """Standard deviation of the background, from the median of what is on the other side of it than the ink."""
    below_N = contrast_HW[contrast_HW < 0]
    return -1.4826 * float(np.median(below_N)) if len(below_N) else 0.0


def ink_contrast(contrast_HW: Float32[ndarray, "H W"], *, above: float) -> float:
    """The mean contrast of ink, where ink is all that has more than half of it (and more than `above`).

    The threshold of Ridler and Calvard with the mean of the background known to be 0. Otsu's method agrees where
    ink covers much of a picture, and splits the background in two where it covers little.

    Raises:
        PictureError: no pixel is above.
    """
    candidates_N = np.sort(contrast_HW[contrast_HW > above])[::-1]
    if not len(candidates_N):
        raise PictureError("holds no ink.", hint="Give a picture of something drawn on an even background.")
    mean_N = np.cumsum(candidates_N, dtype=np.float64) / np.arange(1, len(candidates_N) + 1)
    full, before = float(candidates_N[len(candidates_N) // 10]), 0.0  # from above: shadows are many, and weaker
    while full != before:  # the next is a monotone function of the last, and there are only so many: it ends
        full, before = float(mean_N[max(1, int((candidates_N > full / 2).sum())) - 1]), full
    return full


def _without_specks(is_ink_HW: Bool[ndarray, "H W"]) -> Bool[ndarray, "H W"]:
    label_HW, count = ndimage.label(is_ink_HW, np.ones((3, 3)))
    area_L = np.bincount(label_HW.ravel(), minlength=count + 1)
    area_L[0] = 0
    kept_L = area_L >= min(_SPECK * _pen_width(is_ink_HW) ** 2, float(area_L.max()))
    kept_L[0] = False
    kept_HW: Bool[ndarray, "H W"] = kept_L[label_HW]
    return kept_HW


def _pen_width(is_ink_HW: Bool[ndarray, "H W"]) -> float:
    """Twice the area by the length of the contour, which is π/4 of the edges between pixels over all directions."""
    down = int((is_ink_HW[1:] != is_ink_HW[:-1]).sum())
    across = int((is_ink_HW[:, 1:] != is_ink_HW[:, :-1]).sum())
    return 2 * int(is_ink_HW.sum()) / (max(1, down + across) * math.pi / 4)


def _on_canvas(share_HW: Float32[ndarray, "H W"]) -> Bool[ndarray, "S S"]:
    """The box of the ink, at one size: in the middle of a square of 96 pixels, 80 of which the longer side fills."""
    is_ink_HW = share_HW > 0.5
    rows, columns = np.flatnonzero(is_ink_HW.any(1)), np.flatnonzero(is_ink_HW.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    scale = float(max(bottom - top, right - left)) / FILLED
    if _pen_width(is_ink_HW) < 1.5 * scale:  # a hairline would fade away when it is reduced
        share_HW = ndimage.maximum_filter(share_HW, size=int(np.ceil(scale)))
    pixels_HW = np.rint(share_HW * 255).astype(np.uint8)
    center = float(top + bottom) / 2, float(left + right) / 2
    return _window(pixels_HW, center, (CANVAS * scale, CANVAS * scale), (CANVAS, CANVAS)) > 127


def _window(
    pixels_HW: UInt8[ndarray, "H W"], center: tuple[float, float], size: tuple[float, float], to: tuple[int, int]
) -> UInt8[ndarray, "h w"]:
    """What a window shows, at the size `to`; beyond the pixels there are zeros. All pairs are vertical, horizontal."""
    top, left = center[0] - size[0] / 2, center[1] - size[1] / 2
    bottom, right = top + size[0], left + size[1]
    near_top, near_left = int(np.floor(top)), int(np.floor(left))
    whole = (near_left, near_top, int(np.ceil(right)), int(np.ceil(bottom)))
    box = (left - near_left, top - near_top, right - near_left, bottom - near_top)
    cropped = Image.fromarray(pixels_HW).crop(whole)
    return np.asarray(cropped.resize((to[1], to[0]), Image.Resampling.BILINEAR, box=box))


def thinned(is_ink_HW: Bool[ndarray, "H W"]) -> tuple[Int64[ndarray, "N"], Int64[ndarray, "N"]]:
    """The rows and columns of the centerlines: ink thinned from both sides until it is one pixel wide.

    Guo and Hall 1989, algorithm A1: what is connected stays so, no hole opens or closes, and no part vanishes.
    """
    stride = is_ink_HW.shape[1] + 2
    ink = np.pad(is_ink_HW, 1).astype(np.uint8).ravel()
    left_N = np.flatnonzero(ink)
    around = (-stride, 1 - stride, 1, stride + 1, stride, stride - 1, -1, -stride - 1)  # clockwise from the north
    removable, quiet, turn = _removable(), 0, 0
    while quiet < 2:  # neither of two passes in a row found anything
        code_N = np.zeros(len(left_N), np.uint8)
        for bit, step in enumerate(around):
            code_N |= ink[left_N + step] << bit
        gone_N = removable[turn][code_N]
        ink[left_N[gone_N]] = 0
        left_N = left_N[~gone_N]
        quiet, turn = 0 if gone_N.any() else quiet + 1, 1 - turn
    rows_N, columns_N = np.divmod(left_N, stride)
    return rows_N - 1, columns_N - 1


@functools.cache
def _removable() -> Bool[ndarray, "2 256"]:
    """For each of the two passes and each neighborhood (bits clockwise from the north), whether its center goes."""
    n, ne, e, se, s, sw, w, nw = (((np.arange(256) >> bit) & 1).astype(bool) for bit in range(8))
    parts = sum(np.int64(~a & (b | c)) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
    pairs = sum(np.int64(a | b) for a, b in ((nw, n), (ne, e), (se, s), (sw, w)))
    shifted = sum(np.int64(a | b) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
    neighbors = np.minimum(pairs, shifted)
    border = (parts == 1) & (neighbors >= 2) & (neighbors <= 3)
    return np.stack([border & ~((s | sw | ~nw) & w), border & ~((n | ne | ~se) & e)])


def draw(
    rows_N: Int64[ndarray, "N"], columns_N: Int64[ndarray, "N"], *, height: int, width: int
) -> UInt8[ndarray, "H W"]:
    """Every place within half a pen of a centerline, black, in a window that the lines fill."""
    off = np.ones((CANVAS, CANVAS), bool)
    off[rows_N, columns_N] = False
    tall, wide = float(np.ptp(rows_N)), float(np.ptp(columns_N))
    pen = PEN * max(tall, wide, SHORTEST)
    lines = (0.5 + pen / 2 - ndimage.distance_transform_edt(off)).clip(0, 1)
    around = pen + 2 * MARGIN * max(tall, wide, SHORTEST)
    scale = max((tall + around) / height, (wide + around) / width, (SHORTEST + around) / min(height, width))
    center = (rows_N.min() + rows_N.max() + 1) / 2, (columns_N.min() + columns_N.max() + 1) / 2
    window = _window(np.rint(lines * 255).astype(np.uint8), center, (height * scale, width * scale), (height, width))
    return 255 - window
