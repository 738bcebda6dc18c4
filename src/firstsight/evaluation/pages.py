"""An evaluation as a page: what stands in its report, in which order, and how each figure is read.

N pictures, D embedding, U updates.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from firstsight.data.pictures import prepare
from firstsight.evaluation import cloud, plots, sheets
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.identification import Mistake, draws
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Headline, Plot, Section, Table, write_report

MOST_SHOWN = 20


def write_evaluation(
    folder: str | Path,
    evaluation: Evaluation,
    *,
    title: str,
    summary: str,
    before: Sequence[Section] = (),
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Write report.html and report.json of an evaluation; `before` comes first among the sections.

    `data` adds numbers to those of the evaluation. The path of report.html is returned.

    Raises:
        StorageError: the folder cannot be written.
    """
    return write_report(
        folder,
        title=title,
        summary=summary,
        headlines=headlines(evaluation),
        tables=[figures_table(evaluation), *skipped_tables(evaluation)],
        sections=[*before, distance_section(evaluation), picture_section(evaluation)],
        data={**evaluation.to_json(), **(data or {})},
        footer=footer(evaluation),
    )


def headlines(evaluation: Evaluation) -> list[Headline]:
    """One-shot accuracy beside that of pixels, the area under the curve, and the tightest VAL@FAR supported."""
    found, result = evaluation.one_shot, evaluation.verification
    tiles = [
        Headline(
            f"One-shot accuracy among {found.ways} identities",
            percent(found.accuracy),
            f"{_between(found.interval)}; nearest pixels: {percent(evaluation.pixels.accuracy)}",
        ),
        Headline("ROC AUC", f"{result.auc:.3f}", f"{len(result.pairs.same):,} pairs of pictures"),
    ]
    supported = [point for point in result.val_at_far if point.val is not None]
    if supported:
        tightest = supported[-1]
        far = plots.share_label(tightest.target)
        note = f"of same pairs accepted where at most {far} of different ones are"
        tiles.append(Headline(f"VAL at FAR {far}", percent(tightest.val or 0.0), note))
    return tiles


def figures_table(evaluation: Evaluation) -> Table:
    """All figures with their intervals, and why some are missing."""
    found, pixels, result = evaluation.one_shot, evaluation.pixels, evaluation.verification
    point = evaluation.operating_point
    rows = [
        ["One-shot accuracy", percent(found.accuracy), _between(found.interval)],
        ["The same by nearest pixels", percent(pixels.accuracy), _between(pixels.interval)],
        ["ROC AUC", f"{result.auc:.4f}", f"{result.auc_interval.low:.4f} to {result.auc_interval.high:.4f}"],
        ["Equal error rate", percent(result.eer), _between(result.eer_interval)],
    ]
    for val in result.val_at_far:
        name = f"VAL at FAR {plots.share_label(val.target)}"
        rows.append([name, percent(val.val), _between(val.interval)] if val.interval else [name, "–", "too few pairs"])
    rows.append(["Threshold", f"{point.threshold:.3f}", f"at FAR {plots.share_label(point.target)}"])
    refused = next((val.refused for val in result.val_at_far if val.refused), "")
    return Table(
        "Figures",
        f"{len(evaluation.pictures.names):,} identities, {len(evaluation.pictures):,} pictures; one-shot: "
        f"{found.trials} random choices of the one picture enrolled, {found.identifications:,} identifications; "
        f"{len(result.pairs.same):,} pairs. Intervals are 95 %, over identities. {refused}".strip(),
        ["", "Measured", "95 % interval"],
        rows,
    )


def skipped_tables(evaluation: Evaluation) -> list[Table]:
    """The pictures that could not be read, if any: they counted as mistakes."""
    if not evaluation.skipped:
        return []
    rows = [[path, reason] for path, reason in evaluation.skipped[:MOST_SHOWN]]
    caption = f"{len(evaluation.skipped)} in all. Each counts as a mistake: nothing was left out of the figures."
    return [Table("Pictures that could not be read", caption, ["Picture", "Why"], rows)]


def learning_section(loss_U: ArrayLike, active_U: ArrayLike) -> Section:
    """The loss and the share of active triplets of each update."""
    caption = (
        "Each update lowers the loss (equation 2-7); below, the share of triplets that still violate the margin: those "
        "that there is something to learn from. The bold line is a running mean."
    )
    losses = np.asarray(loss_U, dtype=float)
    alt = f"The loss over {len(losses)} updates, from {losses[0]:.3f} to {losses[-1]:.3f}, above the active triplets."
    return Section("How it learned", [Plot(plots.training_curves(losses, active_U), caption, alt, wide=True)])


def embedding_section(
    evaluation: Evaluation, untrained_ND: Float[Tensor, "N D"], *, unseen: Sequence[str] = ()
) -> Section:
    """The same pictures as the network saw them before and after training, with one triplet marked."""
    after_ND = evaluation.embeddings.double().numpy()
    before_ND = untrained_ND.double().numpy()
    known_N = np.isfinite(after_ND).all(1) & np.isfinite(before_ND).all(1)
    labels_N = np.array(evaluation.pictures.labels)[known_N]
    before_ND, after_ND = before_ND[known_N], after_ND[known_N]
    triplet = cloud.telling_triplet(before_ND, after_ND, labels_N)
    figure = cloud.embedding(
        {"Before training": before_ND, "After training": after_ND},
        labels_N,
        evaluation.pictures.names,
        unseen=unseen,
        triplet=triplet,
    )
    caption = (
        "Each point is a picture, its embedding flattened to the two directions in which the pictures differ most. "
        "Training moves a positive p towards its anchor a and a negative n away from it."
    )
    if unseen:
        caption += f" The colored ones were never trained on: {', '.join(unseen[:MOST_SHOWN])}."
    alt = f"Two clouds of {len(labels_N)} points, mixed before training, grouped by identity after it."
    return Section("What it learned", [Plot(figure, caption, alt, wide=True)])


def distance_section(evaluation: Evaluation) -> Section:
    """Histogram of distances with the threshold, and ROC."""
    result, point = evaluation.verification, evaluation.operating_point
    histogram = Plot(
        plots.distance_histogram(*result.histogram(), threshold=point.threshold),
        "Pairs left of the threshold are called the same identity: orange there are false accepts, blue right of it "
        "are false rejects.",
        f"Same pairs lie around a distance of {result.mean_same:.2f}, different ones around "
        f"{result.mean_different:.2f}; the threshold is {point.threshold:.2f}.",
    )
    roc = Plot(
        plots.roc({"Embedding": (result.curve.far, result.curve.val)}),
        "The share of same pairs accepted, for each share of different pairs that slip through: the higher at the "
        "left, the better.",
        f"A curve from few to many false accepts, with an area of {result.auc:.3f} under it.",
    )
    return Section("How far apart", [histogram, roc])


def picture_section(evaluation: Evaluation) -> Section:
    """The pictures enrolled in the first trial, and the worst mistakes of all trials."""
    names, labels = evaluation.pictures.names, evaluation.pictures.labels
    enrolled_C, _ = draws(evaluation.labels, trials=1, seed=evaluation.seed)[0]
    shown = [int(i) for i in enrolled_C if evaluation.readable(int(i))][:MOST_SHOWN]
    rows = [shown[start : start + 10] for start in range(0, len(shown), 10)]
    sheet = sheets.picture_sheet(
        [[_pixels(evaluation, i) for i in row] for row in rows], [[names[labels[i]] for i in row] for row in rows]
    )
    alt = f"One picture each of {', '.join(names[labels[i]] for i in shown)}."
    found = [Plot(sheet, "What was enrolled in the first trial: one picture of each identity.", alt, wide=True)]
    if mistakes := _various(evaluation):
        triples = [(m.probe, m.taken_for, m.right) for m in mistakes]
        figure = sheets.compared_sheet(
            ("Probe", "Taken for", "Is"),
            [tuple(_pixels(evaluation, i) for i in triple) for triple in triples],
            [tuple(names[labels[i]] for i in triple) for triple in triples],
        )
        caption = (
            "The worst mistakes of all trials: the wrong picture was nearer than the right one by most. "
            "At most two are shown of any two identities."
        )
        alt = "; ".join(f"{names[labels[m.probe]]} taken for {names[labels[m.taken_for]]}" for m in mistakes)
        found.append(Plot(figure, caption, alt, wide=True))
    return Section("Seen once", found)


def footer(evaluation: Evaluation) -> str:
    """Which model, on which data."""
    return f"Model {evaluation.model.name} ({evaluation.model.identity[:12]}), pictures {evaluation.pictures.source}."


def percent(share: float | None) -> str:
    """A share in percent, with one decimal; a dash for None.

    Example:
        >>> percent(0.9642)
        '96.4 %'
    """
    return "–" if share is None else f"{share:.1%}".replace("%", " %")


def _between(interval: Interval) -> str:
    return f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"


def _various(evaluation: Evaluation, *, most: int = 8, alike: int = 2) -> list[Mistake]:
    """The worst mistakes, but not all of the same two identities."""
    labels = evaluation.pictures.labels
    shown: Counter[tuple[int, int]] = Counter()
    chosen = []
    for mistake in evaluation.one_shot.mistakes:
        kind = labels[mistake.probe], labels[mistake.taken_for]
        shown[kind] += 1
        if shown[kind] <= alike:
            chosen.append(mistake)
    return chosen[:most]


def _pixels(evaluation: Evaluation, index: int) -> NDArray[np.uint8]:
    pixels_CHW = prepare(evaluation.pictures.picture(index), evaluation.model.config.preprocessing).numpy()
    return pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
