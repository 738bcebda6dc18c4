"""Embeddings as clouds of points. N pictures, D embedding."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstsight.evaluation.plots import BASELINE, COLORS, DIFFERENT, POINTS, SAME, short, style

NAMED = 2 * len(COLORS)
"""Of more identities, the colored ones are named in a legend, not in the cloud."""


def embedding(
    panels: Mapping[str, NDArray[np.floating]],
    labels_N: NDArray[np.integer],
    names: Sequence[str],
    *,
    unseen: Sequence[str] = (),
    triplet: tuple[int, int, int] | None = None,
) -> Figure:
    """Embeddings of the same N pictures (before and after training), each flattened to its two widest directions.

    Args:
        panels: title -> N x D embeddings.
        labels_N: each picture's place in `names`.
        names: of the identities.
        unseen: names drawn in color, the others in gray; without it the first eight names have colors.
        triplet: indices of an anchor, its positive and its negative, joined as in FaceNet figure 3.
    """
    with style():
        legend = bool(unseen) and len(np.unique(labels_N)) > NAMED
        figure = Figure(figsize=(3.7 * len(panels) + 2.2 * legend, 3.9))
        for i, (axes, (title, x_ND)) in enumerate(
            zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True)
        ):
            flat_N2 = principal_plane(x_ND)
            _cloud(axes, flat_N2, labels_N, names, set(unseen))
            if triplet is not None:
                _mark_triplet(axes, flat_N2[list(triplet)], with_legend=i == 0)
            axes.set(xticks=[], yticks=[], title=title)
            axes.set_aspect("equal", adjustable="datalim")
            axes.spines[:].set_visible(False)
        return figure


def principal_plane(x_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """N x 2: the projection on the two directions of largest variance, with a sign that does not depend on chance."""
    centered_ND = np.asarray(x_ND, dtype=np.float64) - np.mean(x_ND, axis=0, dtype=np.float64)
    _, vectors_DD = np.linalg.eigh(centered_ND.T @ centered_ND)
    axes_D2 = vectors_DD[:, : -min(2, len(vectors_DD)) - 1 : -1]
    axes_D2 = axes_D2 * np.sign(axes_D2[np.abs(axes_D2).argmax(0), np.arange(axes_D2.shape[1])])
    return np.asarray(centered_ND @ axes_D2)


def telling_triplet(
    before_ND: NDArray[np.floating], after_ND: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> tuple[int, int, int]:
    """Of 50,000 random triplets the one that training put right most visibly: indices of anchor, positive, negative.

    Visibly: in the two principal planes, each brought to the same spread.
    """
    rng = np.random.default_rng(0)
    anchor, positive, negative = rng.integers(len(labels_N), size=(3, 50_000))
    fits = (labels_N[anchor] == labels_N[positive]) & (labels_N[anchor] != labels_N[negative]) & (anchor != positive)
    anchor, positive, negative = anchor[fits], positive[fits], negative[fits]
    excess = []
    for x_ND in (before_ND, after_ND):
        flat_N2 = principal_plane(x_ND)
        flat_N2 /= flat_N2.std() or 1.0
        to_positive, to_negative = (np.linalg.norm(flat_N2[anchor] - flat_N2[i], axis=1) for i in (positive, negative))
        excess.append(to_positive - to_negative)
    best = int(np.argmax(np.minimum(excess[0], -excess[1])))
    return int(anchor[best]), int(positive[best]), int(negative[best])


def _cloud(
    axes: Axes, flat_N2: NDArray[np.float64], labels_N: NDArray[np.integer], names: Sequence[str], unseen: set[str]
) -> None:
    present = np.unique(labels_N)
    colored = [name for name in names if name in unseen] if unseen else list(names)
    color_of = dict(zip(colored, COLORS, strict=False))
    for label in present:
        points = flat_N2[labels_N == label][:: -(-len(flat_N2) // POINTS)]
        color = color_of.get(names[label], BASELINE)
        above = 2 if color == BASELINE else 3
        x, y = points.T
        axes.scatter(x, y, s=8, color=color, alpha=0.55, linewidths=0, rasterized=True, zorder=above)
    if len(present) > NAMED:
        for name, color in color_of.items():
            axes.scatter([], [], s=24, color=color, label=short(name))
        if unseen:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    else:
        for label in present:
            middle = np.median(flat_N2[labels_N == label], axis=0)
            axes.annotate(
                short(names[label]), middle, ha="center", va="center", fontsize=13, fontweight="bold", zorder=4
            )


def _mark_triplet(axes: Axes, points: NDArray[np.float64], *, with_legend: bool) -> None:
    anchor, positive, negative = points
    for point, color, dash, name in (
        (positive, SAME, "-", "anchor to positive"), (negative, DIFFERENT, (0, (3, 1.5)), "anchor to negative"),
    ):  # fmt: skip
        axes.plot(*zip(anchor, point, strict=True), color=color, linestyle=dash, linewidth=2, zorder=5, label=name)
    for point, letter, color in ((anchor, "a", "#30343a"), (positive, "p", SAME), (negative, "n", DIFFERENT)):
        axes.plot(*point, marker="o", markersize=13, color=color, markeredgecolor="white", zorder=6)
        axes.annotate(letter, point, ha="center", va="center_baseline", color="white", fontsize=9.5, zorder=7)
    if with_legend:
        axes.legend(loc="upper left", bbox_to_anchor=(0, 0), ncols=2, fontsize=9, borderaxespad=0)
