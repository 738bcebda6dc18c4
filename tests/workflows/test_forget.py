"""The receipt: what was erased, and which models this user trained on an identity of that name."""

import json
import os
import shutil
from pathlib import Path

import pytest
from pictures import write_identities

from firstsight.config import Recipe
from firstsight.recipes import with_flags
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.workflows.forget import forget, models_trained_on, note_training
from firstsight.workflows.train_run import Run, train

TINY = {"height": 16, "width": 16, "channels": (8,), "epochs": 1, "holdout": 0.5}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_identities(tmp_path / "photos", identities=8, each=3)


def trained(photos: Path, out: Path) -> Run:
    return train(with_flags(Recipe(), data=str(photos), embedding_size=16, **TINY), out=out)


def test_models_trained_on_a_name_are_in_its_receipt(photos: Path, tmp_path: Path) -> None:
    run = trained(photos, tmp_path / "run")
    everyone = {folder.name for folder in photos.iterdir()}
    known = {name for name in everyone if models_trained_on(name)}
    assert len(known) == run.job.learned["identities"] == 4  # and not those held out
    name = min(known)
    with Gallery(tmp_path / "g.sqlite") as gallery:
        recognizer = Recognizer(run.model, gallery)
        for person in sorted(everyone):
            recognizer.enroll(person, photos / person / "0.png")
        receipt = json.loads(json.dumps(forget(gallery, name)))
        assert forget(gallery, min(everyone - known))["models"] == []
    assert receipt["models"] == [
        {
            "run": str(tmp_path / "run"),
            "model_identity": run.model.identity,
            "data": str(photos),
            "found": True,
        }
    ]
    assert (receipt["name"], receipt["templates"], receipt["pictures"], receipt["copies"]) == (name, 1, 1, [])
    assert any(str(os.environ["FIRSTSIGHT_CACHE"]) in place for place in receipt["not_covered"])
    shutil.rmtree(tmp_path / "run")
    assert [model["found"] for model in models_trained_on(name)] == [False]


def test_a_classifier_was_trained_on_its_classes(photos: Path, tmp_path: Path) -> None:
    run = train(with_flags(Recipe(), task="classification", data=str(photos), **TINY), out=tmp_path / "run")
    assert [model["run"] for model in models_trained_on(run.model.config.outputs[0])] == [str(tmp_path / "run")]


def test_names_are_compared_as_galleries_write_them_and_without_their_group(tmp_path: Path) -> None:
    note_training(tmp_path, model_identity="m" * 64, data="photos", names=["staff/Zoe\u0308", "Ada"])
    found = {
        name: len(models_trained_on(name)) for name in ("Zo\u00eb", "staff/Zo\u00eb", "Ada", "ada", "staff", "Zoe")
    }
    assert found == {"Zo\u00eb": 1, "staff/Zo\u00eb": 1, "Ada": 1, "ada": 0, "staff": 0, "Zoe": 0}


def test_the_record_holds_no_name_and_a_damaged_one_hides_no_other(tmp_path: Path) -> None:
    note_training(tmp_path, model_identity="m" * 64, data="photos", names=["Ada Lovelace"])
    (record,) = Path(os.environ["FIRSTSIGHT_HOME"]).rglob("*.json")
    assert "Lovelace" not in record.read_text()
    record.with_name("a.json").write_text("{")
    record.with_name("b.json").write_text("{}")
    assert len(models_trained_on("Ada Lovelace")) == 1


def test_a_data_folder_that_cannot_be_written_is_said_and_stops_no_training(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FIRSTSIGHT_HOME", str(tmp_path / "file"))
    run = trained(photos, tmp_path / "run")
    assert run.warnings[-1].endswith("receipts of forget will not list this model.")
    assert (tmp_path / "run" / "model").is_dir()
