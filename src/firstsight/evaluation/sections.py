"""What reports show of any protocol: distances, look-alikes, the worst mistakes, the pictures as a cloud.

N pictures, D embedding.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from firstsight.data.pictures import prepare
from firstsight.evaluation import cloud, plots, sheets
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.embedded import Embedded
from firstsight.evaluation.identification import OneShot
from firstsight.evaluation.open_set import OpenSet
from firstsight.evaluation.pairs import Pairs
from firstsight.evaluation.report import Plot, Section, Table
from firstsight.evaluation.retrieval import Retrieval
from firstsight.evaluation.verification import Verification

Recognition = OneShot | Retrieval | OpenSet
"""What knows who was taken for whom."""
MATRIX = 12
"""Look-alikes shown as a matrix."""
Item = TypeVar("Item")


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


def lookalike_tables(embedded: Embedded, found: Recognition) -> list[Table]:
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


def lookalike_section(embedded: Embedded, found: Recognition) -> Section:
    """Who is taken for whom, as a matrix; without plots if nobody was."""
    shown = lookalikes(found)
    if not shown:
        return Section("Confusion", [])
    place = {label: i for i, label in enumerate(shown)}
    recognized_I = np.bincount(embedded.labels.numpy(), weights=found.recognized)
    counts_OO = np.diag(recognized_I[shown])
    for true, other, count in found.confusions:
        if true in place and other in place:
            counts_OO[place[true], place[other]] = count
    names = [embedded.pictures.names[label] for label in shown]
    caption = (
        f"The {len(shown)} identities that are most often confused: in each row, percent of the times that this one "
        "was taken for one of them."
    )
    alt = f"A matrix of {', '.join(names)}."
    return Section("Confusion", [Plot(plots.confusion(counts_OO, names), caption, alt)])


def lookalikes(found: Recognition) -> list[int]:
    """The labels in the most frequent confusions, as many as a matrix shows; what happened once counts for nothing."""
    shown: dict[int, None] = {}
    for true, other, count in found.confusions:
        if count < 2 or len(shown | {true: None, other: None}) > MATRIX:
            break
        shown |= {true: None, other: None}
    return list(shown)


def cloud_section(embedded: Embedded, found: Recognition) -> Section:
    """The embeddings in their two widest directions; the most confused identities in color where there are many."""
    known_N = embedded.embeddings.isfinite().all(1).numpy()
    names, labels_N = embedded.pictures.names, embedded.labels.numpy()[known_N]
    colored = [names[label] for label in lookalikes(found)][: len(plots.COLORS)] if len(names) > 8 else []
    figure = cloud.embedding({"": embedded.embeddings.double().numpy()[known_N]}, labels_N, names, unseen=colored)
    caption = "Each point is a picture, its embedding flattened to the two directions in which they differ most (PCA)."
    if colored:
        caption += " In color: those most often confused."
    return Section("The gallery from above", [Plot(figure, caption, f"A cloud of {len(labels_N)} points.")])


def mistake_plots(embedded: Embedded, found: Recognition) -> list[Plot]:
    """The worst mistakes of identification as pictures, if there were any."""
    labels, names = embedded.pictures.labels, embedded.pictures.names
    mistakes = various(found.mistakes, lambda mistake: (labels[mistake.probe], labels[mistake.taken_for]))
    if not mistakes:
        return []
    triples = [(mistake.probe, mistake.taken_for, mistake.right) for mistake in mistakes]
    figure = sheets.compared_sheet(
        ("Probe", "Taken for", "Is"),
        [[pixels_of(embedded, i) for i in triple] for triple in triples],
        [[names[labels[i]] for i in triple] for triple in triples],
    )
    caption = (
        "The worst mistakes of all trials: the wrong picture was nearer than the right one by most. At most two are "
        "shown of any two identities."
    )
    alt = "; ".join(f"{names[labels[m.probe]]} taken for {names[labels[m.taken_for]]}" for m in mistakes)
    return [Plot(figure, caption, alt, wide=True)]


ACCEPTED = "The nearest pairs of different identities: the first to be accepted by mistake."
REJECTED = "The farthest pairs of one identity: the first to be rejected by mistake."


def error_section(embedded: Embedded, pairs: Pairs, *, captions: tuple[str, str] = (ACCEPTED, REJECTED)) -> Section:
    """The nearest different pairs and the farthest same pairs, as pictures: the worst false accepts and rejects."""
    known_N = torch.zeros(len(pairs.labels), dtype=torch.bool)
    known_N[: len(embedded.pictures)] = embedded.embeddings.isfinite().all(1)
    shown_P = known_N[pairs.left] & known_N[pairs.right]
    plots_ = []
    for same, caption in zip((False, True), captions, strict=True):
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
    texts = [[name[0], f"{name[1]}\nat {pairs.distances[i]:.2f}"] for i, name in zip(chosen, names, strict=True)]
    figure = sheets.compared_sheet(("", ""), [[pixels_of(embedded, j) for j in pair] for pair in both], texts)
    alt = "; ".join(f"{one}, {other}" for one, other in texts).replace("\n", " ")
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


def pixels_of(embedded: Embedded, index: int) -> NDArray[np.uint8]:
    """A picture as the network sees it: H x W, or H x W x 3."""
    pixels_CHW = prepare(embedded.pictures.picture(index), embedded.model.config.preprocessing).numpy()
    return pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
