"""The model `faces`, from a photo to a decision: with one real face, and with pictures that show none or several."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from faces import cat, group, portrait
from PIL import Image

from firstsight.errors import Box, PictureUnfit
from firstsight.models.folder import Model, load_model, set_align
from firstsight.recognition.checkin import check_in
from firstsight.recognition.embed import crop
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.people import enroll_people
from firstsight.recognition.recognizer import Recognizer
from firstsight.recognition.reenroll import reenroll


@pytest.fixture(scope="module")
def faces() -> Model:
    return load_model("faces")


@pytest.fixture
def recognizer(faces: Model) -> Recognizer:
    recognizer = Recognizer(faces, Gallery("sqlite://"), threshold=1.1)
    recognizer.enroll("eileen", portrait())
    return recognizer


def test_one_photo_is_enough(recognizer: Recognizer) -> None:
    darker = Image.fromarray((np.asarray(portrait()) * 0.6).astype(np.uint8))
    others = [portrait().resize((300, 300)), portrait().rotate(12), darker, portrait().convert("L")]
    decisions = list(recognizer.identify_many(others))
    assert [decision.name for decision in decisions] == ["eileen"] * 4
    assert max(decision.distance or 0 for decision in decisions) < 0.4


def test_pictures_without_one_face_are_decided_upon_among_others(recognizer: Recognizer) -> None:
    pictures = [cat(), portrait(), group(), portrait().resize((80, 80))]
    decisions = list(recognizer.identify_many(pictures))
    assert [decision.decision for decision in decisions] == ["no face", "match", "several faces", "too small"]
    assert [len(decision.boxes) for decision in decisions] == [0, 0, 3, 1]
    assert all(decision.distance is None and not decision.accepted for decision in decisions if decision.reason)
    claimed = recognizer.verify("eileen", cat())
    assert (claimed.decision, claimed.name, claimed.accepted) == ("no face", "eileen", False)
    with pytest.raises(PictureUnfit, match="^the picture shows 3 faces"):
        recognizer.enroll("three", group(), anyway=True)


def test_which_of_several_may_be_said(recognizer: Recognizer, faces: Model) -> None:
    for which in ("center", "largest", 3):
        assert Recognizer(faces, recognizer.gallery, threshold=1.1, which=which).identify(group()).name == "eileen"


def test_the_ledger_keeps_what_was_decided_without_a_picture_or_its_name(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    group().save(tmp_path / "secret.png")
    entry = check_in(recognizer, tmp_path / "secret.png", keep_probe_days=3)
    assert entry.decision == recognizer.identify(group())
    assert "secret" not in json.dumps(entry.to_json())
    assert (entry.who, Ledger(recognizer.gallery).probe(entry.id)) == ("several faces", None)
    assert Ledger(recognizer.gallery).probe(check_in(recognizer, portrait(), keep_probe_days=3).id)


def test_a_check_vetoes_with_its_reason(faces: Model) -> None:
    seen: list[tuple[tuple[int, int], Box | None]] = []

    def moves(picture: Image.Image, face: Box | None) -> str | None:
        seen.append((picture.size, face))
        return "does not move" if picture.size == (512, 512) else None

    recognizer = Recognizer(faces, Gallery("sqlite://"), threshold=1.1, check=moves)
    with pytest.raises(PictureUnfit, match="^the picture does not move. Take another.") as unfit:
        recognizer.enroll("eileen", portrait(), anyway=True)
    assert pickle.loads(pickle.dumps(unfit.value)).boxes == unfit.value.boxes == (seen[0][1],)
    recognizer.enroll("eileen", portrait().resize((500, 500)))
    decision = check_in(recognizer, portrait()).decision
    assert (decision.decision, decision.reason, decision.boxes) == ("vetoed", "does not move", (seen[0][1],))
    assert recognizer.identify(portrait().resize((500, 500))).accepted


def test_aligned_crops_are_taken_as_they_are_by_the_same_model(recognizer: Recognizer, faces: Model) -> None:
    pixels = crop(portrait(), faces.config.preprocessing)
    aligned = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    decision = Recognizer(set_align(faces, "none"), recognizer.gallery, threshold=1.1).identify(aligned)
    assert (decision.name, decision.distance) == ("eileen", 0)


def test_a_gallery_of_faces_moves_to_another_model_without_aligning_twice(
    recognizer: Recognizer, faces: Model, tmp_path: Path
) -> None:
    from dataclasses import replace

    from firstsight.models.folder import make_model, save_model
    from firstsight.models.registry import build_network

    other = save_model(make_model(build_network(faces.config, seed=1), faces.config, name="other"), tmp_path / "other")
    assert reenroll(recognizer.gallery, replace(other, name=str(tmp_path / "other"))) == 1
    assert Recognizer(other, recognizer.gallery, threshold=1.1).identify(portrait()).distance == 0


def test_of_a_list_those_without_a_face_are_refused_with_the_reason(faces: Model, tmp_path: Path) -> None:
    portrait().save(tmp_path / "eileen.png")
    cat().save(tmp_path / "cat.png")
    (tmp_path / "people.csv").write_text("name,picture\neileen,eileen.png\ncat,cat.png\n")
    found = enroll_people(Recognizer(faces, Gallery("sqlite://"), threshold=1.1), tmp_path / "people.csv")
    assert found.enrolled == 1
    assert [(refusal.name, refusal.unusable) for refusal in found.refused] == [("cat", False)]
    assert found.refused[0].reason.endswith("cat.png shows no face.")
