"""The model folder: what is loaded is what was saved, or an error that says which file is at fault."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from firstsight.config import Network, Preprocessing
from firstsight.errors import ModelError, RecipeError, StorageError
from firstsight.model_config import GroupRate, ModelConfig, OperatingPoint, Step
from firstsight.models.folder import (
    CONFIG,
    WEIGHTS,
    Model,
    keep_operating_point,
    load_model,
    make_model,
    save_model,
    set_operating_point,
)
from firstsight.models.registry import CUSTOM, build_network, own_network

CONFIG_OF_TINY = ModelConfig(
    network=Network(channels=(4, 8), embedding_size=16), preprocessing=Preprocessing(height=12, width=10, color="rgb")
)


def tiny(seed: int = 0, config: ModelConfig = CONFIG_OF_TINY) -> Model:
    network = build_network(config, seed=seed)
    return make_model(network, config, name="tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "model"


def test_what_is_loaded_is_what_was_saved(folder: Path) -> None:
    saved = save_model(tiny(), folder)
    loaded = load_model(folder)
    x_BCHW = torch.randn(3, 3, 12, 10)
    assert torch.equal(loaded.network(x_BCHW), saved.network(x_BCHW))
    assert loaded.config == saved.config
    assert not loaded.network.training
    assert load_model(folder.parent).identity == saved.identity, "a run folder leads to its model"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"], "nothing else is left behind"
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_embeddings_have_unit_length() -> None:
    x_BD = tiny().network(torch.randn(5, 3, 12, 10))
    assert x_BD.shape == (5, 16)
    torch.testing.assert_close(x_BD.norm(dim=1), torch.ones(5))


def test_identity_follows_weights_and_preprocessing_and_nothing_else() -> None:
    model = tiny()
    assert tiny().identity == model.identity, "the same seed"
    assert tiny(seed=1).identity != model.identity
    wider = replace(CONFIG_OF_TINY, preprocessing=replace(CONFIG_OF_TINY.preprocessing, mean=100.0))
    assert tiny(config=wider).identity != model.identity
    point = OperatingPoint(threshold=1, target=0.1, accepted=0, comparisons=9, identities=3)
    assert set_operating_point(model, point).identity == model.identity
    assert tiny(config=replace(CONFIG_OF_TINY, trained={"data": "x"})).identity == model.identity


def test_a_model_keeps_its_operating_point_without_its_weights_being_written(tmp_path: Path) -> None:
    model = save_model(tiny(), tmp_path / "model")
    weights = _written(tmp_path / "model" / WEIGHTS)
    steps = (Step(size=1, threshold=0.5, bound=0.1), Step(size=20, threshold=0.25, bound=0.09))
    groups = (GroupRate(group="gate", identities=9, size=1, rate=0.1, low=0.0, high=0.6, bound=0.5),)
    point = OperatingPoint(
        threshold=0.5, target=0.1, accepted=0, comparisons=9, identities=3, steps=steps, spread=0.2, groups=groups
    )
    kept = keep_operating_point(model, point)
    loaded = load_model(tmp_path / "model")
    assert loaded.config == kept.config
    assert loaded.config.operating_point == point
    assert loaded.identity == model.identity
    assert _written(tmp_path / "model" / WEIGHTS) == weights


def _written(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def test_a_model_folder_that_cannot_be_written_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tiny(), tmp_path / "model")
    before = (tmp_path / "model" / CONFIG).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    point = OperatingPoint(threshold=1, target=0.1, accepted=0, comparisons=9, identities=3)
    with pytest.raises(StorageError, match=r"No space left on device\. Keep it in a gallery instead: --gallery FILE"):
        keep_operating_point(model, point)
    assert (tmp_path / "model" / CONFIG).read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [CONFIG, WEIGHTS]
    with pytest.raises(StorageError, match="was not saved, so it cannot keep a threshold"):
        keep_operating_point(tiny(), point)


def test_building_a_network_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    tiny()
    assert torch.equal(torch.rand(3), expected)


def test_an_older_model_at_the_same_place_is_replaced(folder: Path) -> None:
    save_model(tiny(seed=1), folder)
    newer = save_model(tiny(seed=2), folder)
    assert load_model(folder).identity == newer.identity
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"]


def test_a_network_of_ones_own(folder: Path) -> None:
    config = replace(CONFIG_OF_TINY, network=Network(name=CUSTOM, channels=(), embedding_size=5))
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 10, 5))
    own = own_network(network, config)
    save_model(make_model(own, config, name="own"), folder)
    with pytest.raises(ModelError, match="network of your own. load_model"):
        load_model(folder)
    again = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 10, 5))
    x_BCHW = torch.randn(2, 3, 12, 10)
    assert torch.equal(load_model(folder, network=again).network(x_BCHW), own(x_BCHW))
    with pytest.raises(ModelError, match="do not fit the network custom: size mismatch"):
        load_model(folder, network=nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 10, 6)))


def test_layers_that_share_their_weights_are_saved_and_loaded(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        layer = nn.Linear(5, 5)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 10, 5), layer, nn.ReLU(), layer)

    config = replace(CONFIG_OF_TINY, network=Network(name=CUSTOM, channels=(), embedding_size=5))
    saved = save_model(make_model(own_network(tied(), config), config, name="tied"), tmp_path / "tied")
    loaded = load_model(tmp_path / "tied", network=tied())
    assert loaded.identity == saved.identity
    x_BCHW = torch.randn(2, 3, 12, 10)
    assert torch.equal(loaded.network(x_BCHW), saved.network(x_BCHW))


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(RecipeError, match="no network 'resnet'. Known: conv, mlp"):
        build_network(ModelConfig(network=Network(name="resnet"), preprocessing=Preprocessing(color="gray")))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file(folder: Path, name: str) -> None:
    save_model(tiny(), folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"The model folder lacks .*{name}: No such file"):
        load_model(folder)


def test_altered_weights(folder: Path) -> None:
    save_model(tiny(), folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors was altered after it was written"):
        load_model(folder)


def test_altered_preprocessing(folder: Path) -> None:
    save_model(tiny(), folder)
    config = json.loads((folder / CONFIG).read_text())
    config["preprocessing"]["height"] = 16
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json was altered after it was written"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 9}', "has format 9"),
        ('{"format": 1, "taks": 1}', "taks"),
    ],
)
def test_a_config_that_is_none(folder: Path, content: str, said: str) -> None:
    save_model(tiny(), folder)
    (folder / CONFIG).write_text(content)
    with pytest.raises(ModelError, match=rf"config\.json.*{said}"):
        load_model(folder)


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no model .*nowhere.*firstsight train"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is not a model folder"):
        load_model(tmp_path)


def test_a_disk_that_fails_leaves_the_older_model_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = save_model(tiny(), folder)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written: No space left on device. Free space"):
        save_model(tiny(seed=1), folder)
    assert load_model(folder).identity == older.identity
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    shutil.rmtree(folder)


def test_a_new_model_that_cannot_take_its_place_leaves_the_older_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = save_model(tiny(), folder)
    rename = os.rename

    def fail_to_move_in(source: Path, target: Path) -> None:
        if Path(target) == folder and ".model-old" not in str(source):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_move_in)
    with pytest.raises(StorageError, match="No space left on device"):
        save_model(tiny(seed=1), folder)
    assert load_model(folder).identity == older.identity
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_is_no_model_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "ada.jpg").write_text("precious")
    with pytest.raises(ModelError, match="photos holds something else than a model"):
        save_model(tiny(), tmp_path / "photos")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert (tmp_path / "photos" / "ada.jpg").read_text() == "precious"
