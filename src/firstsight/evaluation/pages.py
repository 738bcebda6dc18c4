"""An evaluation as a page: what stands in its report, in which order, and how each figure is read.

N pictures, D embedding, U updates.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from firstsight.data.pictures import prepare
from firstsight.evaluation import cloud, plots, sheets
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.embedded import Embedded
from firstsight.evaluation.identification import OneShot, draws
from firstsight.evaluation.pairs import Pairs
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Headline, Plot, Section, Table, write_report
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
            *skipped_tables(evaluation),
        ],
        sections=[
            *before,
            distance_section(evaluation),
            picture_section(evaluation),
            error_section(evaluation, evaluation.verification),
        ],
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
            f"{between(found.interval)}; nearest pixels: {percent(evaluation.pixels.accuracy)}",
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
        ["One-shot accuracy", percent(found.accuracy), between(found.interval)],
        ["The same by nearest pixels", percent(pixels.accuracy), between(pixels.interval)],
    ]
    val, refused = val_rows(result)
    threshold = ["Threshold for these data", f"{point.threshold:.3f}", f"at FAR {plots.share_label(point.target)}"]
    return Table(
        "Figures",
        f"{len(evaluation.pictures.names):,} identities, {len(evaluation.pictures):,} pictures; one-shot: "
        f"{found.trials} random choices of the one picture enrolled, {found.identifications:,} identifications; "
        f"{len(result.pairs.same):,} pairs. {INTERVALS} {refused}".strip(),
        ["", "Measured", "95 % interval"],
        [*rows, *val, threshold],
    )


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


def lookalike_tables(embedded: Embedded, found: OneShot) -> list[Table]:
    """The identities that were most often taken for another, if any were more than once."""
    often = [confusion for confusion in found.confusions[:10] if confusion[2] > 1]
    if not often:
        return []
    names = embedded.pictures.names
    tried_I = np.bincount(embedded.labels.numpy(), weights=found.probed)
    rows = [
        [f"{names[true]} taken for {names[other]}", f"{count:,}", percent(count / tried_I[true])]
        for true, other, count in often
    ]
    caption = "Who was taken for whom, most often first; the share is of all identifications of the first."
    return [Table("Look-alikes", caption, ["", "Times", "Share"], rows)]


def skipped_tables(embedded: Embedded) -> list[Table]:
    """The pictures that could not be read, if any: they counted as mistakes."""
    if not embedded.skipped:
        return []
    rows = [[path, reason] for path, reason in embedded.skipped[:MOST_SHOWN]]
    caption = f"{len(embedded.skipped)} in all. Each counts as a mistake: nothing was left out of the figures."
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


def verification_section(result: Verification, threshold: float | None) -> Section:
    """The same of any pairs, with a threshold where there is one."""
    at = f"; the threshold is {threshold:.2f}" if threshold is not None else ""
    histogram = Plot(
        plots.distance_histogram(*result.histogram(), threshold=threshold),
        "Pairs left of a threshold are called the same identity: orange there are false accepts, blue right of it "
        "are false rejects.",
        f"Same pairs lie around a distance of {result.mean_same:.2f}, different ones around "
        f"{result.mean_different:.2f}{at}.",
    )
    curves = {"Embedding": (result.curve.far, result.curve.val)}
    roc = Plot(
        plots.roc(curves),
        "ROC: the share of same pairs accepted, for each share of different pairs that slip through; the higher at "
        "the left, the better.",
        f"A curve from few to many false accepts, with an area of {result.auc:.3f} under it.",
    )
    det = Plot(
        plots.det(curves),
        "DET: the errors of one kind against those of the other; the nearer to the lower left corner, the better.",
        f"A falling curve that meets the line of equal errors at {percent(result.eer)}.",
    )
    return Section("How far apart", [histogram, roc, det])


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
    return Section("Seen once", [*found, *mistake_plots(evaluation, evaluation.one_shot)])


def mistake_plots(embedded: Embedded, found: OneShot) -> list[Plot]:
    """The worst mistakes of identification as pictures, if there were any."""
    labels, names = embedded.pictures.labels, embedded.pictures.names
    mistakes = various(found.mistakes, lambda mistake: (labels[mistake.probe], labels[mistake.taken_for]))
    if not mistakes:
        return []
    triples = [(mistake.probe, mistake.taken_for, mistake.right) for mistake in mistakes]
    figure = sheets.compared_sheet(
        ("Probe", "Taken for", "Is"),
        [[_pixels(embedded, i) for i in triple] for triple in triples],
        [[names[labels[i]] for i in triple] for triple in triples],
    )
    caption = (
        "The worst mistakes of all trials: the wrong picture was nearer than the right one by most. At most two are "
        "shown of any two identities."
    )
    alt = "; ".join(f"{names[labels[m.probe]]} taken for {names[labels[m.taken_for]]}" for m in mistakes)
    return [Plot(figure, caption, alt, wide=True)]


def error_section(embedded: Embedded, result: Verification) -> Section:
    """The nearest different pairs and the farthest same pairs, as pictures."""
    pairs = result.pairs
    known_N = torch.zeros(len(pairs.labels), dtype=torch.bool)
    known_N[: len(embedded.pictures)] = embedded.embeddings.isfinite().all(1)
    shown_P = known_N[pairs.left] & known_N[pairs.right]
    plots_ = []
    for same, caption in (
        (False, "The nearest pairs of different identities: the first to be accepted by mistake."),
        (True, "The farthest pairs of one identity: the first to be rejected by mistake."),
    ):
        index_Q = (shown_P & (pairs.same == same)).nonzero().flatten()
        order_Q = pairs.distances[index_Q].argsort(descending=same, stable=True)[:500]
        chosen = various(
            index_Q[order_Q].tolist(), lambda i: (int(pairs.labels[pairs.left[i]]), int(pairs.labels[pairs.right[i]]))
        )
        if chosen:
            plots_.append(_pair_plot(embedded, pairs, chosen, caption))
    return Section("Hardest pairs", plots_)


def _pair_plot(embedded: Embedded, pairs: Pairs, chosen: Sequence[int], caption: str) -> Plot:
    both = [(int(pairs.left[i]), int(pairs.right[i])) for i in chosen]
    names = [[embedded.pictures.names[embedded.pictures.labels[j]] for j in pair] for pair in both]
    texts = [[name[0], f"{name[1]} at {pairs.distances[i]:.2f}"] for i, name in zip(chosen, names, strict=True)]
    figure = sheets.compared_sheet(("", ""), [[_pixels(embedded, j) for j in pair] for pair in both], texts)
    alt = "; ".join(f"{one}, {other}" for one, other in texts)
    return Plot(figure, f"{caption} At most two are shown of any two identities.", alt, wide=True)


def various(items: Iterable[Item], kind: Callable[[Item], Hashable], *, most: int = 8, alike: int = 2) -> list[Item]:
    """The first `most` of the items, passing over those of a kind of which `alike` were taken."""
    taken: Counter[Hashable] = Counter()
    chosen = []
    for item in items:
        taken[kind(item)] += 1
        if taken[kind(item)] <= alike:
            chosen.append(item)
    return chosen[:most]


def footer(embedded: Embedded) -> str:
    """Which model, on which data."""
    return f"Model {embedded.model.name} ({embedded.model.identity[:12]}), pictures {embedded.pictures.source}."


def percent(share: float | None) -> str:
    """A share in percent, with one decimal; a dash for None.

    Example:
        >>> percent(0.9642)
        '96.4 %'
    """
    return "–" if share is None else f"{share:.1%}".replace("%", " %")


def between(interval: Interval) -> str:
    """An interval in percent."""
    return f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"


def _pixels(embedded: Embedded, index: int) -> NDArray[np.uint8]:
    pixels_CHW = prepare(embedded.pictures.picture(index), embedded.model.config.preprocessing).numpy()
    return pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
