"""New symbols put together from parts of two others, for a training that needs more identities than were drawn.

The first drawing of a new symbol is made of the first drawings of its two parents, the second of the second ones, and
so on: where pictures are listed by who drew them, each is by one hand. It is made of centerlines, so that its pen is
that of all others. N pictures, C channels, H height, W width; A, B, L points of lines; 2: down, right.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.cache import Packed, cached_pictures, in_threads
from firstsight.data.identities import PictureSet, group_of, pictures_of_each
from firstsight.data.ink import CANVAS, FILLED, SHORTEST, centerlines, draw
from firstsight.errors import DataError, PictureError

SPLIT = 0.35, 0.65  # where two parts meet, as a share of the new symbol's height or width
SMALLER = 0.55, 1.0  # the size of a part along the line where two meet, and of one drawn over another
GAP = -0.1, 0.15  # between two parts; where it is negative, they overlap
MARK = 0.25, 0.45  # the size of a mark, such as an accent, beside the size of what it marks
MARK_AWAY = 0.75  # from the middle of what it marks
EDGE = -0.05, 1.05  # the middle of a mark is within
STRETCH = 0.25  # natural logarithm of the new symbol's width by height, at most

JITTER, OF_HALVES, OF_MARKS = 0.06, 0.03, 0.1
"""How far a part of one drawing is off: the natural logarithm of its scale by as much, its place by half as much of its
box. Halves that are off do not meet."""

_VERSION = 1  # of what the same parents and seed are made into


class Part(NamedTuple):
    """What a new symbol takes of a parent whose lines fill a unit square, and where it puts that square."""

    box: tuple[float, float, float, float]
    """Top, left, height, width of where the square is put."""
    kept: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Top, left, bottom, right of what is taken."""
    jitter: float = JITTER


class Layout(NamedTuple):
    """How two parents are put together."""

    parts: tuple[Part, Part]
    stretch: float
    """Natural logarithm of the factor between width and height."""


def with_composed(
    packed: Packed,
    preprocessing: Preprocessing,
    *,
    count: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[UInt8[Tensor, "N C H W"], Int64[Tensor, "N"]]:
    """All pictures and the identity of each, and behind them those of `count` new symbols.

    The parents of a new symbol are two identities GROUP/NAME of one group. It has as many drawings as the one that has
    fewer. More new symbols begin with those that fewer are.

    Args:
        packed: pictures of symbols, with their pixels.
        preprocessing: what made those pixels, with `fit = "ink"`.
        count: of new symbols.
        seed: says which they are.
        on_progress: called with (pictures read and symbols put together, of how many).

    Raises:
        DataError: no two identities of a group have two pictures each.
        PictureError: a picture is gone since it was packed.

    Example:
        >>> pixels_NCHW, labels_N = with_composed(packed, INK, count=2000, seed=0)  # doctest: +SKIP
    """
    pictures = packed.kept
    pairs = drawing_pairs(pictures, count, seed)
    labels = [len(pictures.names) + number for number, drawings in enumerate(pairs) for _ in drawings]

    def pixels() -> Iterator[UInt8[Tensor, "C H W"]]:
        def read(index: int) -> Float64[ndarray, "L 2"]:
            return _lines(pictures, index)

        def composed(number: int) -> list[UInt8[Tensor, "C H W"]]:
            rng = np.random.default_rng((seed, number))
            drawings = [(lines[first], lines[second]) for first, second in pairs[number]]
            return [_on_paper(lines_L2, preprocessing) for lines_L2 in compose(drawings, rng)]

        def so_far(done: int) -> None:
            if on_progress is not None:
                on_progress(done, len(pictures) + count)

        yield from packed.pixels_NCHW
        lines = []
        for lines_L2 in in_threads(read, len(pictures)):
            lines.append(lines_L2)
            so_far(len(lines))
        for number, symbol in enumerate(in_threads(composed, count), start=1):
            yield from symbol
            so_far(len(pictures) + number)

    made_of = "composed", _VERSION, np.__version__, seed, pairs
    cached = cached_pictures(pictures, preprocessing, len(pictures) + len(labels), pixels, made_of=made_of)
    return cached.pixels_NCHW, torch.tensor([*pictures.labels, *labels])


def drawing_pairs(pictures: PictureSet, count: int, seed: int) -> list[list[tuple[int, int]]]:
    """For each of `count` new symbols, which two pictures each of its drawings is made of.

    Raises:
        DataError: no two identities of a group have two pictures each.
    """
    drawings = pictures_of_each(pictures)
    groups: dict[str, list[int]] = defaultdict(list)
    for label, name in enumerate(pictures.names):
        if len(drawings[label]) > 1:
            groups[group_of(name)].append(label)
    families = [labels for labels in groups.values() if len(labels) > 1]
    if not families:
        raise DataError(
            f"{pictures.source} has no two identities of one group, of two pictures each, to compose symbols of.",
            hint="Put characters of one alphabet into one folder (ALPHABET/NAME/*.png), or leave --composed out.",
        )
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):  # one by one, so that more begin with those that fewer are
        family = families[rng.integers(len(families))]
        first, second = rng.choice(family, 2, replace=False).tolist()
        pairs.append(list(zip(drawings[first], drawings[second], strict=False)))
    return pairs


def new_layout(rng: np.random.Generator) -> Layout:
    """Side by side; one as a mark of the other; half of one and half of the other; or one over the other. Each is as
    often turned, so that what was beside is above."""
    at, smaller, gap = rng.uniform(*SPLIT), rng.uniform(*SMALLER), rng.uniform(*GAP)
    kind = rng.choice(["beside", "mark", "halves", "over"], p=[0.4, 0.25, 0.2, 0.15])
    whole = (0.0, 0.0, 1.0, 1.0)
    if kind == "beside":
        parts = Part((0, 0, 1, at)), Part((rng.integers(2) * (1 - smaller), at + gap, smaller, 1 - at))
    elif kind == "mark":
        size, angle = rng.uniform(*MARK), rng.integers(8) * np.pi / 4
        top, left = np.clip(0.5 + MARK_AWAY * np.array([np.sin(angle), np.cos(angle)]), *EDGE) - size / 2
        parts = Part(whole), Part((top, left, size, size), jitter=OF_MARKS)
    elif kind == "halves":
        parts = Part(whole, (0, 0, 1, at), OF_HALVES), Part(whole, (0, at, 1, 1), OF_HALVES)
    else:
        parts = Part(whole), Part(((1 - smaller) / 2, (1 - smaller) / 2, smaller, smaller))
    if rng.integers(2):
        parts = _turned(parts[0]), _turned(parts[1])
    return Layout(parts, rng.uniform(-STRETCH, STRETCH))


def compose(
    drawings: Sequence[tuple[Float64[ndarray, "_ 2"], Float64[ndarray, "_ 2"]]], rng: np.random.Generator
) -> list[Float64[ndarray, "_ 2"]]:
    """The lines of a new symbol's drawings from those of its parents, in a layout that leaves something of both in
    each."""
    while True:  # all that is not halved stays, so it ends
        layout = new_layout(rng)
        placed = [put_together(first_A2, second_B2, layout, rng) for first_A2, second_B2 in drawings]
        if all(len(lines_L2) for parts in placed for lines_L2 in parts):
            return [np.concatenate(parts) for parts in placed]


def put_together(
    first_A2: Float64[ndarray, "A 2"], second_B2: Float64[ndarray, "B 2"], layout: Layout, rng: np.random.Generator
) -> tuple[Float64[ndarray, "a 2"], Float64[ndarray, "b 2"]]:
    """What the layout leaves of either parent's lines, where it puts them, off by the jitter of one drawing."""
    stretch_2 = np.exp((-layout.stretch / 2, layout.stretch / 2))
    first, second = layout.parts
    return _placed(first_A2, first, rng) * stretch_2, _placed(second_B2, second, rng) * stretch_2


def _turned(part: Part) -> Part:
    """With down and right exchanged."""
    (top, left, height, width), (above, before, below, behind) = part.box, part.kept
    return Part((left, top, width, height), (before, above, behind, below), part.jitter)


def _placed(lines_L2: Float64[ndarray, "L 2"], part: Part, rng: np.random.Generator) -> Float64[ndarray, "l 2"]:
    """Lines are stretched to fill the square, but not across a stroke that is nearly straight: it stays one."""
    low_2, high_2 = lines_L2.min(0), lines_L2.max(0)
    unit_L2 = (lines_L2 - (low_2 + high_2) / 2) / np.maximum(high_2 - low_2, SHORTEST) + 0.5
    near_2, far_2 = np.array(part.kept).reshape(2, 2)
    kept_l2 = unit_L2[((unit_L2 >= near_2) & (unit_L2 <= far_2)).all(1)]
    scale_2 = np.exp(rng.uniform(-part.jitter, part.jitter, 2))
    middle_2 = 0.5 + rng.uniform(-part.jitter, part.jitter, 2) / 2
    corner_2, size_2 = np.array(part.box).reshape(2, 2)
    placed_l2: ndarray = corner_2 + ((kept_l2 - 0.5) * scale_2 + middle_2) * size_2
    return placed_l2


def _on_paper(lines_L2: Float64[ndarray, "L 2"], preprocessing: Preprocessing) -> UInt8[Tensor, "C H W"]:
    low_2, high_2 = lines_L2.min(0), lines_L2.max(0)
    scale = (FILLED - 1) / max(float((high_2 - low_2).max()), 1e-6)
    rows_L, columns_L = np.rint((lines_L2 - (low_2 + high_2) / 2) * scale + (CANVAS - 1) / 2).astype(np.int64).T
    drawn_HW = draw(rows_L, columns_L, height=preprocessing.height, width=preprocessing.width)
    return torch.from_numpy(drawn_HW).repeat(preprocessing.channels, 1, 1)


def _lines(pictures: PictureSet, index: int) -> Float64[ndarray, "L 2"]:
    try:
        return np.stack(centerlines(pictures.picture(index)), axis=1).astype(np.float64)
    except PictureError as error:
        where = pictures.where(index)
        raise PictureError(f"{where} {error.message.removeprefix(where).strip()}", hint=error.hint) from error
