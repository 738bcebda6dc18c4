"""Moving a gallery to another model: as if everyone had been enrolled by it, or as it was."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import draw_symbol
from PIL import Image
from tiny_models import pixel_model, random_templates

from firstsight.config import Network, Preprocessing
from firstsight.errors import GalleryError, ModelError, OtherModel
from firstsight.functional.quantize import quantize
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model, save_model
from firstsight.models.registry import build_network
from firstsight.recognition import rows
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.recognition.reenroll import reenroll

OLD = Preprocessing(height=16, width=16, color="rgb", fit="pad")


def saved(folder: Path, *, seed: int, size: int = 6, **preprocessing: object) -> Model:
    """A small untrained network in a model folder, as `load_model` gives it."""
    config = ModelConfig(
        network=Network(channels=(4,), embedding_size=size), preprocessing=dataclasses.replace(OLD, **preprocessing)
    )
    model = make_model(build_network(config, seed=seed), config, name=str(folder))
    return save_model(model, folder)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


@pytest.fixture
def old(tmp_path: Path) -> Model:
    return saved(tmp_path / "old", seed=0)


@pytest.fixture
def full(gallery: Gallery, old: Model, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """Five identities enrolled by the old model, one of them from two pictures; read in batches of four."""
    monkeypatch.setattr(rows, "_READ_AT_ONCE", 4)
    gallery.bind_model(old)
    recognizer = Recognizer(old, gallery)
    for seed, name in enumerate(["ada", "bob", "cyd", "dan", "eva", "bob"]):
        recognizer.enroll(name, noise(seed), add=True)
    return gallery


def pngs(gallery: Gallery) -> list[bytes | None]:
    with gallery.storage.reading() as connection:
        return [row.picture for batch in rows.stored(connection, gallery.terms.cipher) for row in batch]


def test_everyone_is_as_if_enrolled_by_the_new_model(full: Gallery, tmp_path: Path) -> None:
    new = saved(tmp_path / "new", seed=1, size=10)
    before, kept, heard = [*full.enrollments()], pngs(full), []
    assert reenroll(full, new, on_progress=lambda *now: heard.append(now)) == 6
    assert heard == [(4, 6), (6, 6)]
    assert ([*full.enrollments()], pngs(full)) == (before, kept)
    assert (full.model_identity, full.model_name) == (new.identity, str((tmp_path / "new").resolve()))
    expected = quantize(embed_pictures(new, [noise(seed) for seed in (0, 1, 5)]))
    assert torch.equal(full.templates_of("ada"), expected[:1])
    assert torch.equal(full.templates_of("bob"), expected[1:])
    assert reenroll(full, new) == 0


def test_the_old_templates_are_erased_from_the_disk(tmp_path: Path, old: Model) -> None:
    with Gallery(tmp_path / "g.sqlite") as gallery:
        Recognizer(old, gallery).enroll("ada", noise(0))
        (template_D,) = gallery.templates_of("ada").numpy()
        reenroll(gallery, saved(tmp_path / "new", seed=1, size=10))
        held = b"".join(file.read_bytes() for file in tmp_path.glob("g.sqlite*"))
    assert template_D.tobytes() not in held


def test_no_index_compares_with_the_old_templates(tmp_path: Path, old: Model) -> None:
    """That of another process, which had both models' templates to search, one after the other."""
    new = saved(tmp_path / "new", seed=1)
    with Gallery(tmp_path / "g.sqlite") as mine, Gallery(tmp_path / "g.sqlite") as theirs:
        Recognizer(old, mine).enroll("ada", noise(0))
        Recognizer(old, theirs).enroll("bob", noise(1))
        probe = quantize(embed_pictures(old, [noise(0)]))
        assert len(theirs.search(probe)[0]) == 2
        reenroll(mine, new)
        with pytest.raises(OtherModel, match="cannot be compared"):
            theirs.search(probe)
        theirs.bind_model(new)
        for gallery in (mine, theirs):
            found = gallery.search(quantize(embed_pictures(new, [noise(0), noise(1)])), k=1)
            assert [(match.name, match.distance) for (match,) in found] == [("ada", 0), ("bob", 0)]


def test_the_refusal_of_another_model_names_the_way(full: Gallery, tmp_path: Path) -> None:
    new = saved(tmp_path / "new", seed=1)
    said = rf"firstsight gallery reenroll --model {tmp_path}/new --gallery {full.where}"
    with pytest.raises(OtherModel, match=said):
        Recognizer(new, full)


def test_who_has_no_picture_is_named_and_nothing_changes(full: Gallery, tmp_path: Path, old: Model) -> None:
    full.enroll_many([f"no {i:02}" for i in range(25)], random_templates(25, size=6))
    before = full.templates_of("ada")
    named = ", ".join(f"no {i:02}" for i in range(20))
    with pytest.raises(GalleryError, match=rf"keeps no picture of: {named} and 5 more\. Forget them"):
        reenroll(full, saved(tmp_path / "new", seed=1))
    assert full.model_identity == old.identity
    assert torch.equal(full.templates_of("ada"), before)


def test_an_interruption_changes_nothing(full: Gallery, tmp_path: Path, old: Model) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = full.templates_of("bob"), pngs(full)
    with pytest.raises(KeyboardInterrupt):
        reenroll(full, saved(tmp_path / "new", seed=1), on_progress=interrupt)
    assert full.model_identity == old.identity
    assert torch.equal(full.templates_of("bob"), before[0])
    assert pngs(full) == before[1]


def test_another_size_and_gray_are_made_of_what_is_kept(full: Gallery, tmp_path: Path) -> None:
    new = saved(tmp_path / "new", seed=1, height=24, width=24, color="gray")
    reenroll(full, new)
    expected = quantize(embed_pictures(new, [noise(0)]))
    assert torch.equal(full.templates_of("ada"), expected), "an original of the old size has lost nothing"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fit": "crop"}, r"they were prepared with fit = pad, and the new model expects fit = crop"),
        ({"height": 65, "width": 65}, r"their sides would be enlarged 4\.1 times, and 4 is the most"),
        ({"width": 32}, r"they are 16 x 16, another shape than 16 x 32"),
    ],
)
def test_what_does_not_fit_is_refused(full: Gallery, tmp_path: Path, other: dict[str, object], said: str) -> None:
    with pytest.raises(GalleryError, match=said):
        reenroll(full, saved(tmp_path / "new", seed=1, **other))


def test_gray_pictures_do_not_become_color(gallery: Gallery, tmp_path: Path) -> None:
    gray = saved(tmp_path / "gray", seed=0, color="gray")
    gallery.bind_model(gray)
    Recognizer(gray, gallery).enroll("ada", noise(0))
    with pytest.raises(GalleryError, match="they are gray, and the new model sees color"):
        reenroll(gallery, saved(tmp_path / "new", seed=1))


def test_drawings_found_anew_stay_drawings(gallery: Gallery, tmp_path: Path) -> None:
    """The same pixels where both models look for ink; and never as photos."""
    ink = saved(tmp_path / "ink", seed=0, color="gray", fit="ink")
    gallery.bind_model(ink)
    Recognizer(ink, gallery).enroll("ada", draw_symbol(1))
    kept, new = pngs(gallery), saved(tmp_path / "new", seed=1, color="gray", fit="ink")
    reenroll(gallery, new)
    assert pngs(gallery) == kept
    assert torch.equal(gallery.templates_of("ada"), quantize(embed_pictures(new, [draw_symbol(1)])))
    with pytest.raises(GalleryError, match="fit = ink, and the new model expects fit = pad"):
        reenroll(gallery, saved(tmp_path / "photos", seed=1, color="gray"))


def test_without_the_old_folder_nobody_knows_how_pictures_were_prepared(full: Gallery, tmp_path: Path) -> None:
    new = saved(tmp_path / "new", seed=1)
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(ModelError, match=r"by the model .*old, which is not there any more\. Put its folder back"):
        reenroll(full, new)
    saved(tmp_path / "old", seed=5)
    with pytest.raises(ModelError, match=r"old is not the model any more that"):
        reenroll(full, new)


def test_nobody_is_moved(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="Nobody is enrolled"):
        reenroll(gallery, pixel_model("new", size=4))
