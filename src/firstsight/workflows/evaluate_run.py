"""The `evaluate` verb: from a model and data to the figures of one protocol, and their page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firstsight.data.identities import open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.data.runs import open_runs
from firstsight.errors import UserError
from firstsight.evaluation.comparison import Comparison, compare
from firstsight.evaluation.episodes import evaluate_episodes, evaluate_runs
from firstsight.evaluation.folds import evaluate_pairs
from firstsight.evaluation.open_set import evaluate_open_set
from firstsight.evaluation.pages import figures_table, write_evaluation
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
from firstsight.models.folder import Model
from firstsight.workflows.progress import OnProgress, silent, stages

Protocol = Literal["all-pairs", "pairs", "one-shot", "one-shot-runs", "retrieval", "open-set"]

OPTIONS: dict[Protocol, tuple[str, ...]] = {
    "all-pairs": ("trials", "against"),
    "pairs": ("pairs",),
    "one-shot": ("ways", "shots", "within_groups", "trials"),
    "one-shot-runs": (),
    "retrieval": (),
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
    """Run one protocol on a folder, zip or manifest. Ways, shots and trials default to those of the protocol.

    Raises:
        UserError: options that the protocol does not have, or data that cannot support it.
    """
    given = {
        "pairs": pairs, "ways": ways, "shots": shots, "trials": trials, "within_groups": within_groups or None,
        "against": against,
    }  # fmt: skip
    _refuse_options(protocol, {name: value for name, value in given.items() if value is not None})
    told = stages(on_progress)
    title, summary = f"firstsight evaluate: {model.name}", f"Measured on {data}."
    if protocol == "one-shot-runs":
        return _protocol(evaluate_runs(model, open_runs(data), on_progress=told), title, summary)
    pictures = open_pictures(data)
    match protocol:
        case "pairs":
            found: ProtocolEvaluation = evaluate_pairs(
                model, pictures, read_pairs(str(pairs), pictures), on_progress=told
            )
        case "one-shot":
            found = evaluate_episodes(
                model, pictures, ways=ways or 20, shots=shots or 1, episodes=trials or 1000,
                within_groups=within_groups, seed=seed, on_progress=told,
            )  # fmt: skip
        case "retrieval":
            found = evaluate_retrieval(model, pictures, on_progress=told)
        case "open-set":
            found = evaluate_open_set(model, pictures, trials=trials or 100, seed=seed, on_progress=told)
        case "all-pairs":
            one = evaluate(model, pictures, trials=trials or 200, seed=seed, on_progress=told)
            if against is None:
                return _evaluation(one, title, summary)
            told = stages(on_progress, "Against: ")
            other = evaluate(against, pictures, trials=trials or 200, seed=seed, on_progress=told)
            return _comparison(compare(one, other), title, summary)
    return _protocol(found, title, summary)


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


def _evaluation(found: Evaluation, title: str, summary: str) -> Measured:
    return Measured(
        found.to_json(), figures_table(found), found.skipped,
        lambda folder: write_evaluation(folder, found, title=title, summary=summary),
    )  # fmt: skip


def _comparison(found: Comparison, title: str, summary: str) -> Measured:
    return Measured(
        found.to_json(), comparison_table(found), found.one.skipped,
        lambda folder: write_comparison(folder, found, title=title, summary=summary),
    )  # fmt: skip


def _protocol(found: ProtocolEvaluation, title: str, summary: str) -> Measured:
    return Measured(
        found.to_json(), protocol_table(found), found.skipped,
        lambda folder: write_protocol(folder, found, title=title, summary=summary),
    )  # fmt: skip
