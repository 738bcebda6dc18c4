"""New symbols put together from parts of two others, for a training that needs more identities than were drawn.

The first drawing of a new symbol is made of the first drawings of its two parents, the second of the second ones, and
so on: where pictures are listed by who drew them, each is by one hand. It is drawn in centerlines, so that its pen is
that of all others. N pictures; N, M, P, Q points; C channels, H height, W width.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from firstsight.config import Preprocessing, Recipe
from firstsight.data.cache import Packed, cached_rows
from firstsight.data.identities import PictureSet
from firstsight.data.ink import CANVAS, FILLED, SHORTEST, centerlines, draw
from firstsight.errors import DataError

SPLIT = 0.35, 0.65  # where two parts meet, as a share of the new symbol's height or width
MARK = 0.25, 0.45  # the size of a mark, such as an accent, beside the size of what it marks
SMALLER = 0.55, 1.0  # the size of a part across the line where two meet, and of one drawn over another
GAP = -0.1, 0.15  # between two parts; where it is negative, they overlap
STRETCH = 0.25  # natural logarithm of the new symbol's width by height, at most


class Part(NamedTuple):
    """Where a parent's lines go: the lines within `kept` (top, left, bottom, right; of a unit square that the parent
    fills), then the square to `box` (top, left, height, width). `jitter` is how far a drawing may be off."""

    box: tuple[float, float, float, float]
    kept: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    jitter: float = 0.06


class Layout(NamedTuple):
    """What a new symbol takes of each of its parents, and the logarithm of what its width is stretched by."""

    parts: tuple[Part, Part]
    stretch: float


def with_composed(
    packed: Packed, recipe: Recipe, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[UInt8[Tensor, "N C H W"], Int64[Tensor, "N"]]:
    """All pictures and the identity of each, and behind them those of `recipe.data.composed` new symbols.

    Both parents of a new symbol are of one group, where there are groups. It has as many drawings as that of its
    parents that has fewer. Which symbols they are depends on the pictures and on `recipe.training.seed`; more of them
    begin with those that fewer are.

    Args:
        packed: pictures of symbols, with their pixels.
        recipe: its preprocessing is obeyed.
        on_progress: called with (symbols done, symbols in all).

    Raises:
        DataError: no two identities of a group have two pictures each.
    """
    pictures, count = packed.kept, recipe.data.composed
    if not count:
        return packed.pixels_NCHW, torch.tensor(pictures.labels)
    drawings = _drawings(pictures)
    parents = _parents(pictures, drawings, count, recipe.training.seed)
    pairs = [list(zip(drawings[first], drawings[second], strict=False)) for first, second in parents]

    def rows() -> Iterator[UInt8[Tensor, "C H W"]]:
        lines = _all_lines(pictures)

        def drawn(number: int) -> list[UInt8[Tensor, "C H W"]]:
            rng = np.random.default_rng((recipe.training.seed, number))
            both = [(lines[first], lines[second]) for first, second in pairs[number]]
            return [_on_paper(points_N2, recipe.preprocessing) for points_N2 in _symbol(both, rng)]

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for number, symbol in enumerate(pool.map(drawn, range(count)), start=1):
                yield from symbol
                if on_progress is not None:
                    on_progress(number, count)

    numbers = [len(pictures.names) + number for number, drawn in enumerate(pairs) for _ in drawn]
    of = "composed", count, recipe.training.seed
    composed_NCHW, _, _ = cached_rows(pictures, recipe.preprocessing, len(numbers), rows, of=of)
    return torch.cat([packed.pixels_NCHW, composed_NCHW]), torch.tensor([*pictures.labels, *numbers])


def new_layout(rng: np.random.Generator) -> Layout:
    """One of five: side by side, one above the other, one as a mark of the other, half of one and half of the other,
    one over the other."""
    at, smaller, gap = rng.uniform(*SPLIT), rng.uniform(*SMALLER), rng.uniform(*GAP)
    kind = rng.choice(["beside", "mark", "halves", "over"], p=[0.4, 0.25, 0.2, 0.15])
    if kind == "beside":
        parts = Part((0, 0, 1, at)), Part((rng.integers(2) * (1 - smaller), at + gap, smaller, 1 - at))
    elif kind == "mark":
        size, angle = rng.uniform(*MARK), rng.integers(8) * np.pi / 4
        top, left = np.clip(0.5 + 0.75 * np.array([np.sin(angle), np.cos(angle)]), -0.05, 1.05) - size / 2
        parts = Part((0, 0, 1, 1)), Part((top, left, size, size), jitter=0.1)
    elif kind == "halves":
        parts = Part((0, 0, 1, 1), (0, 0, 1, at), 0.03), Part((0, 0, 1, 1), (0, at, 1, 1), 0.03)
    else:
        parts = Part((0, 0, 1, 1)), Part(((1 - smaller) / 2, (1 - smaller) / 2, smaller, smaller))
    if rng.integers(2):
        parts = _turned(parts[0]), _turned(parts[1])
    return Layout(parts, rng.uniform(-STRETCH, STRETCH))


def together(
    first_N2: Float64[ndarray, "N 2"], second_M2: Float64[ndarray, "M 2"], layout: Layout, rng: np.random.Generator
) -> tuple[Float64[ndarray, "P 2"], Float64[ndarray, "Q 2"]]:
    """One drawing of a new symbol: the points (down, right) of its lines, what the layout leaves of either parent."""
    stretch_2 = np.exp((-layout.stretch / 2, layout.stretch / 2))
    first, second = layout.parts
    return _placed(first_N2, first, rng) * stretch_2, _placed(second_M2, second, rng) * stretch_2


def _symbol(both: list[tuple[ndarray, ndarray]], rng: np.random.Generator) -> list[Float64[ndarray, "P 2"]]:
    """A new symbol's drawings from those of its parents, in a layout that leaves something of both in each."""
    while True:  # all that is not halved stays, so it ends
        layout = new_layout(rng)
        drawings = [together(first_N2, second_M2, layout, rng) for first_N2, second_M2 in both]
        if all(len(points_P2) for drawing in drawings for points_P2 in drawing):
            return [np.concatenate(drawing) for drawing in drawings]


def _turned(part: Part) -> Part:
    """With down and right exchanged."""
    top, left, height, width = part.box
    above, before, below, behind = part.kept
    return Part((left, top, width, height), (before, above, behind, below), part.jitter)


def _placed(lines_N2: ndarray, part: Part, rng: np.random.Generator) -> ndarray:
    low_2, high_2 = lines_N2.min(0), lines_N2.max(0)
    unit_N2 = (lines_N2 - (low_2 + high_2) / 2) / np.maximum(high_2 - low_2, SHORTEST) + 0.5
    top, left, bottom, right = part.kept
    unit_N2 = unit_N2[((unit_N2 >= (top, left)) & (unit_N2 <= (bottom, right))).all(1)]
    scale_2 = np.exp(rng.uniform(-part.jitter, part.jitter, 2))
    shift_2 = 0.5 + rng.uniform(-part.jitter, part.jitter, 2) / 2
    corner_2, size_2 = np.array(part.box).reshape(2, 2)
    placed_N2: ndarray = corner_2 + ((unit_N2 - 0.5) * scale_2 + shift_2) * size_2
    return placed_N2


def _on_paper(points_P2: ndarray, preprocessing: Preprocessing) -> UInt8[Tensor, "C H W"]:
    low_2, high_2 = points_P2.min(0), points_P2.max(0)
    scale = (FILLED - 1) / max(float((high_2 - low_2).max()), 1e-6)
    rows_P, columns_P = np.rint((points_P2 - (low_2 + high_2) / 2) * scale + (CANVAS - 1) / 2).astype(np.int64).T
    drawn_HW = draw(rows_P, columns_P, height=preprocessing.height, width=preprocessing.width)
    return torch.from_numpy(drawn_HW).repeat(preprocessing.channels, 1, 1)


def _all_lines(pictures: PictureSet) -> list[Float64[ndarray, "N 2"]]:
    def lines(index: int) -> ndarray:
        return np.stack(centerlines(pictures.picture(index)), axis=1).astype(np.float64)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lines, range(len(pictures))))


def _drawings(pictures: PictureSet) -> list[list[int]]:
    """The pictures of each identity, in their order."""
    drawings: list[list[int]] = [[] for _ in pictures.names]
    for index, label in enumerate(pictures.labels):
        drawings[label].append(index)
    return drawings


def _parents(pictures: PictureSet, drawings: list[list[int]], count: int, seed: int) -> list[tuple[int, int]]:
    """For each new symbol two identities of one group, with two drawings or more."""
    groups: dict[str, list[int]] = defaultdict(list)
    for label, indices in enumerate(drawings):
        if len(indices) > 1:
            groups[pictures.groups[indices[0]] if pictures.groups else ""].append(label)
    enough = [labels for labels in groups.values() if len(labels) > 1]
    if not enough:
        raise DataError(
            "No new symbols can be put together: that takes two identities of a group, of two pictures each.",
            hint="Leave --composed out.",
        )
    rng = np.random.default_rng(seed)
    parents = []
    for _ in range(count):  # one by one, so that fewer are the first of more
        first, second = rng.choice(enough[rng.integers(len(enough))], 2, replace=False).tolist()
        parents.append((first, second))
    return parents
