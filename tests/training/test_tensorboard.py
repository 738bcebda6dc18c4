"""Event files: the curves of metrics.jsonl, each point once, whatever ended the run."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import write_identities
from small_runs import PICTURES, read_metrics

from firstsight.config import Recipe
from firstsight.errors import MissingExtra
from firstsight.recipes import with_flags
from firstsight.training import tensorboard
from firstsight.training.checkpoint import Place
from firstsight.training.loop import Update
from firstsight.training.metrics import metrics_file
from firstsight.workflows.train_run import train

Curve = dict[int, float]


def curves(folder: Path) -> dict[str, Curve]:
    """What TensorBoard itself reads; a step that came twice is an error."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    found = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for points in found.values():
        assert len({step for step, _ in points}) == len(points)
    return {tag: dict(points) for tag, points in found.items()}


def written(folder: Path, numbers: range, *, done: int = 0, loss: float = 1.0, seconds: float = 0.5) -> None:
    with metrics_file(folder / "metrics.jsonl", events=folder / "events") as metrics:
        metrics.start(Place(number=done))
        for number in numbers:
            figures = {"spread": 0.5, "mean_same": float("nan")} | ({"held_out": 0.9} if number % 4 == 0 else {})
            metrics.add(Update(number, 1, number / 8, 0.25, loss / number, 4, seconds, figures))


def test_each_figure_is_a_curve(tmp_path: Path) -> None:
    written(tmp_path, range(1, 9))
    found = curves(tmp_path / "events")
    assert set(found) == {"epoch", "learning_rate", "loss", "spread", "held_out", "examples_per_second"}
    assert found["loss"] == pytest.approx({number: 1 / number for number in range(1, 9)})
    assert found["held_out"] == pytest.approx({4: 0.9, 8: 0.9})
    assert set(found["examples_per_second"].values()) == {8.0}


def test_updates_that_are_made_again_count_once(tmp_path: Path) -> None:
    """Five updates, a checkpoint at the third, a kill; then it goes on with other numbers."""
    written(tmp_path, range(1, 6))
    written(tmp_path, range(4, 9), done=3, loss=2.0)
    assert curves(tmp_path / "events")["loss"] == pytest.approx(
        {number: (1 if number <= 3 else 2) / number for number in range(1, 9)}
    )


def test_a_run_begun_anew_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    written(tmp_path, range(1, 6))
    written(tmp_path, range(1, 4), loss=2.0)
    assert curves(tmp_path / "events")["loss"] == pytest.approx({number: 2 / number for number in range(1, 4)})


def test_quick_updates_give_few_points_and_all_held_out_figures(tmp_path: Path) -> None:
    written(tmp_path, range(1, 31), seconds=0.01)
    found = curves(tmp_path / "events")
    assert set(found["held_out"]) == {4, 8, 12, 16, 20, 24, 28}
    assert len(found["loss"]) < 12
    assert 1 in found["loss"]


def test_a_run_and_what_it_is_resumed_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask again for the curves of a run that has some."""
    monkeypatch.setattr(tensorboard, "SECONDS", 0.0)
    recipe = with_flags(Recipe(), data=str(write_identities(tmp_path / "photos")), **PICTURES, checkpoint_every=2)
    out = tmp_path / "run"

    def stop(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if (stage, done) == ("Training", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=out, tensorboard=True, on_progress=stop)
    assert set(curves(out / "tensorboard")["loss"]) == {1, 2, 3, 4, 5}
    train(recipe, out=out, resume=True)
    rows = read_metrics(out)
    assert len(rows) > 5
    assert curves(out / "tensorboard")["loss"] == pytest.approx({row["number"]: row["loss"] for row in rows}, rel=1e-6)


def test_another_rank_writes_none(tmp_path: Path) -> None:
    with metrics_file(tmp_path / "metrics.jsonl", write=False, events=tmp_path / "events") as metrics:
        metrics.start(Place())
        metrics.add(Update(1, 1, 1.0, 0.1, 1.0, 4, 0.5, {}))
    assert not list(tmp_path.iterdir())


def test_without_the_extra_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match=r"need tensorboard, .* pip install \"firstsight\[tensorboard\]\""):
        train(with_flags(Recipe(), data=str(tmp_path)), out=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
