"""What a stream leaves in its folder, and when."""

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from firstsight.atomic import remove_leftovers, write_atomically
from firstsight.config import StreamRecipe
from firstsight.data.streams import Arrival
from firstsight.errors import UserError
from firstsight.evaluation import prequential
from firstsight.evaluation.report import write_report
from firstsight.models.folder import Model, save_model
from firstsight.recipes import to_plain, write_recipe
from firstsight.training.place import GrowingFile, load_place, save_place
from firstsight.workflows.stream_model import model_of
from firstsight.workflows.stream_session import Session

GROWING = ("metrics.jsonl", "dead-letter.jsonl")
LINES = 1_500
"""Lines of metrics.jsonl that the report draws."""
BUSY, IDLE = 30.0, 1.0
"""Seconds after which it is saved anyway: while arrivals come, and when none does."""


@dataclass(frozen=True, eq=False)
class StreamRun:
    """What a stream gave so far. `figures` are prequential; `model` predicts the next arrivals, and is None where
    nothing was learned yet. `folder` holds recipe.toml, metrics.jsonl, dead-letter.jsonl, checkpoint/, model/,
    report.html and report.json, and of pictures their order in pictures.jsonl; or is None.

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


class Place:
    """What a stream leaves in its folder, and when; without a folder only its figures."""

    def __init__(
        self, recipe: StreamRecipe, folder: Path | None, embedder: Model | None, on_warning: Callable[[str], None]
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self._embedder = embedder
        self._key = _key(recipe, embedder)
        self._on_warning = on_warning
        self._metrics: GrowingFile | None = None
        self._dead: GrowingFile | None = None
        self._began = time.monotonic()
        self._arrivals_before = 0
        self._saved = self._settled = 0
        self._saved_at = time.monotonic()
        self._lines = self._measured = 0
        self._warned = 0

    @contextmanager
    def opened(self, resume: bool) -> Iterator[Session]:
        """The session, begun or resumed, with its files open."""
        session = Session(self.recipe, self._refuse)
        with ExitStack() as files:
            if self.folder is not None:
                self._open_files(self.folder, self._load(session) if resume else {}, files)
            self._saved = self._arrivals_before = session.arrivals
            self._settled = session.arrivals // self.recipe.stream.checkpoint_every
            self._measured = session.figures.rows
            self._lines = session.figures.rows // self.recipe.stream.window
            self._began = time.monotonic()
            yield session

    def _load(self, session: Session) -> dict[str, int]:
        """Bring the session to where the checkpoint is; give the lengths that the files had there."""
        assert self.folder is not None
        header, arrays = load_place(self.folder / "checkpoint")
        if header["key"] != self._key:
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
        self._metrics, self._dead = (
            files.enter_context(closing(GrowingFile(folder / name, lengths.get(name, 0)))) for name in GROWING
        )
        write_atomically(folder / "recipe.toml", write_recipe(self.recipe).encode())

    def look(self, session: Session, *, idle: bool) -> None:
        """A line of metrics for each window, and a checkpoint where one is due: after so many arrivals, or a while.

        What a restart goes back to is decided by the count alone, so that it is the same each time.
        """
        lines = session.figures.rows // self.recipe.stream.window
        if lines > self._lines:
            self._lines = lines
            self._measure(session)
        due = not session.pending and session.arrivals // self.recipe.stream.checkpoint_every > self._settled
        if due:
            self._settled = session.arrivals // self.recipe.stream.checkpoint_every
            session.keep_good()
        waited = time.monotonic() - self._saved_at > (IDLE if idle else BUSY)
        if self.folder is not None and (due or (waited and session.arrivals > self._saved)):
            self.save(session)

    def _measure(self, session: Session) -> None:
        self._measured = session.figures.rows
        if self._metrics is not None:
            self._metrics.add(_counted(session))
            self._metrics.show()

    def save(self, session: Session) -> Model | None:
        """Write a checkpoint, then the model as it is now."""
        self._saved, self._saved_at = session.arrivals, time.monotonic()
        header, arrays = session.state()
        if self.folder is None or self._metrics is None or self._dead is None:
            return None
        files = (self._metrics, self._dead)
        lengths = {name: file.settle() for name, file in zip(GROWING, files, strict=True)}
        whole = {"session": header, "lengths": lengths, "key": self._key}
        save_place(self.folder / "checkpoint", whole, arrays)
        model = model_of(session, self.recipe, self._embedder, name=str(self.folder))
        return model if model is None else save_model(model, self.folder / "model")

    def finish(self, session: Session, source: str, stopped: bool) -> StreamRun:
        figures = self.figures(session)
        if session.figures.rows > self._measured:
            self._measure(session)
        model = self.save(session)
        if model is None:
            model = model_of(session, self.recipe, self._embedder, name="the stream")
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
        ended = "It was stopped, and can be resumed." if run.stopped else "The stream ended."
        write_report(
            self.folder,
            title=f"firstsight stream: {self.folder.name}",
            summary=f"Learned from {source}, each arrival predicted before it was learned. {ended}",
            headlines=prequential.headlines(run.figures),
            tables=[prequential.table(run.figures)],
            sections=[prequential.curve_section(_drawn(self.folder / "metrics.jsonl"))],
            data=run.to_json(),
        )


def _drawn(metrics: Path) -> list[dict[str, Any]]:
    """Some of the lines, evenly spaced; those between are not held in memory, however many there are."""
    with metrics.open(encoding="utf-8") as file:
        count = sum(1 for _ in file)
        file.seek(0)
        return [json.loads(line) for line in islice(file, 0, None, -(-count // LINES) or 1)]


def _counted(session: Session) -> dict[str, Any]:
    """The figures that a replay would have too."""
    return {
        **session.figures.figures(), "arrivals": session.arrivals, "refused": session.refused,
        "waiting": len(session.waiting), "drifts": session.drifts,
    }  # fmt: skip


def _key(recipe: StreamRecipe, embedder: Model | None) -> str:
    """What a stream must have in common with its checkpoint; where it comes from may have moved."""
    moved = replace(recipe, stream=replace(recipe.stream, source="", follow=False, model=""))
    text = json.dumps(to_plain(moved), sort_keys=True) + (embedder.identity if embedder else "")
    return hashlib.sha256(text.encode()).hexdigest()
