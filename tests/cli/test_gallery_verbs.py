"""The verbs of whole galleries, as a user types them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pictures import write_identities
from PIL import Image
from typed import Type

from firstsight.config import Recipe
from firstsight.recipes import with_flags
from firstsight.workflows.train_run import train


def only(text: str) -> Any:
    (line,) = text.splitlines()
    return json.loads(line)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    return tmp_path / "gallery.sqlite"


@pytest.fixture
def people(photos: Path, tmp_path: Path) -> Path:
    """Three people of the held-out ones; one of them unreadable, one dark."""
    path = tmp_path / "people.csv"
    rows = [("p0", photos / "p0" / "0.png"), ("p1", photos / "p1" / "0.png"), ("dark", "dark.png"), ("none", "no.png")]
    Image.new("L", (16, 16), 3).save(tmp_path / "dark.png")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "picture"), *rows])
    return path


def test_a_list_is_enrolled_and_what_was_refused_is_another_list(
    type: Type, trained: Path, people: Path, gallery: Path, tmp_path: Path
) -> None:
    words = ("gallery", "enroll", people, "--gallery", gallery)
    answer = type(*words, "--model", trained, "--refused", tmp_path / "refused.csv")
    assert answer.code == 2, "a picture cannot be read"
    assert "line 4: dark: " in answer.err
    assert "dark.png is empty (standard deviation 0.0" in answer.err
    assert "no.png does not exist" in answer.err
    assert "2 lines refused" in answer.out
    assert "Enrolling: 4/4" in answer.err
    with (tmp_path / "refused.csv").open(encoding="utf-8-sig") as file:
        assert [(row["name"], row["line"]) for row in csv.DictReader(file)] == [("dark", "4"), ("none", "5")]
    again = type("gallery", "enroll", tmp_path / "refused.csv", "--gallery", gallery, "--anyway", "--json")
    found = only(again.out)
    assert (again.code, again.err, found["enrolled"], found["known"]) == (2, "", 1, 0)
    assert [each["name"] for each in found["refused"]] == ["none"]
    last = only(type(*words, "--json").out)
    assert (last["known"] >= 2, last["enrolled"]) == (True, 0)


def test_a_poor_picture_is_an_honest_no(type: Type, trained: Path, people: Path, gallery: Path) -> None:
    dark = people.parent / "dark.png"
    words = ("enroll", "dark", dark, "--model", trained, "--gallery", gallery)
    refused = type(*words)
    assert refused.code == 3
    assert " ".join(refused.err.split()) == (
        f"{dark} is empty (standard deviation 0.0 gray levels of 255, at least 2). "
        "Give a better picture, or insist with --anyway."
    )
    figures = only(type(*words, "--json").out)
    assert (figures["enrolled"], figures["doubts"][0]["kind"], figures["contrast"]) == (None, "empty", 0)
    insisted = type(*words, "--anyway")
    assert (insisted.code, "Enrolled all the same" in insisted.err) == (0, True)


def test_one_picture_under_two_names(type: Type, trained: Path, photos: Path, gallery: Path) -> None:
    words = (photos / "p0" / "0.png", "--model", trained, "--gallery", gallery)
    assert only(type("enroll", "ada", *words, "--json").out)["good"] is True
    refused = type("enroll", "bob", *words)
    assert refused.code == 3
    assert "is closer to ada than to the threshold: expect confusion (distance 0.000, threshold" in refused.err
    assert type("enroll", "bob", *words, "--anyway").code == 0


def test_the_list_of_names(type: Type, trained: Path, photos: Path, gallery: Path) -> None:
    for picture in ("0.png", "1.png"):
        words = ("--model", trained, "--gallery", gallery, "--add", "--anyway")
        assert type("enroll", "ada", photos / "p0" / picture, *words).code == 0
    found = only(type("gallery", "list", "--gallery", gallery, "--json").out)
    assert (found["name"], [each["picture_kept"] for each in found["enrollments"]]) == ("ada", [True, True])
    assert type("gallery", "list", "--gallery", gallery).out.startswith("ada  (2 pictures, since 20")


def test_the_very_same_picture_is_not_added_and_it_says_so(
    type: Type, trained: Path, photos: Path, gallery: Path
) -> None:
    words = ("enroll", "ada", photos / "p0" / "0.png", "--model", trained, "--gallery", gallery)
    assert type(*words).code == 0
    again = type(*words, "--add", "--consent", "form 7")
    assert (again.code, again.out) == (
        0, "ada has this very picture already: nothing was added, nor was the consent noted.\n",
    )  # fmt: skip
    assert only(type(*words, "--add", "--json").out)["added"] is False
    assert type("gallery", "list", "--gallery", gallery).out.startswith("ada  (since ")
    words = ("enroll", "ada", photos / "p0" / "1.png", "--gallery", gallery, "--add", "--anyway")
    assert only(type(*words, "--json").out)["added"] is True


def test_a_list_is_read_past_what_is_empty_in_it(
    type: Type, trained: Path, photos: Path, gallery: Path, tmp_path: Path
) -> None:
    people, refused = tmp_path / "people.csv", tmp_path / "refused.csv"
    people.write_text(f"name,picture\nada,{photos / 'p0' / '0.png'}\nbob,\n=1+1,no.png\n")
    words = ("gallery", "enroll", people, "--model", trained, "--gallery", gallery, "--refused")
    itself = type(*words, people)
    assert (itself.code, f"{people} is the list itself." in itself.err.replace("\n", " ")) == (2, True)
    assert type(*words, tmp_path / "no" / "refused.csv").code == 2
    assert not gallery.exists()
    answer = type(*words, refused)
    assert (answer.code, f"{people}, line 3: bob: The picture is empty." in answer.err) == (2, True)
    assert "1 enrolled, 0 were already, 2 lines refused" in answer.out
    with refused.open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["name"], row["picture"]) for row in csv.DictReader(file)]
    assert rows == [("bob", ""), ("'=1+1", str(tmp_path / "no.png"))]
    Image.open(photos / "p1" / "0.png").save(tmp_path / "no.png")
    assert "1 enrolled" in type("gallery", "enroll", refused, "--gallery", gallery, "--anyway").out
    assert "=1+1  (since" in type("gallery", "list", "--gallery", gallery).out


def test_back_up_restore_export_import(
    type: Type, trained: Path, people: Path, gallery: Path, photos: Path, tmp_path: Path
) -> None:
    """By the model's own gallery, from which all go out; each way leads back to it."""
    own = ("--model", trained)
    type("gallery", "enroll", people, *own)
    names = {json.loads(line)["name"] for line in type("gallery", "list", *own, "--json").out.splitlines()}
    assert names
    backup = ("gallery", "backup", tmp_path / "b.sqlite", *own)
    assert only(type(*backup, "--json").out)["identities"] == len(names)
    assert (type(*backup).code, type(*backup, "--force").code) == (2, 0)
    exported = only(type("gallery", "export", tmp_path / "e.jsonl", *own, "--pictures", "--json").out)
    assert exported["identities"] == exported["templates"] == len(names)
    for name in names:
        type("forget", name, *own)
    assert only(type("gallery", "import", tmp_path / "e.jsonl", *own, "--json").out)["identities"] == len(names)
    refused = type("gallery", "restore", tmp_path / "b.sqlite", *own)
    assert (refused.code, "--force" in refused.err) == (2, True)
    of_glyphs = type("gallery", "restore", tmp_path / "b.sqlite")
    assert (of_glyphs.code, f"Add --model {trained}" in of_glyphs.err) == (2, True)
    assert only(type("gallery", "restore", tmp_path / "b.sqlite", *own, "--force", "--json").out)["identities"] == 2
    assert type("identify", photos / "p0" / "0.png", *own).out.count(": p0  (") == 1
    into = ("gallery", "import", tmp_path / "e.jsonl", "--gallery", gallery)
    assert "2 identities are new" in type(*into).out
    assert type("identify", photos / "p0" / "0.png", "--gallery", gallery).code == 0, "it knows its model"
    server = type("gallery", "backup", "x", "--gallery", "postgresql://host/db")
    assert (server.code, "pg_dump" in server.err) == (2, True)


def test_what_is_refused_leaves_no_gallery_behind(
    type: Type, trained: Path, people: Path, gallery: Path, tmp_path: Path
) -> None:
    (tmp_path / "e.jsonl").write_text("nothing\n")
    (tmp_path / "bad.csv").write_text("name,picture\nada,no.png\n")
    for words in (
        ("gallery", "import", tmp_path / "e.jsonl"),
        ("enroll", "ada", "no.png", "--model", trained),
        ("gallery", "enroll", tmp_path / "bad.csv", "--model", trained),
        ("calibrate", "--data", tmp_path / "none", "--model", trained),
    ):
        assert type(*words, "--gallery", gallery).code == 2
        assert [file.name for file in tmp_path.iterdir() if "sqlite" in file.name] == []
    assert type("gallery", "enroll", people, "--gallery", gallery, "--model", trained).code == 2
    assert gallery.exists()
    assert type("enroll", "dan", "no.png", "--gallery", gallery).code == 2
    assert gallery.exists()


def test_moving_to_another_model(
    type: Type, trained: Path, photos: Path, people: Path, gallery: Path, tmp_path: Path
) -> None:
    type("gallery", "enroll", people, "--model", trained, "--gallery", gallery)
    flags = {"height": 16, "width": 16, "channels": (4,), "embedding_size": 8, "identities": 4, "pictures": 4}
    new = tmp_path / "new"
    train(with_flags(Recipe(), data=str(write_identities(tmp_path / "more")), epochs=2, **flags), out=new)
    refused = type("identify", photos / "p0" / "0.png", "--gallery", gallery, "--model", new)
    assert refused.code == 2
    assert f"gallery reenroll --model {new}/model --gallery {gallery}" in " ".join(refused.err.split())
    moved = type("gallery", "reenroll", "--model", new, "--gallery", gallery, "--json")
    assert (moved.code, only(moved.out)["templates"]) == (0, 2)
    found = only(type("identify", photos / "p0" / "0.png", "--gallery", gallery, "--json").out)
    assert (found["nearest"], found["distance"]) == ("p0", 0)
    assert "already" in type("gallery", "reenroll", "--model", new, "--gallery", gallery).out
    nowhere = type("gallery", "reenroll", "--model", new, "--gallery", "none.sqlite")
    assert (nowhere.code, "There is no gallery none.sqlite" in nowhere.err) == (2, True)


@pytest.mark.parametrize(
    "verb", ["list", "enroll", "reenroll", "backup", "restore", "export", "import", "encrypt", "index"]
)
def test_each_has_help_with_an_example(type: Type, verb: str) -> None:
    answer = type("gallery", verb, "--help")
    assert (answer.code, f"Example: firstsight gallery {verb}" in " ".join(answer.out.split())) == (0, True)
