"""`firstsight calibrate`: what a user reads, where the threshold is kept, and who uses it."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pictures import write_identities
from typed import Type

from firstsight.models.folder import SHIPPED, load_model


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 identities that the model was not trained on."""
    return write_identities(tmp_path_factory.mktemp("data") / "others", identities=14, each=3, first=30)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "mine")


def flat(text: str) -> str:
    return " ".join(text.split())


def only(text: str) -> Any:
    """The one JSON object on the one line of a text."""
    (line,) = text.splitlines()
    return json.loads(line)


def grouped(others: Path, manifest: Path) -> Path:
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "group"))
        for i, folder in enumerate(sorted(others.iterdir())):
            for picture in sorted(folder.iterdir()):
                rows.writerow((picture, folder.name, "door" if i % 2 else "gate"))
    return manifest


def test_it_says_in_words_what_is_promised_and_what_more_would_take(type: Type, model: Path, others: Path) -> None:
    answer = type("calibrate", "--model", model, "--data", others)
    assert answer.code == 0
    assert (
        "At most 1 stranger in 2 is let in, 95 % sure, from 14 identities that were compared with each other: one to "
        "one, and one to many with up to 10 templates enrolled."
    ) in answer.out
    assert "To promise 1 stranger in 5, bring 28 identities." in answer.out
    assert "Two pictures are the same up to a squared distance of " in answer.out
    assert "are ambiguous: so much do distances of one identity differ" in answer.out
    assert f"kept in {model / 'model'}, calibration " in answer.out
    assert "Warning" not in answer.err


def test_the_model_keeps_it_and_stays_the_same_model(type: Type, model: Path, others: Path, photos: Path) -> None:
    before = load_model(model)
    type("enroll", "ada", photos / "p3" / "0.png", "--model", model, "--gallery", model / "g.sqlite")
    found = only(type("calibrate", "--model", model, "--data", others, "--json").out)
    after = load_model(model)
    assert after.identity == before.identity == found["model_identity"]
    assert after.config.operating_point != before.config.operating_point
    assert (found["target"], found["identities"], found["seen_in_training"]) == (0.5, 14, False)
    assert found["bound"] <= 0.5
    assert found["data"] == str(others)
    decision = only(type("identify", photos / "p3" / "0.png", "--gallery", model / "g.sqlite", "--json").out)
    assert decision["decision"] == "match"
    assert decision["calibration"] == found["calibration"]
    assert (decision["threshold"], decision["bound"]) == (found["threshold"], found["bound"])


def test_a_gallery_keeps_its_own(type: Type, model: Path, others: Path, photos: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "g.sqlite"
    for i in range(5):
        type("enroll", f"p{i}", photos / f"p{i}" / "0.png", "--model", model, "--gallery", gallery)
    words = ("calibrate", "--gallery", gallery, "--data", others, "--fpir", 0.4)
    spoken = type(*words)
    assert "With 5 templates enrolled, identify takes the threshold " in spoken.out
    assert f"kept in {gallery}" in spoken.out
    found = only(type(*words, "--json").out)
    assert (found["target"], found["templates"], found["kept_in"]) == (0.4, 5, str(gallery))
    decision = only(type("identify", photos / "p3" / "0.png", "--gallery", gallery, "--json").out)
    assert (decision["calibration"], decision["threshold"]) == (found["calibration"], found["threshold_now"])
    elsewhere = only(type("verify", "p3", photos / "p3" / "0.png", "--gallery", gallery, "--json").out)
    assert elsewhere["threshold"] == found["threshold"]
    assert load_model(model).config.operating_point.version != found["calibration"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fpir", "0.01"), "A rate of 0.01 needs 598 identities, and there are 14: they support 0.35 at best."),
        (("--fpir", "0.9"), "A target of 0.9 lets in more than 1 stranger in 2: that promises nothing."),
        (("--fpir", "1.5"), "The target 1.5 is not a rate. Give one above 0 and below 1, or auto."),
        (("--fpir", "often"), "--fpir"),
    ],
)
def test_a_target_without_support_is_refused(
    type: Type, model: Path, others: Path, words: tuple[str, ...], said: str
) -> None:
    before = (model / "model" / "config.json").read_bytes()
    answer = type("calibrate", "--model", model, "--data", others, *words)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert (model / "model" / "config.json").read_bytes() == before


def test_for_the_model_that_ships_it_is_kept_in_its_gallery(type: Type, others: Path) -> None:
    shipped = (SHIPPED / "glyphs" / "config.json").read_bytes()
    found = only(type("calibrate", "--data", others, "--fpir", "0.5", "--json").out)
    assert (found["model"], Path(found["kept_in"]).suffix, found["templates"]) == ("glyphs", ".sqlite", 0)
    assert (SHIPPED / "glyphs" / "config.json").read_bytes() == shipped


def test_auto_keeps_the_tighter_promise_that_is_there(type: Type, others: Path, tmp_path: Path) -> None:
    words = ("calibrate", "--gallery", tmp_path / "g.sqlite", "--data", others)
    answer = type(*words)
    assert answer.code == 2
    assert (
        "14 identities support 1 stranger in 2, and 1 stranger in 20 is promised already, from 254 identities of "
        "Omniglot, alphabets held out: that is kept. Bring 118; or take the looser promise, from people like yours, "
        "with --fpir 0.5; "
    ) in flat(answer.err)
    asked = only(type(*words, "--fpir", "0.5", "--json").out)
    assert (asked["target"], asked["model"]) == (0.5, "glyphs")
    assert type(*words).code == 0, "as tight as what is there now"


@pytest.mark.parametrize("count", [1, 6, 9])
def test_too_few_identities_promise_nothing_and_change_nothing(
    type: Type, model: Path, tmp_path: Path, count: int
) -> None:
    few = write_identities(tmp_path / "few", identities=count, each=3, first=40)
    before = (model / "model" / "config.json").read_bytes()
    answer = type("calibrate", "--model", model, "--data", few)
    assert (answer.code, flat(answer.err)) == (
        2,
        f"{'One identity is' if count == 1 else f'{count} identities are'} too few to promise anything. "
        "Bring 10, which support 1 stranger in 2; or 58, for 1 stranger in 10.",
    )
    assert (model / "model" / "config.json").read_bytes() == before


def test_what_the_model_was_trained_on_is_no_evidence(type: Type, model: Path, photos: Path) -> None:
    answer = type("calibrate", "--model", model, "--data", photos)
    assert answer.code == 0
    assert "was trained on 6 of the 12 identities in" in answer.err
    assert "What it has seen is no evidence" in answer.err


def test_groups_have_figures_of_their_own_and_warnings(type: Type, model: Path, others: Path, tmp_path: Path) -> None:
    data = grouped(others, tmp_path / "groups.csv")
    answer = type("calibrate", "--model", model, "--data", data)
    assert "Strangers of each group" in answer.out
    assert "Warning: for the group door the bound is " in answer.err
    assert "7 identities are too few to promise it for this group alone (10 or more are needed)" in answer.err
    found = only(type("calibrate", "--model", model, "--data", data, "--json").out)
    assert [(group["group"], group["identities"], group["size"]) for group in found["groups"]] == [
        ("door", 7, 1), ("door", 7, 7), ("gate", 7, 1), ("gate", 7, 7),
    ]  # fmt: skip


def test_open_set_sets_the_promise_beside_what_happened(type: Type, model: Path, others: Path, tmp_path: Path) -> None:
    type("calibrate", "--model", model, "--data", others)
    fresh = write_identities(tmp_path / "fresh", identities=10, each=3, first=60)
    words = ("evaluate", "--model", model, "--protocol", "open-set", "--trials", 5)
    figures = only(type(*words, "--data", fresh, "--json").out)
    point = load_model(model).config.operating_point
    assert figures["fpir_promised"] == point.at(5).bound
    assert figures["threshold"] == point.at(5).threshold
    assert figures["promise"] == ("kept" if figures["fpir"] <= figures["fpir_promised"] else figures["promise"])
    spoken = type(*words, "--data", fresh)
    assert "FPIR promised at most, 95 % sure" in spoken.out
    assert "At most 1 stranger in 2 is let in" in spoken.err
    assert "was chosen on" not in spoken.err
    again = type(*words, "--data", others)
    assert f"was chosen on {others}. That its promise is kept there is no evidence" in again.err


def test_people_whose_pictures_cannot_be_read_are_counted_out_and_it_says_so(
    type: Type, model: Path, tmp_path: Path
) -> None:
    some = write_identities(tmp_path / "some", identities=11, each=2, first=40)
    for folder in sorted(some.iterdir())[:3]:
        for picture in folder.iterdir():
            picture.write_text("no picture")
    answer = type("calibrate", "--model", model, "--data", some)
    assert (answer.code, "8 identities are too few to promise anything." in flat(answer.err)) == (2, True)
    assert "6 pictures cannot be read, " in flat(answer.err)
