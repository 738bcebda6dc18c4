"""Learning from confirmed check-ins: what is learned from, and that model and gallery move together or not at all."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pictures import draw_identity

from firstsight.cli.main import main
from firstsight.config import Network, Optimizer, Preprocessing
from firstsight.errors import FirstsightError, GalleryError
from firstsight.functional.quantize import quantize
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.models.folder import Model, load_model, make_model, save_model, set_operating_point
from firstsight.models.registry import build_network
from firstsight.recipes import write_recipe
from firstsight.recognition.embed import crop, embed_pictures, to_png
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.recognizer import Recognizer
from firstsight.workflows import confirmed
from firstsight.workflows.forget import models_trained_on
from firstsight.workflows.learn_from_ledger import RECIPE, learn_from_ledger

PEOPLE = [f"p{i}" for i in range(24)]
QUICK = replace(
    RECIPE,
    batch=replace(RECIPE.batch, identities=6),
    optimizer=Optimizer(name="adamw", learning_rate=0.02),
    training=replace(RECIPE.training, epochs=5, augment=0.0),
)


@pytest.fixture
def near_blind(tmp_path: Path) -> Model:
    """A model to which all pictures are nearly the same."""
    config = ModelConfig(
        network=Network(channels=(4, 8), embedding_size=16),
        preprocessing=Preprocessing(height=16, width=16, color="gray"),
    )
    network = build_network(config)
    with torch.no_grad():
        network[1][0].weight *= 1e-4
        network[1][0].bias.fill_(1.0)
    point = OperatingPoint(threshold=1.0, target=0.001, accepted=0, comparisons=10**6, identities=1000)
    return save_model(set_operating_point(make_model(network, config, name="blind"), point), tmp_path / "blind")


@pytest.fixture
def door(tmp_path: Path, near_blind: Model) -> Iterator[Gallery]:
    """24 people, each enrolled from one picture and seen three times; an operator said who it was, and crops are kept.

    The first was seen once more, which nobody confirmed.
    """
    with Gallery(tmp_path / "door.sqlite") as gallery:
        recognizer = Recognizer(near_blind, gallery)
        for i, name in enumerate(PEOPLE):
            recognizer.enroll(name, draw_identity(i, 0), anyway=True)
        ledger = Ledger(gallery)
        for picture in (1, 2, 3):
            for i, name in enumerate(PEOPLE):
                ledger.correct(_seen(recognizer, i, picture), name)
        _seen(recognizer, 0, 4)
        yield gallery


def _seen(recognizer: Recognizer, identity: int, picture: int) -> int:
    seen = crop(draw_identity(identity, picture), recognizer.model.config.preprocessing)
    decision = recognizer.identify(seen)
    entry = Ledger(recognizer.gallery).record(
        "identify", decision, direction="in", probe=to_png(seen), keep_probe_days=30
    )
    return entry.id


def test_a_better_model_takes_the_gallery_with_it(
    door: Gallery, near_blind: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))
    warnings: list[str] = []
    learned = learn_from_ledger(door, QUICK, out=tmp_path / "run", on_warning=warnings.append)
    assert learned.better
    assert learned.difference is not None
    assert 0 < learned.difference.low <= learned.auc - learned.against_auc
    new = load_model(tmp_path / "run")
    assert (door.model_identity, door.model_name) == (new.identity, str((tmp_path / "run" / "model").resolve()))
    assert torch.equal(door.templates_of("p0"), quantize(embed_pictures(new, [draw_identity(0, 0)])))
    assert new.config.preprocessing == near_blind.config.preprocessing
    assert Recognizer(new, door).identify(draw_identity(3, 5)).nearest == "p3"
    assert any("promises less" in warning for warning in warnings), warnings
    written = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert written == json.loads(json.dumps(learned.to_json()))
    held_back = [name for name in PEOPLE if confirmed.is_held_back(name)]
    assert (written["people"], written["held_back_people"]) == (24, len(held_back))
    assert written["learned_pictures"] + written["held_back_pictures"] == 24 * 4, "what nobody confirmed is not learned"
    assert not models_trained_on(held_back[0])
    learned_from = next(name for name in PEOPLE if name not in held_back)
    assert models_trained_on(learned_from), "the receipts of forget know"
    assert not list((tmp_path / "cache").glob("*.pictures")), "what forget would have to erase"


def test_what_is_not_better_changes_nothing(
    door: Gallery,
    near_blind: Model,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = door.templates_of("p0")
    still = tmp_path / "still.toml"
    still.write_bytes(write_recipe(replace(QUICK, optimizer=replace(QUICK.optimizer, learning_rate=0.0))).encode())
    words = ["firstsight", "stream", str(still), "--from-ledger", "--gallery", str(tmp_path / "door.sqlite")]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "run"), "--json"])
    with pytest.raises(SystemExit, match="3"):
        main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["better"] is False
    assert printed["auc"] == printed["against_auc"]
    assert door.model_identity == near_blind.identity
    assert torch.equal(door.templates_of("p0"), before)
    monkeypatch.setattr(sys, "argv", [*words, "--window", "10"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "With --from-ledger --window cannot be used." in " ".join(capsys.readouterr().err.split())


def test_who_has_no_picture_is_named_before_the_training(door: Gallery, near_blind: Model, tmp_path: Path) -> None:
    Recognizer(near_blind, door).enroll("zoe", draw_identity(90, 0), anyway=True, keep_picture=False)
    with pytest.raises(GalleryError, match=r"keeps no picture of: zoe\."):
        learn_from_ledger(door, QUICK, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_few_people_and_foreign_recipes_are_refused(door: Gallery) -> None:
    with pytest.raises(FirstsightError, match=r"^Model and data of --from-ledger are those of the gallery"):
        learn_from_ledger(door, replace(QUICK, data=replace(QUICK.data, path="photos")))
    for name in PEOPLE[4:]:
        door.forget(name)
    with pytest.raises(FirstsightError, match=r"^To .*, \d people with two kept .* of the 4 who were confirmed"):
        learn_from_ledger(door, QUICK)
    door.clear()
    with pytest.raises(FirstsightError, match=r"^Nobody is enrolled in"):
        learn_from_ledger(door, QUICK)


def test_the_reservoir_is_bounded_and_the_same_each_time(door: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmed, "PEOPLE", 10)
    monkeypatch.setattr(confirmed, "CHECK_INS", 2)
    preprocessing = Preprocessing(height=16, width=16, color="gray")
    found = [confirmed.confirmed_crops(door, preprocessing) for _ in range(2)]
    assert found[0].counts() == found[1].counts()
    assert found[0].learned.paths == found[1].learned.paths
    counts = found[0].counts()
    assert counts["people"] == 24
    assert counts["learned_people"] + counts["held_back_people"] == 10
    assert counts["learned_pictures"] + counts["held_back_pictures"] == 10 * (2 + 1)
    other = confirmed.confirmed_crops(door, replace(preprocessing, height=24, width=24)).counts()
    assert other["unfit_pictures"] == 30, "crops of another model's size are passed over"
