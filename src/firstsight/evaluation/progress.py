"""How a protocol tells how far it is, without knowing who listens."""

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called as on_progress(stage, done, total)."""


def silent(stage: str, done: int, total: int) -> None:
    """The default listener."""


def counter(on_progress: OnProgress, stage: str, total: int) -> Callable[[int], None]:
    """A listener for a job that knows only how much it has just done."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        on_progress(stage, done, total)

    return add
