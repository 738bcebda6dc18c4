"""Learning from data as they are made: the `stream` verb. Training never ends; it stops where the stream does."""

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from firstsight.atomic import remove_leftovers, write_atomically
from firstsight.config import Columns, ModelConfig, StreamRecipe
from firstsight.data.streams import LABEL, Arrival, PairSource, Source, open_source
from firstsight.errors import RecipeError, StorageError, UserError
from firstsight.evaluation import prequential
from firstsight.evaluation.report import write_report
from firstsight.models.committee import CommitteeNetwork
from firstsight.models.folder import Model, make_model, save_model
from firstsight.recipes import read_recipe, recipe_from, to_plain, with_flags, write_recipe
from firstsight.training.loop import deferred_signals
from firstsight.training.place import FILE, GrowingFile, load_place, save_place
from firstsight.workflows.run_folder import refuse_to_replace
from firstsight.workflows.stream_session import Session

SHOWN = 0.2
"""Seconds between two looks at the figures."""
GROWING = ("metrics.jsonl", "dead-letter.jsonl")
LINES = 1_500
"""Lines of metrics.jsonl that the report draws."""

OnFigures = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class StreamRun:
    """What a stream gave so far. `figures` are prequential; `model` predicts the next arrivals, and is None where
    nothing was learned yet. `folder` holds recipe.toml, metrics.jsonl, dead-letter.jsonl, checkpoint/, model/,
    report.html and report.json, or is None.

    `stopped`: by Ctrl-C or SIGTERM, before the stream ended.
    """

    folder: Path | None
    recipe: StreamRecipe
    model: Model | None
    figures: dict[str, Any]
    stopped: bool

    def to_json(self) -> dict[str, Any]:
        """One flat dict."""
        where = {} if self.folder is None else {"out": str(self.folder)}
        return {**where, **self.figures, "stopped": self.stopped}


def stream(
    source: Source | Iterable[Sequence[Any]] | str | None = None,
    recipe: StreamRecipe | str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    on_figures: OnFigures = lambda figures: None,
    on_warning: Callable[[str], None] = lambda warning: None,
) -> StreamRun:
    """Predict each arrival, then learn it, until the source ends or Ctrl-C or SIGTERM comes.

    Args:
        source: any iterable of (x, L(x)) or (x, L(x), id); a file or `-`; or a `Source`. By default the recipe's.
        recipe: a `StreamRecipe`, or the path of a TOML recipe; by default recipes/stream.toml.
        out: the folder to write; by default nothing is written, and nothing can be resumed.
        resume: go on from the checkpoint in `out`, by its recipe. After a kill the outcome is, bit for bit, that of a
            run never interrupted, unless the recipe has a `latency` (same machine).
        on_figures: hears the figures now and then.
        on_warning: hears at once what is worth reading: the first refused arrivals, and drifts.

    Raises:
        DataError: no such source, no such columns, or nothing but broken records.
        RecipeError: the recipe does not say what to predict, or how.
        UserError: `out` holds a run already, or none where one is to be resumed, or a recipe that is not of a run.
        ModelError: the checkpoint is damaged, or of another recipe.
        StorageError: `out` cannot be written.
        TrainingError: the loss is not finite.
        MissingExtra: the recipe watches for drift, and river is not installed.

    Example:
        >>> pairs = (({"hour": hour % 24}, "day" if 6 <= hour % 24 < 18 else "night") for hour in range(2000))
        >>> stream(pairs).figures["accuracy"] > 0.9
        True
    """
    folder = None if out is None else Path(out)
    settled = _settle(recipe, source, folder, resume)
    opened = _open(source, settled)
    place = _Place(settled, folder, on_warning)
    try:
        with place.opened(resume) as session, threadpool_limits(1), deferred_signals() as interrupted:
            stopped = _learn(session, opened, place, interrupted, on_figures)
            on_figures(place.figures(session))
            return place.finish(session, opened.name, stopped)
    except OSError as error:
        raise StorageError(f"The run {folder} cannot be written: {error.strerror}.", hint="Free space.") from error


def recipe_of_stream(folder: Path) -> StreamRecipe:
    """That of a stream that was begun in `folder`.

    Raises:
        UserError: none was.
    """
    if not (folder / "checkpoint" / FILE).exists():
        raise UserError(f"There is no stream in {folder} to go on with.", hint="Leave out --resume to begin one.")
    return read_recipe(folder / "recipe.toml", StreamRecipe)


def _settle(recipe: StreamRecipe | str | Path | None, source: Any, folder: Path | None, resume: bool) -> StreamRecipe:
    """The recipe, all of it; refused where it cannot work."""
    if resume and folder is None:
        raise UserError("Which stream is to be resumed?", hint="Add --out RUN.")
    if folder is not None and resume and recipe is None:
        recipe = recipe_of_stream(folder)
    elif folder is not None and not resume and (folder / "checkpoint" / FILE).exists():
        go_on = f"firstsight stream --resume --out {shlex.quote(str(folder))}"
        raise UserError(f"{folder} holds a stream already.", hint=f"Go on with: {go_on}, or name another --out.")
    elif folder is not None and not resume:
        refuse_to_replace(folder)
    if recipe is None:
        recipe = StreamRecipe()
    elif not isinstance(recipe, StreamRecipe):
        recipe = read_recipe(recipe, StreamRecipe)
    recipe = recipe_from(to_plain(recipe), StreamRecipe)  # its ranges too
    if isinstance(source, str):
        recipe = with_flags(recipe, source=source)
    elif source is not None and not isinstance(source, str) and not recipe.stream.target:
        recipe = replace(recipe, stream=replace(recipe.stream, target=LABEL))
    if not recipe.stream.target:
        raise RecipeError("Which column is to be predicted?", hint="Add --target COLUMN.")
    if not recipe.learner.rates:
        raise RecipeError("There is no learning rate.", hint="Add --rates 0.05 0.2, or leave it out.")
    if recipe.stream.task == "regression" and recipe.learner.loss == "cross-entropy":
        raise RecipeError("Numbers have no cross-entropy.", hint="Add --loss quadratic, or leave it out.")
    if recipe.stream.id == recipe.stream.target:
        raise RecipeError("The id and the target are one column.", hint="Name another --id.")
    _seconds(recipe.stream.latency)
    return recipe


def _open(source: Source | Iterable[Sequence[Any]] | str | None, recipe: StreamRecipe) -> Source:
    if source is None or isinstance(source, str):
        if not recipe.stream.source:
            raise RecipeError("Where do arrivals come from?", hint="Add --source FILE, or --source - for a pipe.")
        return open_source(recipe.stream.source, follow=recipe.stream.follow)
    if isinstance(source, Source):
        return source
    return PairSource(source, id=recipe.stream.id)


def _learn(
    session: Session, source: Source, place: "_Place", interrupted: Callable[[], bool], on_figures: OnFigures
) -> bool:
    """Until the source ends (False), or a signal comes (True)."""
    latency = _seconds(place.recipe.stream.latency)
    waits_since: float | None = None
    shown = time.monotonic()
    drifts = session.drifts
    for arrival in source.arrivals(session.offset):
        if arrival is not None:
            session.take(arrival)
        if session.drifts > drifts:
            drifts = place.warn_of_drift(session)
        if latency and session.pending:
            waits_since = waits_since or time.monotonic()
            if time.monotonic() - waits_since >= latency:
                session.flush()
        if not session.pending:  # after a step
            waits_since = None
            place.after_step(session)
            now = time.monotonic()
            if now - shown > SHOWN:
                shown = now
                on_figures(place.figures(session))
        elif arrival is None and not latency and time.monotonic() - shown > SHOWN:
            shown = time.monotonic()
            on_figures(place.figures(session))
        if interrupted():
            session.flush()
            return True
    session.flush()
    return False


class _Place:
    """What a stream leaves in its folder, and when; without a folder only its figures."""

    def __init__(self, recipe: StreamRecipe, folder: Path | None, on_warning: Callable[[str], None]) -> None:
        self.recipe, self.folder = recipe, folder
        self._on_warning = on_warning
        self._metrics: GrowingFile | None = None
        self._dead: GrowingFile | None = None
        self._began = time.monotonic()
        self._arrivals_before = 0
        self._saved = 0
        self._lines = 0
        self._warned = 0

    @contextmanager
    def opened(self, resume: bool) -> Iterator[Session]:
        """The session, begun or resumed, with its files open."""
        session = Session(self.recipe, self._refuse)
        with ExitStack() as files:
            if self.folder is not None:
                self._open_files(self.folder, self._load(session) if resume else {}, files)
            self._saved = self._arrivals_before = session.arrivals
            self._lines = session.figures.rows // self.recipe.stream.window
            self._began = time.monotonic()
            yield session

    def _load(self, session: Session) -> dict[str, int]:
        """Bring the session to where the checkpoint is; give the lengths that the files had there."""
        assert self.folder is not None
        header, arrays = load_place(self.folder / "checkpoint")
        if header["key"] != _key(self.recipe):
            raise UserError(
                f"The stream in {self.folder} was begun with another recipe.",
                hint=f"Go on with its own: firstsight stream --resume --out {shlex.quote(str(self.folder))}",
            )
        session.load(header["session"], arrays)
        lengths: dict[str, int] = header["lengths"]
        return lengths

    def _open_files(self, folder: Path, lengths: dict[str, int], files: ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("recipe.toml", "model", "report.html", "report.json"):
            remove_leftovers(folder / name)
        write_atomically(folder / "recipe.toml", write_recipe(self.recipe).encode())
        self._metrics, self._dead = (
            files.enter_context(closing(GrowingFile(folder / name, lengths.get(name, 0)))) for name in GROWING
        )

    def after_step(self, session: Session) -> None:
        """A line of metrics for each window, and a checkpoint where one is due."""
        lines = session.figures.rows // self.recipe.stream.window
        if lines > self._lines and self._metrics is not None:
            self._lines = lines
            self._metrics.add(_counted(session))
            self._metrics.show()
        if session.arrivals - self._saved >= self.recipe.stream.checkpoint_every:
            self.save(session)

    def save(self, session: Session) -> Model | None:
        """Write a checkpoint, then the model as it is now."""
        self._saved = session.arrivals
        session.keep_good()
        header, arrays = session.state()  # also without a folder: a drift is found alike
        if self.folder is None or self._metrics is None or self._dead is None:
            return None
        files = (self._metrics, self._dead)
        lengths = {name: file.settle() for name, file in zip(GROWING, files, strict=True)}
        whole = {"session": header, "lengths": lengths, "key": _key(self.recipe)}
        save_place(self.folder / "checkpoint", whole, arrays)
        model = _model_of(session, self.recipe, str(self.folder))
        return model if model is None else save_model(model, self.folder / "model")

    def finish(self, session: Session, source: str, stopped: bool) -> StreamRun:
        figures = self.figures(session)
        model = self.save(session)
        if model is None:
            model = _model_of(session, self.recipe, "the stream")
        run = StreamRun(self.folder, self.recipe, model, figures, stopped)
        if self.folder is not None:
            self._report(run, source)
        return run

    def figures(self, session: Session) -> dict[str, Any]:
        """Those of the session, and how fast it goes."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return _counted(session) | {"rows_per_second": round((session.arrivals - self._arrivals_before) / seconds, 1)}

    def warn_of_drift(self, session: Session) -> int:
        answer = {"warn": "nothing was done", "faster": "the rates were raised", "restart": "weights went back"}
        self._on_warning(f"Drift at arrival {session.arrivals:,}: {answer[self.recipe.stream.drift]}.")
        return session.drifts

    def _refuse(self, reason: str, arrival: Arrival) -> None:
        """Into the dead-letter file; the first few are said aloud."""
        raw = arrival.raw.decode("utf-8", "replace") if arrival.raw else arrival.record
        if self._dead is not None:
            self._dead.add(
                {"offset": arrival.offset, "reason": reason, "record": json.loads(json.dumps(raw, default=str))}
            )
            self._dead.show()
        self._warned += 1
        if self._warned <= 3:
            self._on_warning(f"Refused, at {arrival.offset}: {reason}")

    def _report(self, run: StreamRun, source: str) -> None:
        assert self.folder is not None
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text("utf-8").splitlines()]
        shown = lines[:: -(-len(lines) // LINES) or 1]
        ended = "It was stopped, and can be resumed." if run.stopped else "The stream ended."
        write_report(
            self.folder,
            title=f"firstsight stream: {self.folder.name}",
            summary=f"Learned from {source}, each arrival predicted before it was learned. {ended}",
            headlines=prequential.headlines(run.figures),
            tables=[prequential.table(run.figures)],
            sections=[prequential.curve_section(shown)],
            data=run.to_json(),
        )


def _counted(session: Session) -> dict[str, Any]:
    """The figures that a replay would have too."""
    return {
        **session.figures.figures(), "arrivals": session.arrivals, "refused": session.refused,
        "waiting": len(session.waiting), "drifts": session.drifts,
    }  # fmt: skip


def _model_of(session: Session, recipe: StreamRecipe, name: str) -> Model | None:
    """The model that predicts the next arrivals; None before anything was learned."""
    if session.learner is None or not session.learner.examples:
        return None
    committee, buffers = session.learner.for_model()
    mean_F, std_F = session.learner.context.standard.moments
    columns = Columns(features=session.reader.features, mean=tuple(mean_F.tolist()), std=tuple(std_F.tolist()))
    outputs = tuple(session.names)
    if not session.classes:
        mean, std = session.numbers.moments
        columns = replace(columns, target_mean=tuple(mean.tolist()), target_std=tuple(std.tolist()))
        outputs = (recipe.stream.target,)
        buffers["no_change_O"] = (session.last - mean) / std
    trained = {"data": recipe.stream.source, "examples": session.learner.examples, "arrivals": session.arrivals}
    config = ModelConfig(
        task=recipe.stream.task, columns=columns, committee=committee, outputs=outputs, trained=trained
    )
    network = CommitteeNetwork(committee, len(columns.features), len(outputs))
    network.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in buffers.items()})
    return make_model(network, config, name=name)


def _key(recipe: StreamRecipe) -> str:
    """What a stream must have in common with its checkpoint; where it comes from may have moved."""
    moved = replace(recipe, stream=replace(recipe.stream, source="", follow=False))
    return hashlib.sha256(json.dumps(to_plain(moved), sort_keys=True).encode()).hexdigest()


def _seconds(text: str) -> float:
    """Of a duration such as 200ms or 2s; 0 where none is given."""
    if not text:
        return 0.0
    for unit, size in (("ms", 1e-3), ("s", 1.0)):
        if text.endswith(unit):
            try:
                seconds = float(text.removesuffix(unit)) * size
            except ValueError:
                break
            if 0 < seconds < 1e6:
                return seconds
            break
    raise RecipeError(f"{text} is no latency.", hint="Give 200ms or 2s.")
