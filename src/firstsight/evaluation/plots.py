"""Curves as matplotlib figures.

Ink is one placeholder color, which the report turns into the reader's own text color, light or dark. Data are drawn
in the colors of Okabe and Ito, which stay apart for color-blind eyes; what matters also differs in dash or label.

U updates, T thresholds.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

INK = "#010203"
"""Text and axes; the report replaces it."""
SAME, DIFFERENT, BASELINE = "#0072B2", "#D55E00", "#8a8f98"
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F00", "#9467BD")

DET_SHARES = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)

Curve = tuple[ArrayLike, ArrayLike]
POINTS = 1500
"""A cloud of more points is thinned: more says nothing more."""


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, while one is made or saved."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({
            "svg.fonttype": "none", "svg.hashsalt": "firstsight", "font.size": 10, "axes.titlesize": 10.5,
            "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
            "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
            "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4,
            "lines.linewidth": 1.8, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6,
            "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
            "figure.constrained_layout.use": True,
        })  # fmt: skip
        yield


def training_curves(loss_U: ArrayLike, active_U: ArrayLike) -> Figure:
    """The loss over the updates, and in a panel of its own the share of active triplets (0 ... 1) where there are."""
    panels = [(loss_U, SAME, "Loss"), (active_U, COLORS[2], "Active triplets")][: 2 if np.size(active_U) else 1]
    with style():
        figure = Figure(figsize=(7, 4.2 if len(panels) == 2 else 2.8))
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=(3, 2)[: len(panels)])[:, 0]
        lower = grid[-1]
        for axes, (values, color, name) in zip(grid, panels, strict=True):
            value_U = np.asarray(values, dtype=float)
            update_U = np.arange(1, len(value_U) + 1)
            axes.plot(update_U, value_U, color=color, alpha=0.3, linewidth=0.8)
            axes.plot(update_U, _smooth(value_U), color=color)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            axes.set_ylabel(name)
        if len(panels) == 2:
            lower.yaxis.set_major_formatter(FuncFormatter(share_label))
        lower.set_xlabel("Update")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.margins(x=0.01)
        return figure


def roc(
    curves: Mapping[str, Curve],
    *,
    smallest: float = 1e-4,
    labels: tuple[str, str] = ("False accepts (FAR)", "Same pairs accepted (VAL)"),
    chance: bool = True,
) -> Figure:
    """Named (FAR, VAL) curves; the FAR axis is logarithmic, as false accepts matter by their order of magnitude.

    The first curve is the one in question; the others are drawn beside it, dashed. With other labels it shows DIR
    against FPIR as well.
    """
    with style():
        figure = Figure(figsize=(5.2, 4.2))
        axes = figure.subplots()
        for i, (name, (far, val)) in enumerate(curves.items()):
            far_T, val_T = _thinned_curve(np.maximum(np.asarray(far, float), smallest / 10), np.asarray(val, float))
            axes.step(far_T, val_T, where="post", label=name, **_line(i))
        if chance:
            by_chance = np.geomspace(smallest, 1, 50)
            axes.plot(by_chance, by_chance, color=BASELINE, linewidth=0.9, linestyle=":", label="Chance")
        axes.set(xscale="log", xlim=(smallest, 1), ylim=(0, 1.01), xlabel=labels[0], ylabel=labels[1])
        axes.xaxis.set_major_formatter(FuncFormatter(share_label))
        axes.yaxis.set_major_formatter(FuncFormatter(share_label))
        axes.grid()
        if len(axes.lines) > 1:
            axes.legend(loc="lower right")
        return figure


def det(
    curves: Mapping[str, Curve],
    *,
    smallest: float = 1e-4,
    labels: tuple[str, str] = ("False accepts (FAR)", "Same pairs rejected (FRR)"),
) -> Figure:
    """Named (FAR, VAL) curves as false rejects against false accepts, both on probit axes (Martin et al. 1997).

    Where distances of same and of different pairs are normally distributed, the curve is a straight line.
    """
    from scipy.special import ndtri

    with style():
        figure = Figure(figsize=(5.2, 4.2))
        axes = figure.subplots()
        highest = 0.5
        for i, (name, (far, val)) in enumerate(curves.items()):
            far_T, val_T = _thinned_curve(np.asarray(far, float), np.asarray(val, float))
            rates_2T = np.clip([far_T, 1 - val_T], smallest / 10, 1 - smallest / 10)
            axes.plot(*ndtri(rates_2T), label=name, **_line(i))
            if not (rates_2T < 0.4).all(0).any():  # so weak that nothing of it would be seen
                highest = 0.99
        shares = np.array([share for share in DET_SHARES if smallest <= share <= highest])[
            :: 1 if highest == 0.5 else 2
        ]
        limits = ndtri([smallest, highest])
        axes.plot(limits, limits, color=BASELINE, linewidth=0.9, linestyle=":", label="Equal errors")
        ticks, names = ndtri(shares), [share_label(share) for share in shares]
        axes.set(xlim=limits, ylim=limits, xlabel=labels[0], ylabel=labels[1])
        axes.set_xticks(ticks, names)
        axes.set_yticks(ticks, names)
        axes.grid()
        axes.legend(loc="best")
        return figure


def distance_histogram(
    same_count: ArrayLike,
    different_count: ArrayLike,
    edges: ArrayLike,
    *,
    threshold: float | None = None,
    names: tuple[str, str] = ("Same identity", "Different identities"),
) -> Figure:
    """How far apart same and different pairs lie, each as a share of its own; `edges` bound the bins."""
    with style():
        figure = Figure(figsize=(5.2, 4.2))
        axes = figure.subplots()
        edge = np.asarray(edges, dtype=float)
        for counts, color, dash, name in (
            (same_count, SAME, "-", names[0]), (different_count, DIFFERENT, "--", names[1]),
        ):  # fmt: skip
            count = np.asarray(counts, dtype=float)
            share = count / max(count.sum(), 1)
            axes.stairs(share, edge, fill=True, color=color, alpha=0.22)
            axes.stairs(share, edge, color=color, linewidth=1.6, linestyle=dash, label=name)
        if threshold is not None:
            axes.axvline(
                threshold, ymax=0.8, color=INK, linewidth=1.2, linestyle=":", label=f"Threshold {threshold:.2f}"
            )
        axes.set(xlabel="Squared L2 distance", ylabel="Share of pairs", xlim=(edge[0], edge[-1]))
        axes.yaxis.set_major_formatter(FuncFormatter(share_label))
        axes.set_ylim(bottom=0)
        axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend above all bars
        axes.legend(loc="upper left", ncols=2, fontsize=9)
        return figure


def confusion(counts_OO: ArrayLike, names: Sequence[str]) -> Figure:
    """Shares of each true class (row) by predicted class (column); small matrices carry their numbers."""
    with style():
        count_OO = np.asarray(counts_OO, dtype=float)
        share_OO = count_OO / np.maximum(count_OO.sum(1, keepdims=True), 1)
        side = min(7.0, 2.2 + 0.4 * len(names))
        figure = Figure(figsize=(side, side))
        axes = figure.subplots()
        axes.imshow(share_OO, cmap="Blues", vmin=0, vmax=1)
        if len(names) <= 30:
            axes.set_xticks(range(len(names)), [short(name, 12) for name in names], rotation=90)
            axes.set_yticks(range(len(names)), [short(name, 12) for name in names])
        if len(names) <= 12:
            for (i, j), share in np.ndenumerate(share_OO):
                if share:
                    color = "white" if share > 0.5 else "#333333"
                    axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
        axes.set(xlabel="Taken for", ylabel="Is")
        return figure


def predicted_against_true(predicted_N: ArrayLike, true_N: ArrayLike, name: str) -> Figure:
    """A point an example, and the line on which predictions are right."""
    with style():
        figure = Figure(figsize=(4.4, 4.2))
        axes = figure.subplots()
        predicted, true = np.asarray(predicted_N, dtype=float), np.asarray(true_N, dtype=float)
        step = -(-len(true) // POINTS)
        ends = [min(predicted.min(), true.min()), max(predicted.max(), true.max())]
        axes.plot(ends, ends, color=BASELINE, linewidth=1)
        axes.scatter(true[::step], predicted[::step], s=7, color=SAME, alpha=0.4, linewidths=0, rasterized=True)
        axes.set(xlabel=f"True {short(name)}", ylabel=f"Predicted {short(name)}")
        return figure


def over_rows(rows: ArrayLike, values: Mapping[str, ArrayLike], name: str) -> Figure:
    """Curves of one figure, called `name`, over the rows of a stream; the second one is the baseline."""
    with style():
        figure = Figure(figsize=(7, 2.8))
        axes = figure.subplots()
        for (label, value), color in zip(values.items(), (SAME, BASELINE), strict=True):
            axes.plot(rows, value, color=color, label=label, linestyle="-" if color == SAME else "--")
        axes.set(xlabel="Rows", ylabel=name[0].upper() + name[1:])
        axes.grid(axis="y")
        axes.margins(x=0.01)
        axes.legend()
        return figure


def _line(i: int) -> dict[str, Any]:
    if i == 0:
        return {"color": SAME}
    return {"color": (DIFFERENT, COLORS[2], COLORS[3])[(i - 1) % 3], "linestyle": "--", "linewidth": 1.4}


def _smooth(value_U: NDArray[np.float64]) -> NDArray[np.float64]:
    """A running mean over a thirtieth of the run, centered, shorter at the ends."""
    width = min(max(1, len(value_U) // 30), (len(value_U) - 1) // 2)
    kernel = np.ones(2 * width + 1)
    return np.convolve(value_U, kernel, "same") / np.convolve(np.ones_like(value_U), kernel, "same")


def _thinned_curve(
    far_T: NDArray[np.float64], val_T: NDArray[np.float64], points: int = 600
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a long curve that the eye can tell apart, evenly spread over the logarithm of the FAR."""
    if len(far_T) <= points:
        return far_T, val_T
    wanted = np.geomspace(max(far_T[0], 1e-9), max(far_T[-1], 1e-9), points)
    # of equal FARs the last one: its VAL is the highest
    keep = np.unique(np.clip(np.searchsorted(far_T, wanted, "right") - 1, 0, len(far_T) - 1))
    return far_T[keep], val_T[keep]


def share_label(value: float, _: object = None) -> str:
    """A share in percent without trailing zeros.

    Example:
        >>> share_label(0.001)
        '0.1 %'
    """
    return f"{value * 100:.6f}".rstrip("0").rstrip(".") + " %"


def short(text: str, length: int = 20) -> str:
    """A name as it can stand below a picture: on one line, and never taken for a formula. The middle of a long one is
    left out, as names are often told apart by their ends."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if len(text) > length:
        text = text[: (length - 1) // 2] + "…" + text[-(length // 2) :]
    return text.replace("$", r"\$")
