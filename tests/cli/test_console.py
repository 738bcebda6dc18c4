"""What is shown while one waits: on a terminal a bar, in a pipe a line for each tenth."""

import io

import pytest
from rich.console import Console

from firstsight.cli import console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for the test to set."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_tenth_with_the_time_that_is_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Resumed at 50 of 100, it takes two seconds for each from there."""
    with console.progress() as show:
        for done in range(50, 101):
            show("Training", done, 100, {"epoch": "3/4", "loss": 0.0123456, "examples/s": 12345.6})
            clock[0] += 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Training: 50/100 epoch 3/4  loss 0.0123  examples/s 12,346"
    assert lines[1] == "Training: 60/100 epoch 3/4  loss 0.0123  examples/s 12,346  left 0:01:20"
    assert [line.rpartition("  left ")[2] for line in lines[1:-1]] == ["0:01:20", "0:01:00", "0:00:40", "0:00:20"]
    assert lines[-1].startswith("Training: 100/100")
    assert "left" not in lines[-1]


def test_a_bar_has_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=shown, force_terminal=True, width=150))
    with console.progress() as show:
        show("Training", 1, 2, {"epoch": "1/2", "loss": 0.5, "AUC": 0.75})
        show("Training", 2, 2, {"epoch": "2/2", "loss": 0.25, "AUC": 0.875})
    for words in ("Training", "2/2", "epoch 2/2  loss 0.25  AUC 0.875", "0:00:00"):
        assert words in shown.getvalue()


def test_for_programs_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=True) as show:
        show("Training", 1, 1, {})
    assert capsys.readouterr() == ("", "")
