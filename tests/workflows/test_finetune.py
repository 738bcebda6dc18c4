"""A run that begins with a model: what it takes over, that it ends better or with that very model, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faces import portrait
from pictures import write_identities

from firstsight.config import Network, Preprocessing, Recipe
from firstsight.errors import DataError, FirstsightError
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, load_model, make_model, save_model
from firstsight.models.registry import build_network
from firstsight.recipes import read_recipe, with_flags
from firstsight.workflows.forget import models_trained_on, note_training
from firstsight.workflows.prepare import open_job
from firstsight.workflows.progress import silent
from firstsight.workflows.train_run import Run, train

FLAGS: dict[str, Any] = {
    "identities": 4, "pictures": 3, "epochs": 3, "frozen_epochs": 1, "optimizer": "adamw", "learning_rate": 0.02,
    "augment": 0.0,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_identities(tmp_path / "photos")


@pytest.fixture
def blind(tmp_path: Path) -> Model:
    """A model to which all pictures are nearly the same, said to be trained on some Ada."""
    config = ModelConfig(
        network=Network(channels=(4, 8), embedding_size=16),
        preprocessing=Preprocessing(height=16, width=16, color="gray"),
        trained={"data": str(tmp_path / "photos"), "identities": 8},
    )
    network = build_network(config)
    with torch.no_grad():
        network[1][0].weight *= 1e-4
        network[1][0].bias.fill_(1.0)
    model = save_model(make_model(network, config, name="blind"), tmp_path / "blind")
    note_training(tmp_path / "blind", model_identity=model.identity, data="before", names=["ada"])
    return model


def tune(photos: Path, model: Model, out: Path, **flags: Any) -> Run:
    recipe = with_flags(Recipe(), data=str(photos), start_from=str(model.folder), **FLAGS | flags)
    return train(recipe, out=out)


def test_it_takes_over_network_and_preprocessing_and_gets_better(photos: Path, blind: Model, tmp_path: Path) -> None:
    run = tune(photos, blind, tmp_path / "run")
    saved = load_model(tmp_path / "run")
    assert (saved.config.network, saved.config.preprocessing) == (blind.config.network, blind.config.preprocessing)
    assert saved.identity == run.model.identity != blind.identity
    assert saved.config.trained["start_identity"] == blind.identity
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["auc"] > report["against_auc"]
    assert report["auc_difference"] == report["auc"] - report["against_auc"]
    assert report["kept_start"] is False
    assert "Side by side" in (tmp_path / "run" / "report.html").read_text()
    assert {trained["run"] for trained in models_trained_on("ada")} == {str(tmp_path / "blind"), str(tmp_path / "run")}
    written = read_recipe(tmp_path / "run" / "recipe.toml")
    assert written.start.model == str(blind.folder)
    assert "[network]" not in (tmp_path / "run" / "recipe.toml").read_text(), "it would have no effect"
    again = train(tmp_path / "run" / "recipe.toml", out=tmp_path / "again")
    assert again.model.identity == run.model.identity


@pytest.mark.parametrize(("epochs", "frozen", "warned"), [(2, 2, True), (1, 2, True), (1, 0, False)])
def test_that_all_but_the_last_layer_stays_as_it_was_is_said(
    epochs: int, frozen: int, warned: bool, photos: Path, blind: Model, tmp_path: Path
) -> None:
    said: list[str] = []
    flags = FLAGS | {"epochs": epochs, "frozen_epochs": frozen}
    recipe = with_flags(Recipe(), data=str(photos), start_from=str(blind.folder), **flags)
    run = train(recipe, out=tmp_path / "run", on_warning=said.append)
    warning = f"Warning: the last layer alone learns, for --epochs {epochs} is not above --frozen-epochs {frozen}."
    assert (warning in said) == warned
    before, after = blind.network.state_dict(), run.model.network.state_dict()
    trunk_stayed = all(torch.equal(before[name], after[name]) for name in before if name.startswith("0."))
    assert trunk_stayed == warned


def test_where_no_faces_are_found_what_helps_is_said(photos: Path, tmp_path: Path) -> None:
    recipe = with_flags(Recipe(), data=str(photos), start_from="faces", **FLAGS)
    helps = r"If they are aligned faces already, or show none, add --align none\."
    with pytest.raises(DataError, match=rf"none of 24 pictures can be used; the last shows no face\. {helps}"):
        train(recipe, out=tmp_path / "run")
    for folder in photos.iterdir():
        portrait().save(folder / "0.png")
    few = r"has 0 identities with 2 pictures or more, and 1 is needed\. 18 pictures were left out: p\d/3.png shows no "
    with pytest.raises(DataError, match=rf"{few}face\. {helps}"):
        train(recipe, out=tmp_path / "run")
    job = open_job(with_flags(recipe, align="none"), silent, start=load_model("faces"))
    assert (job.learned, job.unreadable) == ({"identities": 6, "pictures": 24}, ())


def test_what_got_no_better_is_not_shipped(photos: Path, blind: Model, tmp_path: Path) -> None:
    warnings: list[str] = []
    recipe = with_flags(Recipe(), data=str(photos), start_from=str(blind.folder), **FLAGS | {"learning_rate": 0.0})
    run = train(recipe, out=tmp_path / "run", on_warning=warnings.append)
    assert run.kept_start
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "run" / "model" / name).read_bytes() == (tmp_path / "blind" / name).read_bytes(), name
    auc = run.figures["auc"]
    said = f"has the AUC {auc:.4f}, and no epoch more; the best, epoch 1, has {auc:.4f}."
    assert said in run.kept
    assert said in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "report.json").read_text())["kept_start"] is True
    assert [found["run"] for found in models_trained_on("p1")] == [], "it has learned nothing from them"
    assert [warning.startswith("Warning: ") for warning in warnings] == [True]
    assert f"was trained on data called {photos}" in warnings[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"holdout": 0.0}, r"^Whether .*blind gets better or worse is measured on held-out identities, and "),
        ({"channels": (8,)}, r"^--channels has no effect with --start-from .*blind. Leave it out.$"),
        ({"height": 32}, r"^--height has no effect with --start-from"),
        ({"network": "nn2"}, r"^--network has no effect with --start-from"),
        ({"start_from": "nobody"}, r"^There is no model "),
        ({"start_from": ""}, r"^--frozen-epochs has no effect without --start-from MODEL. Leave it out.$"),
        ({"task": "classification"}, r" has no effect with --task classification."),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_cannot_be_is_refused(
    flags: dict[str, Any], said: str, photos: Path, blind: Model, tmp_path: Path
) -> None:
    with pytest.raises(FirstsightError, match=said):
        train(
            with_flags(Recipe(), **{"data": str(photos), "start_from": str(blind.folder)} | FLAGS | flags),
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_a_model_of_classes_is_refused(photos: Path, blind: Model, tmp_path: Path) -> None:
    config = replace(blind.config, task="classification", outputs=("a", "b"))
    classes = save_model(make_model(build_network(config), config, name="classes"), tmp_path / "classes")
    with pytest.raises(FirstsightError, match="was trained for classification, and makes no embeddings"):
        tune(photos, classes, tmp_path / "run")
