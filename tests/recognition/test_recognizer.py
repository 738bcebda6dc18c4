import dataclasses
import io
import sqlite3
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from PIL import Image
from tiny_models import pixel_model

from firstsight.errors import AlreadyEnrolled, GalleryError, NotEnrolled, OtherModel, PictureError
from firstsight.model_config import OperatingPoint, Step
from firstsight.models.folder import Model, set_operating_point
from firstsight.recognition.embed import embed_pictures, to_png
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer, default_gallery_path


def point(threshold: float) -> OperatingPoint:
    return OperatingPoint(threshold=threshold, target=0.01, accepted=1, comparisons=100, identities=10)


def noise(seed: int, *, channels: int = 1) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze())


def unit(picture: Image.Image) -> np.ndarray:
    """What `Pixels` does with a gray picture of its own size, in NumPy."""
    x = (np.asarray(picture, np.float64).ravel() - 127.5) / 127.5
    return x / np.linalg.norm(x)


@pytest.fixture
def recognizer(gallery: Gallery, model: Model) -> Recognizer:
    return Recognizer(model, gallery, threshold=0.5)


def test_one_picture_is_enough(recognizer: Recognizer) -> None:
    enrolled = {name: noise(seed) for seed, name in enumerate(["ada", "bob", "cyd"])}
    for name, picture in enrolled.items():
        recognizer.enroll(name, picture)
    probe = Image.blend(enrolled["bob"], noise(9), 0.2)
    distances = {name: ((unit(probe) - unit(picture)) ** 2).sum() for name, picture in enrolled.items()}
    decision = recognizer.identify(probe)
    assert (decision.decision, decision.name) == ("match", "bob")
    assert decision.distance == pytest.approx(distances["bob"], abs=0.01)  # one byte a component
    assert decision.runner_up == min(("ada", "cyd"), key=lambda name: distances[name])
    assert (decision.threshold, decision.gallery_size) == (0.5, 3)
    assert decision.model == recognizer.model.identity
    assert recognizer.identify(noise(10)).decision == "unknown"


def test_verify_compares_with_the_claimed_alone(recognizer: Recognizer) -> None:
    recognizer.enroll("ada", noise(0))
    recognizer.enroll("bob", noise(1))
    assert recognizer.verify("ada", noise(0)).decision == "match"
    refused = recognizer.verify("ada", noise(1))
    assert (refused.decision, refused.name, refused.accepted) == ("different", "ada", False)
    assert refused.distance == pytest.approx(((unit(noise(0)) - unit(noise(1))) ** 2).sum(), abs=0.01)
    recognizer.enroll("ada", noise(1), add=True, anyway=True)  # it is bob's
    assert recognizer.verify("ada", noise(1)).distance == 0
    with pytest.raises(NotEnrolled, match=r"^cyd is not enrolled"):
        recognizer.verify("cyd", noise(0))


def test_the_nearest_threshold_counts(gallery: Gallery, model: Model) -> None:
    uncalibrated = Recognizer(model, gallery)
    uncalibrated.enroll("ada", noise(0))  # needs none
    for use in (lambda: uncalibrated.identify(noise(0)), lambda: uncalibrated.verify("ada", noise(0))):
        with pytest.raises(
            GalleryError, match=r"model tiny has no operating point.*firstsight calibrate --model tiny --data PEOPLE"
        ):
            use()
    shipped = set_operating_point(model, point(0.7))
    assert Recognizer(shipped, gallery).identify(noise(0)).threshold == 0.7
    gallery.set_operating_point(model.identity, point(0.9))
    assert Recognizer(shipped, gallery).identify(noise(0)).threshold == 0.9
    assert Recognizer(shipped, gallery, threshold=0.0).identify(noise(0)).threshold == 0.0


def test_the_threshold_moves_with_the_gallery(gallery: Gallery, model: Model) -> None:
    """Identify counts all templates, verify those of the name; both say the bound, and whose evidence it is."""
    steps = (Step(size=1, threshold=1.0, bound=0.04), Step(size=3, threshold=0.75, bound=0.05))
    measured = dataclasses.replace(point(1.0), target=0.05, steps=steps)
    gallery.set_operating_point(model.identity, measured)
    recognizer = Recognizer(model, gallery)
    seen = []
    for seed, (name, more) in enumerate([("ada", False), ("bob", False), ("bob", True), ("cyd", False)]):
        recognizer.enroll(name, noise(seed), add=more)
        decision = recognizer.identify(noise(0))
        seen.append((decision.threshold, decision.bound))
        assert decision.calibration == measured.version
    assert seen == [(1.0, 0.04), (0.75, 0.05), (0.75, 0.05), (0.75, pytest.approx(0.05 * 4 / 3))]
    assert [recognizer.verify(name, noise(0)).threshold for name in ("ada", "bob")] == [1.0, 0.75]
    recognizer.forget("bob")
    recognizer.forget("cyd")
    assert recognizer.identify(noise(0)).threshold == 1.0


@pytest.mark.parametrize("threshold", [-0.1, 4.1, float("nan")])
def test_a_threshold_that_is_no_distance_is_refused(gallery: Gallery, model: Model, threshold: float) -> None:
    with pytest.raises(GalleryError, match="is not a squared distance"):
        Recognizer(model, gallery, threshold=threshold)


def test_many_are_identified_in_order_as_they_are_asked_for(recognizer: Recognizer) -> None:
    pictures = [noise(seed) for seed in range(150)]
    for seed in range(0, 150, 10):
        recognizer.enroll(str(seed), pictures[seed])
    read = []
    decisions = recognizer.identify_many(read.append(i) or picture for i, picture in enumerate(pictures))
    assert next(decisions) == recognizer.identify(pictures[0])
    assert len(read) < 150
    assert [decision.name for decision in decisions][9::10] == [str(seed) for seed in range(10, 150, 10)]
    assert list(recognizer.identify_many([])) == []


def test_a_picture_may_come_in_any_form(model: Model, tmp_path: Path) -> None:
    picture = noise(0)
    picture.save(tmp_path / "a.png")
    crop = torch.from_numpy(np.array(picture))[None]
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), picture, crop]
    for batch_size in (2, 64):
        embeddings = embed_pictures(model, forms, batch_size=batch_size)
        assert embeddings.numpy() == pytest.approx(np.repeat(unit(picture)[None], 5, 0), abs=1e-6)
    assert embed_pictures(model, []).shape == (0, 64)


def test_a_picture_that_cannot_be_read_changes_nothing(recognizer: Recognizer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    for use in (recognizer.identify, lambda picture: recognizer.enroll("ada", picture)):
        with pytest.raises(PictureError, match=r"broken\.jpg"):
            use(broken)
    assert recognizer.gallery.names() == []


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_the_crop_is_kept_without_loss(tmp_path: Path, color: str) -> None:
    model = pixel_model("tiny", color=color)
    picture = noise(0, channels=model.config.preprocessing.channels)
    with Gallery(tmp_path / "g.sqlite") as gallery:
        Recognizer(model, gallery).enroll("ada", picture)
    connection = sqlite3.connect(tmp_path / "g.sqlite")
    (png,) = connection.execute("SELECT picture FROM templates").fetchone()
    connection.close()
    kept = Image.open(io.BytesIO(png))
    assert kept.format == "PNG"
    assert np.array_equal(np.asarray(kept), np.asarray(picture))
    assert torch.equal(embed_pictures(model, [png]), embed_pictures(model, [picture]))


def test_png_of_a_crop_that_is_a_view() -> None:
    crop_CHW = torch.arange(3 * 6 * 4, dtype=torch.uint8).reshape(6, 4, 3).permute(2, 0, 1)[:, ::2]
    kept = np.asarray(Image.open(io.BytesIO(to_png(crop_CHW))))
    assert np.array_equal(kept, crop_CHW.permute(1, 2, 0).numpy())


def test_enrolling_binds_the_gallery_to_the_model(recognizer: Recognizer) -> None:
    recognizer.enroll("ada", noise(0))
    with pytest.raises(AlreadyEnrolled):
        recognizer.enroll("ada", noise(1))
    with pytest.raises(OtherModel, match="holds templates of the model tiny"):
        Recognizer(pixel_model("other", size=4), recognizer.gallery)
    assert recognizer.forget("ada").pictures == 1
    Recognizer(pixel_model("other", size=4), recognizer.gallery)


def test_a_model_folder_is_remembered_from_anywhere(
    gallery: Gallery, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "mine" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    run = dataclasses.replace(model, name="runs/mine", folder=Path("runs/mine/model"))
    Recognizer(run, gallery).enroll("ada", noise(0))
    assert gallery.model_name == str(tmp_path / "runs" / "mine" / "model")


def test_the_default_gallery_is_one_a_model(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTSIGHT_HOME", str(tmp_path))
    assert default_gallery_path(model.identity) == tmp_path / "galleries" / f"{model.identity[:16]}.sqlite"
    assert default_gallery_path(pixel_model("other", size=4).identity) != default_gallery_path(model.identity)
    monkeypatch.delenv("FIRSTSIGHT_HOME")
    assert default_gallery_path(model.identity).is_relative_to(platformdirs.user_data_path("firstsight"))
