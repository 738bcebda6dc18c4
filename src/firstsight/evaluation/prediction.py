"""How good predictions are: of classes, and of numbers.

N examples, O outputs (classes or target columns).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from firstsight.errors import UserError
from firstsight.evaluation import plots
from firstsight.evaluation.bounds import Interval, binomial_interval
from firstsight.evaluation.report import Headline, Plot, Section, Table

WORST = 12


@dataclass(frozen=True, eq=False)
class Classified:
    """Predicted against true classes. The interval of the accuracy is exact binomial, 95 %.

    `worst` are the examples whose wrong class was preferred to the right one by most, each with that class.
    """

    accuracy: float
    interval: Interval
    confusion_OO: Int64[Tensor, "O O"]
    names: tuple[str, ...]
    worst: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Regressed:
    """Predicted against true numbers, by target column: R², root of the mean squared error, mean absolute error."""

    predicted_NO: Float[Tensor, "N O"]
    true_NO: Float[Tensor, "N O"]
    names: tuple[str, ...]
    r2: tuple[float, ...]
    rmse: tuple[float, ...]
    mae: tuple[float, ...]


def classified(scores_NO: Float[Tensor, "N O"], labels_N: Int64[Tensor, "N"], names: tuple[str, ...]) -> Classified:
    """Measure scores, the larger the likelier, against the true classes.

    Raises:
        UserError: no examples.
    """
    if not len(labels_N):
        raise UserError("There is nothing to measure: no examples.", hint="Give held-out examples with --val.")
    guess_N = scores_NO.argmax(1)
    right = int((guess_N == labels_N).sum())
    count = len(names)
    confusion_OO = torch.bincount(labels_N * count + guess_N, minlength=count * count).view(count, count)
    excess_N = scores_NO.amax(1) - scores_NO.gather(1, labels_N[:, None])[:, 0]
    order = excess_N.argsort(descending=True, stable=True).tolist()
    wrong = [(i, int(guess_N[i])) for i in order if guess_N[i] != labels_N[i]]
    return Classified(
        right / len(labels_N), binomial_interval(right, len(labels_N)), confusion_OO, names, tuple(wrong[:WORST])
    )


def regressed(predicted_NO: Float[Tensor, "N O"], true_NO: Float[Tensor, "N O"], names: tuple[str, ...]) -> Regressed:
    """Measure numbers against the true ones. R² of a constant target is 0 unless it is met exactly.

    Raises:
        UserError: no examples.
    """
    if not len(true_NO):
        raise UserError("There is nothing to measure: no examples.", hint="Give held-out examples with --val.")
    error_NO = predicted_NO.double() - true_NO.double()
    square_O = error_NO.square().sum(0)
    total_O = (true_NO.double() - true_NO.double().mean(0)).square().sum(0)
    r2_O = torch.where(total_O > 0, 1 - square_O / total_O.clamp(min=1e-300), (square_O == 0).double())
    return Regressed(
        predicted_NO,
        true_NO,
        names,
        tuple(r2_O.tolist()),
        tuple((square_O / len(true_NO)).sqrt().tolist()),
        tuple(error_NO.abs().mean(0).tolist()),
    )


def class_figures(result: Classified) -> dict[str, float | int]:
    """Flat figures, as fractions."""
    return {
        "accuracy": result.accuracy,
        "accuracy_low": result.interval.low,
        "accuracy_high": result.interval.high,
        "error": 1 - result.accuracy,
        "examples": int(result.confusion_OO.sum()),
    }


def number_figures(result: Regressed) -> dict[str, float | int]:
    """Flat figures; with several targets each under its own name, and `r2` is their mean."""
    figures: dict[str, float | int] = {"r2": sum(result.r2) / len(result.r2), "examples": len(result.true_NO)}
    several = len(result.names) > 1
    for i, name in enumerate(result.names):
        suffix = f"_{name}" if several else ""
        figures |= {f"r2{suffix}": result.r2[i], f"rmse{suffix}": result.rmse[i], f"mae{suffix}": result.mae[i]}
    return figures


def class_headline(result: Classified) -> Headline:
    low, high = (f"{100 * share:.2f}" for share in (result.interval.low, result.interval.high))
    return Headline("Held-out accuracy", f"{result.accuracy:.2%}", f"{low} to {high} %, exact binomial")


def class_table(result: Classified) -> Table:
    """Right and wrong, class by class."""
    rows = []
    for i, name in enumerate(result.names):
        total, right = int(result.confusion_OO[i].sum()), int(result.confusion_OO[i, i])
        rows.append([name, f"{total:,}", f"{right / total:.1%}" if total else "–"])
    caption = f"{int(result.confusion_OO.sum()):,} held-out examples; in all {result.accuracy:.2%} are right."
    return Table("Classes", caption, ["Class", "Examples", "Recognized"], rows)


def _number(value: float) -> str:
    """Four digits, but all of a large whole part."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def number_table(result: Regressed) -> Table:
    """The figures of each target column."""
    rows = [
        [name, f"{r2:.4f}", _number(rmse), _number(mae)]
        for name, r2, rmse, mae in zip(result.names, result.r2, result.rmse, result.mae, strict=True)
    ]
    caption = f"{len(result.true_NO):,} held-out examples. RMSE and MAE are in the target's own unit."
    return Table("Figures", caption, ["Target", "R²", "RMSE", "MAE"], rows)


def confusion_section(result: Classified) -> Section:
    caption = "Each row is a true class, each column what it was taken for, as a share of the row."
    alt = f"A matrix of {len(result.names)} classes; the diagonal holds {result.accuracy:.1%} of the examples."
    return Section("What is taken for what", [Plot(plots.confusion(result.confusion_OO, result.names), caption, alt)])


def scatter_section(result: Regressed) -> Section:
    found = []
    for i, name in enumerate(result.names):
        figure = plots.predicted_against_true(result.predicted_NO[:, i], result.true_NO[:, i], name)
        caption = f"{name}: each point is a held-out example; on the line the prediction is right."
        found.append(Plot(figure, caption, f"Points around the diagonal, R² {result.r2[i]:.3f}."))
    return Section("Predicted against true", found)
