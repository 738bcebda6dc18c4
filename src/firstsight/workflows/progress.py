"""How a long job tells how far it is, without knowing who listens."""

from collections.abc import Callable
from typing import Any

OnProgress = Callable[[str, int, int, dict[str, Any]], None]
"""Called as on_progress(stage, done, total, figures); `figures` are worth a glance while waiting."""


def silent(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
    """The default listener."""


def stages(on_progress: OnProgress, prefix: str = "") -> Callable[[str, int, int], None]:
    """A listener for a job that has stages but no figures."""
    return lambda name, done, total: on_progress(f"{prefix}{name}", done, total, {})


def stage(on_progress: OnProgress, name: str) -> Callable[[int, int], None]:
    """A listener for a job that knows only (done, total), as one stage of a longer one."""
    return lambda done, total: on_progress(name, done, total, {})
