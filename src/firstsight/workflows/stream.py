"""Learning from data as they are made: the `stream` verb. Training never ends; it stops where the stream does."""

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from firstsight.config import StreamRecipe
from firstsight.data.filling import FolderSource
from firstsight.data.sources import open_source
from firstsight.data.streams import LABEL, PairSource, Source
from firstsight.errors import RecipeError, StorageError, UserError
from firstsight.models.folder import DEFAULT_MODEL, Model, address, load_model, require_embedding
from firstsight.recipes import read_recipe, recipe_from, to_plain, with_flags
from firstsight.training.loop import deferred_signals
from firstsight.training.place import FILE
from firstsight.workflows.run_folder import refuse_to_replace
from firstsight.workflows.stream_pictures import EmbeddedPictures
from firstsight.workflows.stream_place import Place, StreamRun
from firstsight.workflows.stream_session import Session

SHOWN = 0.2
"""Seconds between two looks at the figures."""
JOURNAL = "pictures.jsonl"

OnFigures = Callable[[dict[str, Any]], None]


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
        source: any iterable of (x, L(x)) or (x, L(x), id); a file, a folder of pictures or `-`; or a `Source`. By
            default the recipe's.
        recipe: a `StreamRecipe`, or the path of a TOML recipe; by default recipes/stream.toml.
        out: the folder to write; by default nothing is written, and nothing can be resumed.
        resume: go on from the checkpoint in `out`, by its recipe. After a kill the outcome is, bit for bit, that of a
            run never interrupted, unless the recipe has a `latency` (same machine).
        on_figures: hears the figures now and then.
        on_warning: hears at once what is worth reading: the first refused arrivals, and drifts.

    Raises:
        DataError: no such source, no such columns, no arrival, or nothing but broken records.
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
    opened, embedder = _open(source, settled, folder)
    place = Place(settled, folder, embedder, on_warning)
    try:
        with place.opened(resume) as session, threadpool_limits(1), deferred_signals() as interrupted:
            stopped = _learn(session, opened, place, interrupted, on_figures)
            if not stopped:
                session.require_some(opened.name, _what_arrives(embedder))
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
    elif source is not None and not recipe.stream.target:
        recipe = replace(recipe, stream=replace(recipe.stream, target=LABEL))
    if source is None or isinstance(source, str):
        recipe = _of_pictures(recipe)
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


def _of_pictures(recipe: StreamRecipe) -> StreamRecipe:
    """Name the model and the target, where the source is a folder of pictures."""
    options = recipe.stream
    if options.source in ("", "-") or not Path(options.source).is_dir():
        if options.model and (options.source == "-" or Path(options.source).is_file()):
            raise RecipeError("--model has no effect where rows arrive.", hint="Leave it out.")
        return recipe
    if options.task == "regression":
        raise RecipeError("Pictures have identities, not numbers.", hint="Leave out --task.")
    settled = replace(options, model=address(options.model or DEFAULT_MODEL), target=options.target or "identity")
    return replace(recipe, stream=settled)


def _open(
    source: Source | Iterable[Sequence[Any]] | str | None, recipe: StreamRecipe, folder: Path | None
) -> tuple[Source, Model | None]:
    """The source of rows, and the model that makes them of pictures."""
    options = recipe.stream
    if isinstance(source, Source):
        return source, None
    if source is not None and not isinstance(source, str):
        return PairSource(source, id=options.id), None
    if not options.source:
        raise RecipeError("Where do arrivals come from?", hint="Add --source FILE, or --source - for a pipe.")
    journal = None if folder is None else folder / JOURNAL
    opened = open_source(options.source, follow=options.follow, journal=journal)
    if not isinstance(opened, FolderSource):
        return opened, None
    embedder = load_model(options.model)
    require_embedding(embedder)
    return EmbeddedPictures(opened, embedder, options.target), embedder


def _learn(
    session: Session, source: Source, place: Place, interrupted: Callable[[], bool], on_figures: OnFigures
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
        stepped = not session.pending
        if stepped:
            waits_since = None
        if stepped or arrival is None:
            place.look(session, idle=arrival is None)
            now = time.monotonic()
            if now - shown > SHOWN:
                shown = now
                on_figures(place.figures(session))
        if interrupted():
            session.flush()
            return True
    session.flush()
    return False


def _what_arrives(embedder: Model | None) -> str:
    if embedder is not None:
        return "Give a folder of pictures of each identity: NAME/*.jpg."
    return "Give CSV with rows below its header, or JSON lines."


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
