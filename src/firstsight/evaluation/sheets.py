"""Sheets of pictures, each with a line of text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstsight.evaluation.plots import short, style

WIDTH = 15
"""Letters that fit below a picture."""
Picture = NDArray[np.uint8]
"""H x W or H x W x 3."""


def picture_sheet(rows: Sequence[Sequence[Picture]], captions: Sequence[Sequence[str]]) -> Figure:
    """Rows of pictures, each with a line of text below it."""
    columns = max(len(row) for row in rows)
    with style():
        figure = Figure(figsize=(1.15 * columns, 1.42 * len(rows)))
        grid = _empty_grid(figure, len(rows), columns)
        for axes_row, row, texts in zip(grid, rows, captions, strict=True):
            for axes, picture, text in zip(axes_row, row, texts, strict=False):
                _show(axes, picture, text)
        return figure


def compared_sheet(
    heads: Sequence[str], rows: Sequence[Sequence[Picture]], captions: Sequence[Sequence[str]]
) -> Figure:
    """Two or three pictures to compare in each row, under `heads`; as many rows side by side as fit, at least two."""
    with style():
        columns = len(heads)
        abreast = max(2, 6 // columns)
        lines = -(-len(rows) // abreast)
        widths = [*[1.0] * columns, 0.35] * abreast
        figure = Figure(figsize=(7.2, 1.5 * lines + 0.25))
        grid = _empty_grid(figure, lines, len(widths) - 1, width_ratios=widths[:-1])
        for i, (pictures, texts) in enumerate(zip(rows, captions, strict=True)):
            line, place = divmod(i, abreast)
            for j, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
                axes = grid[line, (columns + 1) * place + j]
                _show(axes, picture, text)
                if line == 0:
                    axes.annotate(
                        heads[j], (0.5, 1.06), xycoords="axes fraction", ha="center", fontsize=9, fontweight="bold"
                    )
        return figure


def _empty_grid(
    figure: Figure, rows: int, columns: int, *, width_ratios: Sequence[float] | None = None
) -> NDArray[Any]:
    grid: NDArray[Any] = figure.subplots(rows, columns, squeeze=False, width_ratios=width_ratios)
    for axes in grid.flat:
        axes.axis("off")
    return grid


def _show(axes: Axes, picture: Picture, text: str) -> None:
    """Small pictures are enlarged by whole pixels: what a browser would blur stays sharp."""
    factor = max(1, 160 // max(picture.shape[:2]))
    enlarged = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    axes.imshow(enlarged, cmap="gray", vmin=0, vmax=255, interpolation="none")
    lines = "\n".join(short(line, WIDTH) for line in text.split("\n"))
    axes.set_title(lines, fontsize=8.5, loc="center", y=-0.04, va="top", pad=0)
