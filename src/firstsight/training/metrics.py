"""metrics.jsonl: one line an update, for curves and for whoever watches."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from firstsight.training.loop import Update


class Metrics:
    """The updates so far, on disk and at hand."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.rows: list[dict[str, Any]] = []

    def add(self, update: Update) -> None:
        row = asdict(update)
        row |= row.pop("figures")
        self.rows.append(row)
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


@contextmanager
def metrics_file(path: Path) -> Iterator[Metrics]:
    """Open a new metrics.jsonl."""
    with path.open("w", encoding="utf-8") as file:
        yield Metrics(file)
