"""Trials before a run: what they say is what the run will do, and nothing is left behind."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from example_files import GROUPS, PLANE, groups, plane, write_table
from pictures import write_identities
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.errors import DataError, RecipeError
from firstsight.recipes import with_flags
from firstsight.training.randomness import generator_for
from firstsight.workflows import overfit as overfitting
from firstsight.workflows.dry_run import DryRun, dry_run
from firstsight.workflows.embedding_job import EmbeddingJob
from firstsight.workflows.overfit import Overfit, overfit, overfit_recipe
from firstsight.workflows.prepare import open_job
from firstsight.workflows.progress import silent
from firstsight.workflows.train_run import train
from firstsight.workflows.trials import fit_while

SMALL: dict[str, Any] = {
    "height": 16, "width": 16, "channels": (8, 16), "embedding_size": 16, "identities": 3, "pictures": 3, "epochs": 2,
    "margin": 1.0,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_identities(tmp_path / "photos", identities=10, each=5)


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    return write_table(tmp_path / "houses.csv", plane())


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    return write_table(tmp_path / "plants.csv", groups())


def tried(data: Path, **flags: Any) -> DryRun:
    return dry_run(with_flags(Recipe(), data=str(data), **flags))


def learned(data: Path, examples: int, **flags: Any) -> Overfit:
    return overfit(with_flags(Recipe(), data=str(data), **flags), examples)


def test_a_dry_run_says_what_the_run_then_does(photos: Path, tmp_path: Path) -> None:
    """The oracle is the run itself."""
    (photos / "p1" / "9.png").write_text("not a picture")
    recipe = with_flags(Recipe(), data=str(photos), **SMALL)
    found = dry_run(recipe)
    run = train(recipe, out=tmp_path / "run")
    first = run.updates[0]
    assert found.figures["loss"] == first["loss"]
    assert (found.figures["considered"], found.figures["active"]) == (first["considered"], first["active"])
    assert found.figures["updates_per_epoch"] * 2 == len(run.updates)
    assert found.figures["batch_shape"] == [first["examples"], 1, 16, 16]
    assert (found.figures["identities"], found.figures["held_out_identities"]) == (8, 2)
    assert found.figures["pictures"] + found.figures["held_out_pictures"] + found.figures["unreadable"] == 51
    assert found.figures["parameters"] == sum(weight.numel() for weight in run.model.network.parameters())
    assert all(math.isfinite(value) for value in found.figures.values() if isinstance(value, float))


def test_layers_are_those_that_the_picture_passes(photos: Path) -> None:
    found = tried(photos, **SMALL)
    kinds = [layer.kind for layer in found.layers]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear", "UnitLength"]
    assert [layer.shape for layer in found.layers[::4]] == [(8, 16, 16), (16, 8, 8), (256,)]
    assert [layer.parameters for layer in found.layers[:3]] == [8 * 9, 2 * 8, 0]
    assert found.layers[-2].parameters == 256 * 16 + 16
    assert sum(layer.parameters for layer in found.layers) == found.figures["parameters"]


def test_what_a_dry_run_says_is_flat_and_in_words(houses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.workflows.dry_run.ENOUGH_SECONDS", math.inf)
    found = tried(houses, target=("price",), **PLANE | {"batch_size": 30, "hidden": (5,)})
    plain = json.loads(json.dumps(found.to_json()))
    assert not any(isinstance(value, dict) for value in plain.values())
    assert (plain["shape_0.1_Linear"], plain["parameters_0.1_Linear"]) == ([5], 20)
    rows = dict(found.rows())
    assert rows["learned from"] == "64 examples"
    assert rows["held out"] == "16 examples; a batch of them was measured"
    assert rows["batch"] == "30 x 3"
    assert rows["updates an epoch"] == "3"
    assert "median of 20, after one" in rows["time an update"]
    assert "triplets" not in rows


def test_durations_come_from_the_median_update(houses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.workflows.dry_run.ENOUGH_SECONDS", math.inf)
    figures = tried(houses, target=("price",), holdout=0.0, **PLANE).figures
    assert figures["seconds_per_update"] > 0
    assert figures["seconds_per_epoch"] == pytest.approx(8 * figures["seconds_per_update"])
    assert figures["seconds_for_the_run"] == pytest.approx(15 * figures["seconds_per_epoch"])
    assert figures["updates_timed"] == 20


def test_slow_updates_are_few(houses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.workflows.dry_run.ENOUGH_SECONDS", 0.0)
    assert tried(houses, target=("price",), **PLANE).figures["updates_timed"] == 1


@pytest.mark.parametrize(("epochs", "timed"), [(1, 3), (2, 3), (3, 3), (15, 15)])
def test_a_run_that_is_long_enough_is_timed_as_it_is(
    houses: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, timed: int
) -> None:
    """How many updates there are decides whether they are replayed. Of 8 updates an epoch, 21 are made."""
    made: list[int] = []

    def fit(*parts: Any) -> None:
        made.append(parts[2].training.epochs)
        fit_while(*parts)

    monkeypatch.setattr("firstsight.workflows.dry_run.fit_while", fit)
    figures = tried(houses, target=("price",), holdout=0.0, **PLANE | {"epochs": epochs}).figures
    assert (figures["updates_per_epoch"], figures["epochs"]) == (8, epochs)
    assert made == [timed]


def test_a_dry_run_measures_a_batch_of_what_is_held_out(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: EmbeddingJob, network: nn.Module, at_most: int | None = None) -> float:
        raise DataError(f"measured {at_most}")

    monkeypatch.setattr(EmbeddingJob, "validate", broken)
    with pytest.raises(DataError, match="measured 64"):
        tried(photos, **SMALL)
    assert dict(tried(photos, holdout=0.0, **SMALL).rows())["held out"] == "nothing"


def test_trials_leave_a_network_of_ones_own_as_it_is(photos: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 12))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    recipe = with_flags(Recipe(), data=str(photos), **SMALL)
    assert [layer.kind for layer in dry_run(recipe, network=network).layers] == ["Flatten", "Linear", "UnitLength"]
    assert overfit(recipe, 8, network=network).proven
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("loss", ["quadratic", "cross-entropy"])
def test_classes_are_learned_by_heart(plants: Path, loss: str) -> None:
    found = learned(plants, 12, target=("kind",), loss=loss, **GROUPS)
    assert found.proven
    assert found.taken == {"examples": 12}
    assert found.last_loss <= 0.01 * found.first_loss
    assert "The wiring is proven" in found.in_words()


@pytest.mark.parametrize(
    "flags",
    [{}, {"select": "semihard"}, {"chunk_size": 4, "norm": "group"}, {"orientations": 8}, {"loss": "pml:NTXentLoss"}],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_identities_are_learned_by_heart(photos: Path, flags: dict[str, Any]) -> None:
    fitting = {name: value for name, value in SMALL.items() if name != "margin" or "loss" not in flags}
    found = learned(photos, 12, **fitting | flags)
    assert found.proven
    assert found.taken == {"identities": 4, "pictures": 12}


def test_a_loss_that_cannot_end_at_zero(photos: Path) -> None:
    """Four points on a sphere are at most 2·4/3 apart, so softplus of minus that is where the soft loss ends."""
    found = learned(photos, 12, select="batch-hard", soft=True, **SMALL)
    assert found.least_loss == pytest.approx(math.log1p(math.exp(-8 / 3)), rel=1e-5)
    assert found.proven
    assert found.last_loss > 0.05


class Severed(nn.Module):
    """What it gives does not depend on the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(256, 12))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        output: Tensor = self.layers(0 * x_BCHW)
        return output


def test_a_broken_wire_is_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitting, "UPDATES", 30)
    told: list[str] = []
    recipe = with_flags(Recipe(), data=str(photos), **SMALL)
    found = overfit(recipe, 8, network=Severed(), on_warning=told.append)
    assert not found.proven
    assert (found.updates, found.learning_rate) == (30, pytest.approx(0.001)), "lower rates were tried"
    assert found.left == pytest.approx(1.0)
    assert "The wiring is not proven: 1e+02 % is left" in found.in_words()
    assert "collapsing to a point" in told[0]


def test_equal_rows_with_different_targets_cannot_be_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitting, "UPDATES", 50)
    rows = {"x": [float(i // 2) for i in range(20)], "y": [float(i % 2) for i in range(20)]}
    found = learned(write_table(tmp_path / "rows.csv", rows), 20, target=("y",), **PLANE | {"hidden": (20,)})
    assert not found.proven
    assert found.left > 0.5
    assert "examples that are equal may have different labels" in " ".join(found.in_words().split())


@pytest.mark.parametrize("rate", [3.0, 20.0])
def test_a_rate_that_is_too_high_is_no_fault_of_the_wiring(houses: Path, rate: float) -> None:
    """Descent on a quadratic function diverges at the first rate, and may overflow."""
    found = learned(houses, 10, target=("price",), **PLANE | {"learning_rate": rate})
    assert found.proven
    assert found.learning_rate == pytest.approx(rate / 10 if rate < 10 else rate / 100)


def test_who_asks_for_more_than_there_are_reads_how_many_there_were(houses: Path, photos: Path) -> None:
    found = learned(houses, 100_000, target=("price",), **PLANE)
    assert found.taken == {"examples": 80}
    assert found.in_words().startswith("80 examples (100,000 were asked for; there are no more), ")
    few = learned(photos, 100_000, **SMALL).in_words()
    assert few.startswith(
        "30 pictures of 10 identities (100,000 were asked for; of each identity two to --pictures are"
    )
    assert "asked" not in learned(houses, 10, target=("price",), **PLANE).in_words()


def test_where_there_is_nothing_to_learn_nothing_is_proven(photos: Path) -> None:
    """Pictures that even an untrained network tells apart by the margin."""
    found = learned(photos, 12, **SMALL | {"margin": 0.0, "select": "batch-hard"})
    assert (found.first_loss, found.updates, found.proven) == (0.0, 1, False)
    assert "there was nothing to learn" in found.in_words()


def test_what_would_hold_it_back_is_off(houses: Path) -> None:
    """Weight decay, patience and held-out data: the recipe may ask for all of them."""
    recipe = with_flags(Recipe(), data=str(houses), target=("price",), patience=1, **PLANE | {"weight_decay": 10.0})
    assert overfit(recipe, 10).proven


@pytest.mark.parametrize("change", ["augment", "elastic", "strokes"])
def test_each_epoch_shows_the_pictures_as_they_are(photos: Path, change: str) -> None:
    recipe = with_flags(Recipe(), data=str(photos), **SMALL | {"augment": 0.0, change: 1.0})
    feed = open_job(overfit_recipe(recipe, 12), silent, few=12).feed

    def shown(epoch: int) -> Tensor:
        (indices_B,) = feed.plan(epoch)
        x_BCHW, _ = feed.fetch(indices_B, generator_for(0, "update", epoch))
        return x_BCHW[indices_B.argsort()]

    assert len(shown(1)) == 12
    assert torch.equal(shown(1), shown(2))


def test_held_out_groups_may_be_learned_by_heart(tmp_path: Path) -> None:
    """Two alphabets of a symbol each: without the one held out, there is no pair to learn."""
    for first, group in enumerate(("greek", "latin")):
        write_identities(tmp_path / "photos" / group, identities=1, first=first)
    found = learned(tmp_path / "photos", 8, holdout_groups=("greek",), **SMALL)
    assert (found.proven, found.taken) == (True, {"identities": 2, "pictures": 6})


@pytest.mark.parametrize(("task", "least"), [("embedding", 4), ("classification", 2), ("regression", 2)])
def test_too_few_to_prove_anything(photos: Path, task: str, least: int) -> None:
    with pytest.raises(
        RecipeError, match=f"--overfit {least - 1} is too few: the least are {least} .* Try --overfit 16"
    ):
        learned(photos, least - 1, task=task)
