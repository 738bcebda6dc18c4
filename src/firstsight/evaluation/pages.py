"""An evaluation as a page: what stands in its report, in which order, and how each figure is read.

N pictures, D embedding, U updates.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from firstsight.data.cache import Skipped
from firstsight.evaluation import cloud, plots, sheets
from firstsight.evaluation.embedded import Embedded
from firstsight.evaluation.identification import OneShot, draws
from firstsight.evaluation.pixels import LEFT_OUT
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Headline, Plot, Section, Table, write_report
from firstsight.evaluation.sections import (
    between,
    cloud_section,
    error_section,
    lookalike_section,
    lookalike_tables,
    mistake_plots,
    percent,
    pixels_of,
    verification_section,
)
from firstsight.evaluation.verification import Verification

MOST_SHOWN = 20
INTERVALS = (
    "Intervals are 95 %: of areas and equal error rates, the bootstrap over identities; of shares, the wider of it and "
    "the exact binomial over pictures."
)
Item = TypeVar("Item")


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
        tables=[
            figures_table(evaluation),
            *lookalike_tables(evaluation, evaluation.one_shot),
            *skipped_tables(evaluation.skipped),
        ],
        sections=[
            *before,
            distance_section(evaluation),
            picture_section(evaluation),
            lookalike_section(evaluation, evaluation.one_shot),
            error_section(evaluation, evaluation.verification.pairs),
            cloud_section(evaluation, evaluation.one_shot),
        ],
        data={**evaluation.to_json(), **(data or {})},
        footer=footer(evaluation),
    )


def headlines(evaluation: Evaluation) -> list[Headline]:
    """One-shot accuracy beside that of pixels, the area under the curve, and the tightest VAL@FAR supported."""
    found, result = evaluation.one_shot, evaluation.verification
    pixels = percent(evaluation.pixels.accuracy) if evaluation.pixels else "left out"
    tiles = [
        Headline(
            f"One-shot accuracy among {found.ways} identities",
            percent(found.accuracy),
            f"{between(found.interval)}; nearest pixels: {pixels}",
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
    found, result = evaluation.one_shot, evaluation.verification
    point = evaluation.operating_point
    rows = [
        ["One-shot accuracy", percent(found.accuracy), between(found.interval)],
        pixel_row(evaluation.pixels),
    ]
    val, refused = val_rows(result)
    left_out = "" if evaluation.pixels else f"{LEFT_OUT} "
    threshold = ["Threshold for these data, 1:1", f"{point.threshold:.3f}", f"FAR up to {percent(point.at(1).bound)}"]
    return Table(
        "Figures",
        f"{len(evaluation.pictures.names):,} identities, {len(evaluation.pictures):,} pictures; one-shot: "
        f"{found.trials} random choices of the one picture enrolled, {found.identifications:,} identifications; "
        f"{len(result.pairs.same):,} pairs. {left_out}{INTERVALS} {refused}".strip(),
        ["", "Measured", "95 % interval"],
        [*rows, *val, threshold],
    )


def pixel_row(pixels: OneShot | None) -> list[str]:
    """The baseline without learning."""
    name = "The same by nearest pixels"
    return [name, percent(pixels.accuracy), between(pixels.interval)] if pixels else [name, "–", "left out"]


def val_rows(result: Verification) -> tuple[list[list[str]], str]:
    """Rows of AUC, equal error rate and VAL at each FAR, and the first reason why one of them is missing."""
    rows = [
        ["ROC AUC", f"{result.auc:.4f}", f"{result.auc_interval.low:.4f} to {result.auc_interval.high:.4f}"],
        ["Average precision", percent(result.average_precision), between(result.average_precision_interval)],
        ["Equal error rate", percent(result.eer), between(result.eer_interval)],
    ]
    for val in result.val_at_far:
        name = f"VAL at FAR {plots.share_label(val.target)}"
        rows.append([name, percent(val.val), between(val.interval)] if val.interval else [name, "–", "too few pairs"])
    if result.own:
        at = f"at the model's own threshold {result.own.threshold:.3f}"
        rows += [
            [f"VAL {at}", percent(result.own.val), between(result.own.val_interval)],
            [f"FAR {at}", percent(result.own.far), between(result.own.far_interval)],
        ]
    return rows, next((val.refused for val in result.val_at_far if val.refused), "")


def skipped_tables(skipped: Sequence[Skipped]) -> list[Table]:
    """The pictures that could not be read, if any: they counted as mistakes."""
    if not skipped:
        return []
    rows = [[path, reason] for path, reason in skipped[:MOST_SHOWN]]
    caption = f"{len(skipped)} in all. Each counts as a mistake: nothing was left out of the figures."
    return [Table("Pictures that could not be read", caption, ["Picture", "Why"], rows)]


def learning_section(loss_U: ArrayLike, active_U: ArrayLike = ()) -> Section:
    """The loss of each update, and for triplets the share that is active."""
    losses = np.asarray(loss_U, dtype=float)
    caption = "The loss of each update; the bold line is a running mean."
    alt = f"The loss over {len(losses)} updates, from {losses[0]:.3f} to {losses[-1]:.3f}."
    if np.size(active_U):
        caption += (
            " It is the mean over the active triplets, so it may stay level while there are fewer and fewer of them. "
            "Below, their share: those that still violate the margin (equation 2-7)."
        )
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


def mistaken_section(pictures: Sequence[Tensor], captions: Sequence[str]) -> Section:
    """Pictures (uint8, C x H x W) that were put into a wrong class, each with its caption."""
    shown = [picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy() for picture in pictures]
    rows = [shown[start : start + 6] for start in range(0, len(shown), 6)]
    texts = [list(captions[start : start + 6]) for start in range(0, len(shown), 6)]
    caption = "The held-out pictures whose wrong class was preferred to the right one by most."
    alt = f"{len(shown)} pictures: {', '.join(captions)}."
    return Section("The worst mistakes", [Plot(sheets.picture_sheet(rows, texts), caption, alt, wide=True)])


def distance_section(evaluation: Evaluation) -> Section:
    """Histogram of distances with the threshold, ROC and DET."""
    return verification_section(evaluation.verification, evaluation.operating_point.threshold)


def picture_section(evaluation: Evaluation) -> Section:
    """The pictures enrolled in the first trial, and the worst mistakes of all trials."""
    names, labels = evaluation.pictures.names, evaluation.pictures.labels
    enrolled_C, _ = draws(evaluation.labels, trials=1, seed=evaluation.seed)[0]
    shown = [int(i) for i in enrolled_C if evaluation.readable(int(i))][:MOST_SHOWN]
    rows = [shown[start : start + 10] for start in range(0, len(shown), 10)]
    sheet = sheets.picture_sheet(
        [[pixels_of(evaluation, i) for i in row] for row in rows], [[names[labels[i]] for i in row] for row in rows]
    )
    alt = f"One picture each of {', '.join(names[labels[i]] for i in shown)}."
    caption = "What was enrolled in the first trial: one picture of each identity."
    return Section("Seen once", [Plot(sheet, caption, alt, wide=True), *mistake_plots(evaluation, evaluation.one_shot)])


def footer(embedded: Embedded) -> str:
    """Which model, on which data."""
    return f"Model {embedded.model.name} ({embedded.model.identity[:12]}), pictures {embedded.pictures.source}."
