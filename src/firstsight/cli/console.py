"""What the verbs print: a progress bar on a terminal, plain lines in a pipe."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from firstsight.plain import finite
from firstsight.workflows.progress import OnProgress, silent

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


BLINK = 0.1


def print_json(plain: dict[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    print(json.dumps(finite(plain), ensure_ascii=False, allow_nan=False), flush=True)


def say(text: str, plain: dict[str, Any], *, json: bool) -> None:
    """One sentence on stdout, or the same as a JSON object."""
    if json:
        print_json(plain)
    else:
        out.print(text, markup=False)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[OnProgress]:
    """Show the stages of a workflow on stderr while the block runs."""
    if quiet:
        yield silent
    elif err.is_terminal:
        with _bars() as bars:
            yield _on_bars(bars)
    else:
        yield _on_lines()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """A table on stdout; every column but the first is right-aligned."""
    grid = Table(title=title or None, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*map(escape, row))
    # a pipe has no width: nothing is cut there
    Console(highlight=False, width=None if out.is_terminal else 200).print(grid)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        console=err,
    )


def _on_bars(bars: Progress) -> OnProgress:
    tasks: dict[str, TaskID] = {}
    shown = 0.0

    def show(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < BLINK and done < total:  # a small network makes thousands of updates in a second
            return
        shown = now
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, figures="")
        bars.update(tasks[stage], completed=done, total=total, figures=_text(figures))

    return show


def _on_lines() -> OnProgress:
    shown: dict[str, int] = {}
    began: dict[str, tuple[float, int]] = {}

    def show(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        tenth = 10 * done // max(total, 1)
        if shown.get(stage) == tenth:
            return
        shown[stage] = tenth
        start, before = began.setdefault(stage, (time.monotonic(), done))
        if before < done < total:
            seconds = (time.monotonic() - start) * (total - done) / (done - before)
            figures = figures | {"left": timedelta(seconds=round(seconds))}
        print(f"{stage}: {done}/{total} {_text(figures)}".rstrip(), file=sys.stderr, flush=True)

    return show


def _text(figures: dict[str, Any]) -> str:
    return "  ".join(f"{name} {_number(figure)}" for name, figure in figures.items())


def _number(figure: Any) -> str:
    if not isinstance(figure, float):
        return str(figure)
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
