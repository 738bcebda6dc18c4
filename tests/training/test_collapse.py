"""The collapse alarm: it sounds when the embedding falls to a point, soon, and not otherwise."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import draw_identity
from small_runs import CPU, parts
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.models.embedding import UnitLength
from firstsight.recipes import with_flags
from firstsight.training.collapse import SPREAD, UPDATES, watch_for_collapse
from firstsight.training.loop import Update, fit
from firstsight.workflows.train_run import train

CONSTANT: dict[str, Any] = {"schedule": "constant", "weight_decay": 0.0, "augment": 0.0}
HARDEST: dict[str, Any] = {"select": "batch-hard", "norm": "group", "augment": 3.0, "learning_rate": 0.1, "epochs": 20}
"""Strong augmentation makes the pictures hard to tell apart; the hardest pairs at a high rate do the rest."""


def watched(network: nn.Module | None = None, **flags: Any) -> tuple[list[Update], list[tuple[int, str]]]:
    """Train, and note the alarms with the number of their update."""
    run = parts(**CONSTANT | flags)
    updates: list[Update] = []
    alarms: list[tuple[int, str]] = []
    watch = watch_for_collapse(run.recipe.loss.margin)

    def on_update(update: Update) -> None:
        updates.append(update)
        if warning := watch(update):
            alarms.append((update.number, warning))

    fit(*run._replace(network=network or run.network), device=CPU, on_update=on_update)
    return updates, alarms


def spreads(updates: list[Update]) -> list[float]:
    return [update.figures["spread"] for update in updates]


class Narrow(nn.Module):
    """A network whose embeddings begin close together: a large constant hides what it makes of the pictures."""

    def __init__(self, share: float) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.map = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh())
        self.share = share
        self.unit = UnitLength()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BD: Tensor = self.unit(self.share * self.map(x_BCHW) + torch.ones(8) / 8**0.5)
        return x_BD


def test_the_hardest_negatives_at_a_high_rate_collapse_and_are_told() -> None:
    """FaceNet, section 3.2, provoked: a healthy network falls to a point, and the loss stays at the margin."""
    updates, alarms = watched(**HARDEST)
    assert updates[0].figures["spread"] > 2 * SPREAD
    assert updates[-1].figures["spread"] < SPREAD / 10
    assert updates[-1].loss == pytest.approx(0.2, abs=0.02)
    ((number, warning),) = alarms
    fell = next(i for i, _ in enumerate(updates) if max(spreads(updates[i:])) < SPREAD)
    assert fell < number <= fell + UPDATES + 3, "within a few updates of its happening, and once"
    spread, loss = updates[number - 1].figures["spread"], updates[number - 1].loss
    assert warning == (
        f"Update {number}: the embedding is collapsing to a point (spread {spread:.4f}, 100% of the triplets active, "
        f"loss {loss:.3f} at margin 0.2). Try --select all or semihard, a lower --learning-rate, or a larger batch."
    )


def test_a_network_that_stays_at_a_point_is_told() -> None:
    updates, alarms = watched(Narrow(0.05), learning_rate=0.0, epochs=5)
    assert max(spreads(updates)) < SPREAD
    assert [number for number, _ in alarms] in ([n] for n in range(UPDATES, 2 * UPDATES))


@pytest.mark.parametrize("select", ["all", "semihard"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_healthy_run_gives_no_alarm(select: str, norm: str) -> None:
    updates, alarms = watched(select=select, norm=norm, learning_rate=0.05, epochs=25)
    last = updates[-1].figures
    assert last["mean_same"] + 0.2 < last["mean_different"], "it learned"
    assert not alarms


def test_a_run_that_begins_at_a_point_and_leaves_it_gives_no_alarm() -> None:
    updates, alarms = watched(Narrow(0.1), learning_rate=0.2, epochs=30)
    assert max(spreads(updates[:UPDATES])) < SPREAD, "for longer than the alarm waits"
    assert updates[-1].figures["spread"] > 2 * SPREAD
    assert not alarms


def stream(values: list[float], *, margin: float = 0.2, active: float = 1.0) -> list[int]:
    """Where the alarm sounds in a run with these spreads."""
    watch = watch_for_collapse(margin)
    sounded = []
    for number, spread in enumerate(values, start=1):
        figures = {"spread": spread, "mean_different": 2 * spread, "considered": 100, "active": 100 * active}
        if watch(Update(number, 1, 0.5, 0.1, margin, 12, 0.1, figures)):
            sounded.append(number)
    return sounded


def test_a_long_step_that_is_made_good_gives_no_alarm() -> None:
    """As AdamW at a high rate had it with real pictures: thrown together, and apart again."""
    assert stream([0.4, 0.018, 0.012, 0.010, 0.010, 0.011, 0.014, 0.016, 0.018, 0.019, 0.0199, 0.074, 0.25]) == []


def test_the_alarm_sounds_once() -> None:
    assert stream([0.3] * 5 + [0.01] * 40) == [5 + UPDATES]
    assert stream([0.3] * 5 + ([0.01] * (UPDATES - 1) + [0.3]) * 4) == [], "the count begins anew"


def test_identities_that_are_told_apart_are_no_collapse_however_close() -> None:
    """With a margin of 0.005, a spread of 0.01 is wide."""
    assert stream([0.0105] * 40, margin=0.005) == []
    assert stream([0.01] * 40, active=0.3) == [], "most triplets are content"
    assert stream([0.001] * 40, margin=0.005) == [UPDATES]
    assert stream([0.05] * 40) == [], "as wide as untrained networks are"


def test_other_losses_have_no_alarm() -> None:
    watch = watch_for_collapse(0.2)
    assert [watch(Update(number, 1, 0.5, 0.1, 0.2, 12, 0.1, {})) for number in range(40)] == [None] * 40


def test_the_alarm_is_heard_while_the_run_goes_on(tmp_path: Path) -> None:
    flags: dict[str, Any] = {
        "height": 8, "width": 8, "channels": (4, 8), "embedding_size": 8, "identities": 3, "pictures": 3, "holdout": 0.0
    }  # fmt: skip
    data = tmp_path / "photos"
    for person in range(6):
        (data / f"p{person}").mkdir(parents=True)
        for picture in range(4):  # what they have in common is the folder's name
            draw_identity(10 * person + picture, 0).save(data / f"p{person}" / f"{picture}.png")
    events: list[str] = []
    run = train(
        with_flags(Recipe(), data=str(data), **CONSTANT | HARDEST | flags), out=tmp_path / "run",
        on_progress=lambda stage, *_: events.append(stage), on_warning=events.append,
    )  # fmt: skip
    assert len(run.warnings) == 1
    assert "collapsing to a point" in run.warnings[0]
    assert "Training" in events[events.index(run.warnings[0]) :]
