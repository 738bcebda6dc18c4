"""Prequential figures: each arrival is predicted before it is learned, and what is right then counts.

Beside them stand those of no-change, which says that the last label repeats: on streams whose labels come in runs it is
hard to beat, and an accuracy alone hides that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.evaluation import plots
from firstsight.evaluation.report import Headline, Plot, Section, Table

ERROR, NO_CHANGE, LOSS = range(3)
Array = NDArray[Any]


class Prequential:
    """Errors so far, and over the last `window` arrivals whose label came.

    An error is 0 or 1 for a class, and the absolute error for a number; the loss is ½‖L(x) − o‖².
    """

    def __init__(self, window: int, *, classes: bool) -> None:
        self.classes = classes
        self.rows = 0
        self.sums = np.zeros(3)
        self.recent = np.zeros((3, window))

    def add(self, error_B: Array, no_change_B: Array, loss_B: Array) -> None:
        """The figures of arrivals whose label came."""
        found = np.empty((3, len(error_B)))
        found[ERROR], found[NO_CHANGE], found[LOSS] = error_B, no_change_B, loss_B
        window = self.recent.shape[1]
        start = self.rows % window
        if start + len(error_B) <= window:
            self.recent[:, start : start + len(error_B)] = found
        else:
            self.recent[:, (start + np.arange(len(error_B))) % window] = found
        self.sums += found.sum(1)
        self.rows += len(error_B)

    def figures(self) -> dict[str, float | int | None]:
        """Since the start, and over the window under `window_` names; None before the first label.

        Of classes: accuracy, error, loss, no_change_accuracy and kappa_temporal (Bifet et al. 2013), which is 1 where
        every arrival is right and 0 where no-change does as well. Of numbers mae, no_change_mae and
        skill_temporal = 1 − mae / no_change_mae in their place.
        """
        window = min(self.rows, self.recent.shape[1])
        whole = self._named(self.sums / max(self.rows, 1), "")
        return {"rows": self.rows, **whole, **self._named(self.recent[:, :window].sum(1) / max(window, 1), "window_")}

    def _named(self, mean: Array, prefix: str) -> dict[str, float | None]:
        error, no_change, loss = (float(value) for value in mean)
        skill = 1 - error / no_change if no_change else None
        found = {"error": error, "loss": loss, "kappa_temporal": skill} if self.classes else {
            "mae": error, "loss": loss, "no_change_mae": no_change, "skill_temporal": skill
        }  # fmt: skip
        if self.classes:
            found = {"accuracy": 1 - error, **found, "no_change_accuracy": 1 - no_change}
        return {f"{prefix}{name}": value if self.rows else None for name, value in found.items()}


def class_errors(score_BO: Array, no_change_B: Array, label_B: Array) -> tuple[Array, Array, Array]:
    """Error, that of no-change, and loss of each row. Of a class that had no score yet, every guess is wrong."""
    outputs = score_BO.shape[1]
    if not outputs:
        return np.ones(len(label_B)), no_change_B != label_B, np.full(len(label_B), 0.5)
    own_B = score_BO[np.arange(len(label_B)), np.minimum(label_B, outputs - 1)] * (label_B < outputs)
    loss_B = 0.5 * (np.einsum("bo,bo->b", score_BO, score_BO) - 2 * own_B + 1)
    return score_BO.argmax(1) != label_B, no_change_B != label_B, loss_B


def number_errors(output_B: Array, scale_B2: Array, no_change_B: Array, label_B: Array) -> tuple[Array, Array, Array]:
    """The same of numbers, where outputs are in standard deviations from a mean; the loss is too."""
    mean_B, std_B = scale_B2.T
    error_B = np.abs(output_B * std_B + mean_B - label_B)
    return error_B, np.abs(no_change_B - label_B), 0.5 * np.square(error_B / std_B)


def headlines(figures: dict[str, Any]) -> list[Headline]:
    """The figure to remember, beside the baseline."""
    if "accuracy" in figures:
        value, beside = _share(figures["accuracy"]), _share(figures["no_change_accuracy"])
        return [Headline("Prequential accuracy", value, f"no-change: {beside}")]
    return [Headline("Mean absolute error", _number(figures["mae"]), f"no-change: {_number(figures['no_change_mae'])}")]


def table(figures: dict[str, Any]) -> Table:
    """All figures, since the start and over the window."""
    names = [name for name in figures if f"window_{name}" in figures]
    rows = [[name.replace("_", " "), _number(figures[name]), _number(figures[f"window_{name}"])] for name in names]
    caption = f"{figures['rows']:,} arrivals, each predicted before it was learned."
    return Table("Figures", caption, ["Figure", "Since the start", "Window"], rows)


def curve_section(lines: list[dict[str, Any]]) -> Section:
    """The error over the window, beside that of no-change, as rows come."""
    key, flip = ("window_accuracy", True) if lines and "window_accuracy" in lines[0] else ("window_mae", False)
    beside = "window_no_change_accuracy" if flip else "window_no_change_mae"
    shown = [line for line in lines if line.get(key) is not None]
    if len(shown) < 2:
        return Section("How it went", [])
    rows = [line["rows"] for line in shown]
    name = "accuracy" if flip else "mean absolute error"
    figure = plots.over_rows(rows, {"learned": [x[key] for x in shown], "no-change": [x[beside] for x in shown]}, name)
    caption = f"The {name} over the window, as rows came."
    alt = f"The {name} of {len(rows)} windows, from {shown[0][key]:.3f} to {shown[-1][key]:.3f}."
    return Section("How it went", [Plot(figure, caption, alt, wide=True)])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
