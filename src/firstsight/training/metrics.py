"""metrics.jsonl: each update once, for curves and for whoever watches; the same for TensorBoard where that is asked."""

import itertools
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from firstsight.atomic import remove_leftovers, write_atomically
from firstsight.errors import ModelError
from firstsight.training.checkpoint import Place
from firstsight.training.loop import Update
from firstsight.training.tensorboard import EventFiles

SECONDS = 0.5
"""How long a line may wait to be written: a line an update would cost a small network as much as the update."""


class Metrics:
    """The updates so far, at hand and on disk."""

    def __init__(self, path: Path, *, write: bool, events: Path | None = None) -> None:
        self._path = path
        self._events_folder = events
        self._events: EventFiles | None = None
        self._write = write
        self._file: TextIO | None = None
        self._waiting = 0.0
        self._resumed_from: int | None = None
        self.rows: list[dict[str, Any]] = []

    def start(self, place: Place) -> None:
        """Keep the lines of the updates that the checkpoint has; those after it will be made again.

        Raises:
            ModelError: some of them are not there.
        """
        if place.number:
            self._resumed_from = place.number
            self.rows = _rows(self._path, place.number)
        if self._write:
            remove_leftovers(self._path)
            write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())
            self._file = self._path.open("a", encoding="utf-8")
            if self._events_folder is not None:
                self._events = EventFiles(self._events_folder, place.number)

    def add(self, update: Update) -> None:
        row = asdict(update)
        # JSON has no NaN: the mean distance of pairs that a batch does not have
        row |= {name: figure if math.isfinite(figure) else None for name, figure in row.pop("figures").items()}
        if self._resumed_from is not None:
            row["resumed_from"] = self._resumed_from
        self.rows.append(row)
        if self._events is not None:
            self._events.add(row)
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")
            self._waiting += update.seconds
            if self._waiting > SECONDS:
                self.flush()

    def flush(self) -> None:
        """Bring all lines to the disk: a checkpoint must never know more updates than the file."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        if self._events is not None:
            self._events.flush()
        self._waiting = 0.0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()


@contextmanager
def metrics_file(path: Path, *, write: bool = True, events: Path | None = None) -> Iterator[Metrics]:
    """A metrics.jsonl that is complete when the block ends, however it ends; `events` is a folder for TensorBoard."""
    metrics = Metrics(path, write=write, events=events)
    try:
        yield metrics
    finally:
        metrics.close()


def _rows(path: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` updates; a line cut off by a kill comes after them."""
    try:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in itertools.islice(file, count)]
        if [row["number"] for row in rows] != list(range(1, count + 1)):
            raise ValueError(f"they are not the updates 1 to {count}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} has lost updates that the checkpoint beside it has ({error}).",
            hint="Put it back as it was, or start anew with another --out.",
        ) from error
    return rows
