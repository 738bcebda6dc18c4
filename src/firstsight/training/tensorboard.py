"""Curves for TensorBoard: what metrics.jsonl holds, as event files."""

from pathlib import Path
from typing import Any

from firstsight.errors import MissingExtra

SECONDS = 0.1
"""Of training between two points of a curve: to write one takes as long as an update of a small network."""
NO_CURVES = ("number", "progress", "examples", "seconds", "resumed_from")


def require_tensorboard() -> None:
    """Refuse early what would fail late.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Event files need tensorboard, which is not installed.", extra="tensorboard") from error


class EventFiles:
    """A folder for `tensorboard --logdir`; a curve for each figure over the number of updates."""

    def __init__(self, folder: Path, done: int) -> None:
        """What is there of updates after the first `done` is no longer valid: they will be made again."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done + 1)
        self._waited = SECONDS

    def add(self, row: dict[str, Any]) -> None:
        """Take a line of metrics.jsonl."""
        self._waited += row["seconds"]
        if self._waited < SECONDS and "held_out" not in row:
            return
        self._waited = 0.0
        for name, figure in row.items():
            if name not in NO_CURVES and figure is not None:
                self._writer.add_scalar(name, figure, row["number"])
        self._writer.add_scalar("examples_per_second", row["examples"] / row["seconds"], row["number"])

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
