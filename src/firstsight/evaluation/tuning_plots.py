"""What trials have shown, as figures.

T trials, S points of a curve, U updates, N names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from firstsight.evaluation.plots import BASELINE, COLORS, DIFFERENT, SAME, short, style

TICKS = 5


@dataclass(frozen=True)
class Axis:
    """One axis of parallel coordinates: a value a trial, NaN where the setting had no effect in it.

    With `names`, values are positions in that list.
    """

    name: str
    value_T: Sequence[float]
    log: bool = False
    names: Sequence[str] = ()


def parallel_coordinates(axes: Sequence[Axis], value_T: ArrayLike, objective: str, *, larger_is_better: bool) -> Figure:
    """A line a trial through its settings to its figure, on the last axis: the best one stands out, the better third
    is blue. NaN is a trial that was pruned: its line ends before."""
    with style():
        figure = Figure(figsize=(max(6.0, 1.3 * (len(axes) + 1)), 4.4))
        plot = figure.subplots()
        everything = [*axes, Axis(objective, list(np.asarray(value_T, dtype=float)))]
        height_AT = np.array([_heights(axis) for axis in everything])
        sign = -1 if larger_is_better else 1
        from_best_T = np.argsort(sign * np.asarray(everything[-1].value_T))  # NaN comes last
        better = -(-np.isfinite(everything[-1].value_T).sum() // 3)
        for place, trial in reversed(list(enumerate(from_best_T))):
            color, alpha, width = (SAME, 0.75, 1.2) if place < better else (BASELINE, 0.35, 0.8)
            if place == 0:
                color, alpha, width = DIFFERENT, 1.0, 2.4
            plot.plot(height_AT[:, trial], color=color, alpha=alpha, linewidth=width)
        for position, axis in enumerate(everything):
            plot.axvline(position, linewidth=0.6, color=BASELINE)
            for height, text in _ticks(axis):
                plot.text(position + 0.03, height, text, fontsize=8, va="center")
        plot.set_xticks(range(len(everything)), [short(axis.name, 16) for axis in everything])
        plot.set(xlim=(-0.1, len(everything) - 0.55), ylim=(-0.05, 1.05))
        plot.yaxis.set_visible(False)
        plot.spines[["left", "bottom"]].set_visible(False)
        return figure


def importance_bars(importance: Mapping[str, float]) -> Figure:
    """The share of each setting (0 ... 1), largest first."""
    with style():
        figure = Figure(figsize=(5.2, 0.9 + 0.36 * len(importance)))
        axes = figure.subplots()
        names = list(importance)[::-1]
        axes.barh(range(len(names)), [importance[name] for name in names], color=SAME, height=0.6)
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        axes.set(xlabel="Importance", xlim=(0, None))
        return figure


def figures_by_trial(
    number_T: ArrayLike, value_T: ArrayLike, pruned_T: ArrayLike, *, objective: str, larger_is_better: bool
) -> Figure:
    """The figure of each trial in the order in which they began, and the best one up to each."""
    with style():
        figure = Figure(figsize=(7, 3.2))
        axes = figure.subplots()
        number, value, pruned = np.asarray(number_T), np.asarray(value_T, dtype=float), np.asarray(pruned_T, dtype=bool)
        axes.scatter(number[pruned], value[pruned], s=16, marker="x", color=BASELINE, linewidths=1, label="Pruned")
        axes.scatter(number[~pruned], value[~pruned], s=18, color=SAME, linewidths=0, label="Complete")
        if (~pruned).any():
            best = (np.maximum if larger_is_better else np.minimum).accumulate(value[~pruned])
            axes.step(number[~pruned], best, where="post", color=DIFFERENT, linewidth=1.4, label="Best so far")
        axes.set(xlabel="Trial", ylabel=short(objective))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=9)
        return figure


def validation_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    others: Sequence[tuple[ArrayLike, ArrayLike]],
    figure_name: str,
) -> Figure:
    """Held-out figures over the share of the run that is done: named curves in color, all others in gray."""
    with style():
        figure = Figure(figsize=(7, 3.6))
        axes = figure.subplots()
        for done_S, value_S in others:
            axes.plot(done_S, value_S, color=BASELINE, alpha=0.35, linewidth=0.8)
        for (name, (done_S, value_S)), color in zip(curves.items(), COLORS, strict=False):
            axes.plot(done_S, value_S, color=color, marker=".", label=name)
        axes.set(xlabel="Share of the run", ylabel=short(figure_name), xlim=(0, 1))
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=9)
        return figure


def range_curve(rate_U: ArrayLike, loss_U: ArrayLike, *, low: float, high: float, proposal: float) -> Figure:
    """The loss over the learning rate; the rates from `low` to `high` are shaded."""
    with style():
        figure = Figure(figsize=(7, 3.6))
        axes = figure.subplots()
        rate, loss = np.asarray(rate_U, dtype=float), np.asarray(loss_U, dtype=float)
        axes.axvspan(low, high, color=SAME, alpha=0.12, linewidth=0)
        axes.axvline(proposal, color=DIFFERENT, linewidth=1.4, linestyle="--", label=f"Proposed η = {proposal:.2g}")
        axes.plot(rate, loss, color=SAME)
        top = float(np.median(loss[: max(1, len(loss) // 10)]))
        axes.set(xscale="log", xlabel="Learning rate η", ylabel="Loss", xlim=(rate[0], rate[-1]))
        axes.set_ylim(bottom=max(0.0, float(loss.min()) - 0.1 * top), top=1.6 * top)
        axes.grid()
        axes.legend(loc="upper left", fontsize=9)
        return figure


def _heights(axis: Axis) -> NDArray[np.float64]:
    """Where each value stands on an axis of length 1; the middle where all are alike."""
    low, high, scaled_T = _scaled(axis)
    return (scaled_T - low) / (high - low) if high > low else np.where(np.isfinite(scaled_T), 0.5, np.nan)


def _scaled(axis: Axis) -> tuple[float, float, NDArray[np.float64]]:
    value_T = np.asarray(axis.value_T, dtype=float)
    scaled_T = np.log10(value_T) if axis.log else value_T
    if axis.names:
        return 0.0, float(len(axis.names) - 1), scaled_T
    return float(np.nanmin(scaled_T)), float(np.nanmax(scaled_T)), scaled_T


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if axis.names:
        last = max(len(axis.names) - 1, 1)
        return [(position / last, short(name, 14)) for position, name in enumerate(axis.names)]
    low, high, _ = _scaled(axis)
    if not high > low:
        return [(0.5, f"{10**low if axis.log else low:.3g}")]
    at = np.linspace(low, high, TICKS)
    return [((tick - low) / (high - low), f"{10**tick if axis.log else tick:.3g}") for tick in at]
