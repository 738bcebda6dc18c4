"""The reports of the single protocols: pairs, one-shot runs and episodes, retrieval, open set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.evaluation import plots
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.comparison import Comparison
from firstsight.evaluation.embedded import Embedded, far_name
from firstsight.evaluation.episodes import EpisodesEvaluation
from firstsight.evaluation.folds import PairsEvaluation
from firstsight.evaluation.open_set import OpenSet, OpenSetEvaluation
from firstsight.evaluation.pages import INTERVALS, MOST_SHOWN, footer, pixel_row, skipped_tables, val_rows
from firstsight.evaluation.pixels import LEFT_OUT
from firstsight.evaluation.report import Headline, Plot, Section, Table, write_report
from firstsight.evaluation.retrieval import RetrievalEvaluation
from firstsight.evaluation.sections import (
    Recognition,
    between,
    cloud_section,
    error_section,
    lookalike_section,
    lookalike_tables,
    mistake_plots,
    percent,
    verification_section,
)

ProtocolEvaluation = PairsEvaluation | EpisodesEvaluation | RetrievalEvaluation | OpenSetEvaluation
NAMES = {
    "accuracy": "Accuracy", "r_precision": "R-precision", "map_at_r": "MAP@R", "auc": "ROC AUC",
    "average_precision": "Average precision", "eer": "Equal error rate",
}  # fmt: skip
AT_THE_DOOR = (
    "The strangers nearest to somebody enrolled: the first to be given a name.",
    "The enrolled farthest from their own picture: the first to be called unknown.",
)
COLUMNS = ("", "Measured", "95 % interval")


def write_protocol(
    folder: str | Path,
    evaluation: ProtocolEvaluation,
    *,
    title: str,
    summary: str,
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Write report.html and report.json of one protocol; give the path of report.html.

    `data` adds numbers to those of the evaluation.

    Raises:
        StorageError: the folder cannot be written.
    """
    table = protocol_table(evaluation)
    return write_report(
        folder,
        title=title,
        summary=summary,
        data={**evaluation.to_json(), **(data or {})},
        headlines=[Headline(table.rows[0][0], table.rows[0][1], f"95 % interval {table.rows[0][2]}")],
        tables=[table, *_further_tables(evaluation), *skipped_tables(evaluation.skipped)],
        sections=_sections(evaluation),
        footer=footer(evaluation),
    )


def write_comparison(
    folder: str | Path, comparison: Comparison, *, title: str, summary: str, data: Mapping[str, Any] | None = None
) -> Path:
    """Write report.html and report.json of two models side by side; give the path of report.html.

    `data` adds numbers to those of the comparison.

    Raises:
        StorageError: the folder cannot be written.
    """
    table = comparison_table(comparison)
    curves = {
        name: (evaluation.verification.curve.far, evaluation.verification.curve.val)
        for name, evaluation in zip(table.columns[1:], (comparison.one, comparison.other), strict=False)
    }
    caption = "Both models on the same pairs; the higher at the left, the better."
    return write_report(
        folder,
        title=title,
        summary=summary,
        data={**comparison.to_json(), **(data or {})},
        headlines=[Headline(f"Difference of {table.rows[0][0]}, in points", table.rows[0][3], comparison.verdict())],
        tables=[table, *skipped_tables(comparison.skipped)],
        sections=[
            Section(
                "Side by side",
                [
                    Plot(plots.roc(curves), f"ROC: {caption}", "Two curves of VAL against FAR."),
                    Plot(plots.det(curves), "DET: the lower, the better.", "Two curves of FRR against FAR."),
                ],
            )
        ],
        footer=f"{footer(comparison.one)} Against {comparison.other.model.name}.",
    )


def comparison_table(comparison: Comparison) -> Table:
    """Two models' figures, and the intervals of their differences."""
    one, other = comparison.one.to_json(), comparison.other.to_json()
    names = NAMES | {
        f"val_at_far_{far_name(point.target)}": f"VAL at FAR {plots.share_label(point.target)}"
        for point in comparison.one.verification.val_at_far
        if point.val is not None
    }
    rows = []
    for key, (difference, interval) in comparison.differences.items():
        text = f"{100 * difference:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
        rows.append([names[key], percent(one[key]), percent(other[key]), text])
    columns = ("", comparison.one.model.name, comparison.other.model.name, "Difference in points (95 %)")
    return Table("Side by side", "The same pictures, the same choices; positive: the first has more.", columns, rows)


def protocol_table(evaluation: ProtocolEvaluation) -> Table:
    """The figures of a protocol with their intervals, and why some are missing."""
    figures = evaluation.to_json()
    if isinstance(evaluation, PairsEvaluation):
        return _pairs_table(evaluation, figures)
    if isinstance(evaluation, EpisodesEvaluation):
        what = "runs" if evaluation.protocol == "one-shot-runs" else "random episodes"
        caption = (
            f"{figures['trials']:,} {what} of {figures['ways']} identities, {figures['shots']} enrolled of each; "
            f"{figures['identifications']:,} identifications. Interval: {evaluation.one_shot.interval.method}, 95 %."
        )
        if evaluation.pixels is None:
            caption += f" {LEFT_OUT}"
        rows = [_row("Accuracy", figures, "accuracy"), pixel_row(evaluation.pixels)]
        return Table("Figures", caption, COLUMNS, rows)
    if isinstance(evaluation, RetrievalEvaluation):
        names = {"precision_at_1": "Precision@1", "r_precision": "R-precision", "map_at_r": "MAP@R"}
        caption = f"Each of {figures['queries']:,} pictures searched among all others of the set."
        return Table("Figures", caption, COLUMNS, [_row(name, figures, key) for key, name in names.items()])
    return _open_set_table(evaluation, figures)


def _pairs_table(evaluation: PairsEvaluation, figures: Mapping[str, Any]) -> Table:
    rows, refused = val_rows(evaluation.verification)
    caption = f"{figures['pairs']:,} pairs of {figures['identities']:,} identities"
    if evaluation.folded is None:
        return Table("Figures", f"{caption}. {figures['accuracy_refused']} {INTERVALS} {refused}", COLUMNS, rows)
    caption += (
        f" in {figures['folds']} folds, each measured at the threshold that is best on the others; mean over folds ± "
        f"standard error: {percent(figures['accuracy'])} ± {percent(figures['standard_error'])}. "
        f"{INTERVALS} {refused}"
    )
    return Table("Figures", caption.strip(), COLUMNS, [_row("Accuracy", figures, "accuracy"), *rows])


def _open_set_table(evaluation: OpenSetEvaluation, figures: Mapping[str, Any]) -> Table:
    found = evaluation.open_set
    rows = []
    if found.threshold is not None:
        at = f"at the threshold {found.threshold:.3f}"
        rows = [
            _row(f"Right decisions {at}", figures, "accuracy"),
            _row(f"DIR {at}", figures, "dir"),
            _row(f"FPIR {at}", figures, "fpir"),
        ]
    if found.promise is not None:
        rows.append(["FPIR promised at most, 95 % sure", percent(found.promise), found.verdict() or ""])
    for point in found.dir_at_fpir:
        name = f"DIR at FPIR {plots.share_label(point.target)}"
        rows.append([name, percent(point.dir), between(point.interval) if point.interval else "too few strangers"])
    refused = next((point.refused for point in found.dir_at_fpir if point.refused), "")
    caption = (
        f"{found.trials} random choices of {found.gallery_size} identities to enroll from one picture each; "
        f"{len(found.known.right):,} identifications of the enrolled, {len(found.unknown.right):,} of strangers. "
        f"{refused}"
    )
    return Table("Figures", caption.strip(), COLUMNS, rows)


def _further_tables(evaluation: ProtocolEvaluation) -> list[Table]:
    if isinstance(evaluation, EpisodesEvaluation):
        return [_verification_table(evaluation), *lookalike_tables(evaluation, evaluation.one_shot)]
    if isinstance(evaluation, RetrievalEvaluation):
        return [_verification_table(evaluation), *lookalike_tables(evaluation, evaluation.retrieval)]
    if isinstance(evaluation, OpenSetEvaluation):
        return lookalike_tables(evaluation, evaluation.open_set)
    if evaluation.unembedded:
        shown = evaluation.unembedded[:MOST_SHOWN]
        caption = f"{len(evaluation.unembedded):,} in all: a picture is missing or cannot be read."
        rows = [pair.split(" | ") for pair in shown]
        return [Table("Pairs that count as distance 4", caption, ["One", "Other"], rows)]
    return []


def _verification_table(evaluation: EpisodesEvaluation | RetrievalEvaluation) -> Table:
    rows, refused = val_rows(evaluation.verification)
    pairs = evaluation.verification.pairs
    met = "every two pictures" if isinstance(evaluation, RetrievalEvaluation) else "each probe and what it met"
    sampled = "" if pairs.complete else ", a sample"
    caption = f"{len(pairs.same):,} pairs: {met}{sampled}. {INTERVALS} {refused}"
    return Table("The same or not", caption.strip(), COLUMNS, rows)


def _sections(evaluation: ProtocolEvaluation) -> list[Section]:
    if isinstance(evaluation, OpenSetEvaluation):
        found_open = evaluation.open_set
        return [
            *_open_set_sections(found_open),
            *_recognition_sections(evaluation, found_open),
            error_section(evaluation, found_open.met, captions=AT_THE_DOOR),
        ]
    pairs = evaluation.verification.pairs
    if isinstance(evaluation, PairsEvaluation):
        threshold = float(np.mean(evaluation.folded.thresholds)) if evaluation.folded else None
        return [verification_section(evaluation.verification, threshold), error_section(evaluation, pairs)]
    own = evaluation.verification.own
    found = evaluation.one_shot if isinstance(evaluation, EpisodesEvaluation) else evaluation.retrieval
    distances = verification_section(evaluation.verification, own.threshold if own else None)
    return [distances, *_recognition_sections(evaluation, found), error_section(evaluation, pairs)]


def _recognition_sections(embedded: Embedded, found: Recognition) -> list[Section]:
    return [
        lookalike_section(embedded, found),
        Section("Mistakes", mistake_plots(embedded, found)),
        cloud_section(embedded, found),
    ]


def _open_set_sections(found: OpenSet) -> list[Section]:
    """How near the enrolled and strangers come, and the two kinds of errors against each other."""
    curve = {"Embedding": found.curve()}
    names = "The enrolled, to their own name", "Strangers, to whom they resemble most"
    roc = plots.roc(curve, labels=("Strangers given a name (FPIR)", "Enrolled given theirs (DIR)"), chance=False)
    det = plots.det(curve, labels=("Strangers given a name (FPIR)", "Enrolled not given theirs (1 - DIR)"))
    nearest = found.known.distance[found.known.right], found.unknown.distance
    edges = np.linspace(0, max(float(np.concatenate(nearest).max()), 1e-6), 41)
    own_count, stranger_count = (np.histogram(distance, edges)[0] for distance in nearest)
    return [
        Section(
            "With strangers at the door",
            [
                Plot(
                    plots.distance_histogram(own_count, stranger_count, edges, threshold=found.threshold, names=names),
                    "Left of the threshold a name is given: orange there are strangers taken for somebody.",
                    f"Distances to the nearest of {found.gallery_size} enrolled.",
                ),
                Plot(
                    roc,
                    "How many of the enrolled are detected and named, for each share of strangers that get a name.",
                    "A curve of DIR against FPIR.",
                ),
                Plot(
                    det,
                    "The errors of one kind against those of the other; the nearer to the lower left, the better.",
                    "A falling curve of missed identifications against FPIR.",
                ),
            ],
        )
    ]


def _row(name: str, figures: Mapping[str, Any], key: str) -> list[str]:
    interval = Interval(figures[f"{key}_low"], figures[f"{key}_high"], "")
    return [name, percent(figures[key]), between(interval)]
