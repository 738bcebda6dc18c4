"""The `evaluate` verb: from a model and data to the figures of one protocol, and their page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.data.runs import open_runs
from firstsight.errors import UserError
from firstsight.evaluation.comparison import Comparison, compare
from firstsight.evaluation.episodes import evaluate_episodes, evaluate_runs
from firstsight.evaluation.folds import evaluate_pairs
from firstsight.evaluation.open_set import evaluate_open_set
from firstsight.evaluation.pages import figures_table, write_evaluation
from firstsight.evaluation.promise import promise
from firstsight.evaluation.protocol_pages import (
    ProtocolEvaluation,
    comparison_table,
    protocol_table,
    write_comparison,
    write_protocol,
)
from firstsight.evaluation.protocols import Evaluation, evaluate
from firstsight.evaluation.report import Table
from firstsight.evaluation.retrieval import evaluate_retrieval
from firstsight.models.folder import Model, require_embedding
from firstsight.workflows.progress import OnProgress, silent, stages
from firstsight.workflows.seen import seen_in_calibration, seen_in_training

Protocol = Literal["all-pairs", "pairs", "one-shot", "one-shot-runs", "retrieval", "open-set"]

OPTIONS: dict[Protocol, tuple[str, ...]] = {
    "all-pairs": ("trials", "against"),
    "pairs": ("pairs", "against"),
    "one-shot": ("ways", "shots", "within_groups", "trials", "against"),
    "one-shot-runs": ("against",),
    "retrieval": ("against",),
    "open-set": ("trials",),
}
"""What each protocol can be told, beside the model, the data and the seed."""
LEAST = {"ways": 2, "shots": 1, "trials": 1}


@dataclass(frozen=True, eq=False)
class Measured:
    """What a protocol gave: flat figures, a table to read, the pictures left unread, and how to write its page."""

    figures: dict[str, Any]
    table: Table
    skipped: tuple[tuple[str, str], ...]
    write: Callable[[Path], Path]
    notes: tuple[str, ...] = ()
    """Sentences to read beside the figures."""


def measure(
    model: Model,
    data: str,
    *,
    protocol: Protocol = "all-pairs",
    pairs: str | None = None,
    ways: int | None = None,
    shots: int | None = None,
    trials: int | None = None,
    within_groups: bool = False,
    against: Model | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Measured:
    """Run one protocol on a folder, zip or manifest, for one model or two. What is not given, the protocol knows.

    Raises:
        ModelError: a model that makes no embeddings.
        UserError: options that the protocol does not have, or data that cannot support it.
    """
    options = {
        "pairs": pairs, "ways": ways, "shots": shots, "trials": trials, "within_groups": within_groups or None,
        "against": against,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    _refuse_options(protocol, given)
    for asked in filter(None, (model, against)):
        require_embedding(asked)
    pictures, run = _opened(protocol, data, given, seed)
    found = run(model, on_progress=stages(on_progress))
    if against is None:
        return _measured(found, pictures)
    return _compared(compare(found, run(against, on_progress=stages(on_progress, "Against: "))), pictures)


def _opened(
    protocol: Protocol, data: str, given: dict[str, Any], seed: int
) -> tuple[PictureSet, Callable[..., Evaluation | Any]]:
    """The pictures of `data`, and the protocol on them, which lacks a model."""
    if protocol == "one-shot-runs":
        run_set = open_runs(data)
        return run_set.pictures, partial(evaluate_runs, run_set=run_set)
    pictures = open_pictures(data)
    numbers = {name: given[name] for name in ("ways", "shots", "within_groups") if name in given}
    trials = {"trials": given["trials"]} if "trials" in given else {}
    match protocol:
        case "pairs":
            return pictures, partial(evaluate_pairs, pictures=pictures, pair_list=read_pairs(given["pairs"], pictures))
        case "retrieval":
            return pictures, partial(evaluate_retrieval, pictures=pictures)
        case "one-shot":
            episodes = {"episodes": given["trials"]} if trials else {}
            return pictures, partial(evaluate_episodes, pictures=pictures, seed=seed, **numbers, **episodes)
        case "open-set":
            return pictures, partial(evaluate_open_set, pictures=pictures, seed=seed, **trials)
    return pictures, partial(evaluate, pictures=pictures, seed=seed, **trials)


def _threshold_note(model: Model) -> str:
    point = model.config.operating_point
    if point is None:
        return "The model has no threshold of its own: identify and verify need one, --threshold."
    return f"The model keeps its own threshold, {point.threshold:.3f} one to one. {promise(point)}"


def _refuse_options(protocol: Protocol, given: dict[str, Any]) -> None:
    """Refuse what the protocol does not have, what it needs and was not given, and numbers that are too small."""
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if name not in OPTIONS[protocol]:
            able = [other for other, names in OPTIONS.items() if name in names]
            raise UserError(f"The protocol {protocol} has no {flag}.", hint=f"It belongs to: {', '.join(able)}.")
        if name in LEAST and value < LEAST[name]:
            raise UserError(f"{flag} {value} is too few.", hint=f"Give {LEAST[name]} or more.")
    if protocol == "pairs" and "pairs" not in given:
        raise UserError("The protocol pairs needs a list of pairs.", hint="Give --protocol pairs --pairs FILE.")


def _measured(found: Evaluation | ProtocolEvaluation, pictures: PictureSet) -> Measured:
    trained, calibrated = seen_in_training(found.model, pictures), seen_in_calibration(found.model, pictures)
    notes = (*filter(None, [trained, calibrated]), _threshold_note(found.model))
    seen = {"seen_in_training": bool(trained), "seen_in_calibration": bool(calibrated)}
    about: dict[str, Any] = {"title": f"firstsight evaluate: {found.model.name}", "data": seen}
    about["summary"] = " ".join([f"Measured on {pictures.source}.", *notes])
    if isinstance(found, Evaluation):
        table, write = figures_table(found), partial(write_evaluation, evaluation=found, **about)
    else:
        table, write = protocol_table(found), partial(write_protocol, evaluation=found, **about)
    return Measured(found.to_json() | seen, table, found.skipped, write, notes)


def _compared(found: Comparison, pictures: PictureSet) -> Measured:
    warnings = [seen_in_training(evaluation.model, pictures) for evaluation in (found.one, found.other)]
    notes = tuple(filter(None, warnings))
    seen = {"seen_in_training": bool(warnings[0]), "against_seen_in_training": bool(warnings[1])}
    about: dict[str, Any] = {"title": f"{found.one.model.name} against {found.other.model.name}", "data": seen}
    about["summary"] = " ".join([f"Measured on {pictures.source}.", *notes])
    write = partial(write_comparison, comparison=found, **about)
    return Measured(found.to_json() | seen, comparison_table(found), found.skipped, write, notes)
