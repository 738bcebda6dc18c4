"""A list of people: everyone once, whatever happens in between, and whoever is refused is named."""

import csv
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import pixel_model

from firstsight.errors import DataError, PictureError, PictureRefused
from firstsight.models.folder import Model
from firstsight.recognition import people as module
from firstsight.recognition import rows
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.people import enroll_people
from firstsight.recognition.quality import Verdict
from firstsight.recognition.recognizer import Recognizer

# argv: the folder of tiny_models.py, the gallery, the list. Says how far it is.
ENROLLER = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_models import pixel_model
from firstsight.recognition import people
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
people._AT_ONCE = 8
with Gallery(sys.argv[2]) as gallery:
    recognizer = Recognizer(pixel_model("tiny"), gallery, threshold=0.2)
    people.enroll_people(recognizer, sys.argv[3], on_progress=lambda done, total: print(done, total, flush=True))
"""


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))


def write_list(folder: Path, names: list[str], *, first: int = 0) -> Path:
    """A picture a line, each of its own."""
    (folder / "pictures").mkdir(exist_ok=True)
    path = folder / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "picture"])
        for number, name in enumerate(names, start=first):
            noise(number).save(folder / "pictures" / f"{number}.png")
            writer.writerow([number, name, f"pictures/{number}.png"])
    return path


@pytest.fixture
def recognizer(gallery: Gallery, model: Model) -> Recognizer:
    return Recognizer(model, gallery, threshold=0.5)


def templates(gallery: Gallery) -> Counter[str]:
    with gallery.storage.reading() as connection:
        return Counter(row.name for batch in rows.stored(connection, gallery.terms.cipher) for row in batch)


def test_a_list_enrolls_everyone_and_a_second_time_nobody(recognizer: Recognizer, tmp_path: Path) -> None:
    names = [f"person {i}" for i in range(150)]
    path, heard = write_list(tmp_path, names), []
    found = enroll_people(recognizer, path, on_progress=lambda *now: heard.append(now))
    assert (found.enrolled, found.known, found.refused) == (150, 0, ())
    assert heard == [(0, 150), (64, 150), (128, 150), (150, 150)]
    assert recognizer.gallery.names() == names
    assert [recognizer.identify(noise(i)).name for i in (0, 77, 149)] == ["person 0", "person 77", "person 149"]
    again = enroll_people(recognizer, path)
    assert (again.enrolled, again.known, again.refused) == (0, 150, ())
    assert set(templates(recognizer.gallery).values()) == {1}


def test_a_list_decides_as_one_by_one_does(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of three; with a doubtful, a broken, a missing and a doubled picture."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    path = write_list(tmp_path, [f"person {i}" for i in range(10)])
    Image.new("L", (8, 8), 77).save(tmp_path / "pictures" / "2.png")
    (tmp_path / "pictures" / "5.png").write_text("no picture")
    (tmp_path / "pictures" / "6.png").unlink()
    noise(7).save(tmp_path / "pictures" / "8.png")  # in one batch with 7
    noise(0).save(tmp_path / "pictures" / "9.png")  # long after 0
    with Gallery("sqlite://") as one, Gallery("sqlite://") as other:
        found = enroll_people(Recognizer(model, one, threshold=0.5), path)
        single, refused = Recognizer(model, other, threshold=0.5), {}
        for i in range(10):
            try:
                single.enroll(f"person {i}", tmp_path / "pictures" / f"{i}.png")
            except PictureError as error:
                refused[f"person {i}"] = (error.message, not isinstance(error, PictureRefused))
        assert one.names() == other.names() == [f"person {i}" for i in (0, 1, 3, 4, 7)]
    assert {each.name: (each.reason, each.unusable) for each in found.refused} == refused
    said = [
        "is empty",
        "is not a picture that can be read",
        "does not exist",
        "closer to person 7",
        "closer to person 0",
    ]
    assert [words in each.reason for words, each in zip(said, found.refused, strict=True)] == [True] * 5
    assert [each.line for each in found.refused] == [4, 7, 8, 10, 11]


def test_anyway_is_for_all_that_can_be_read(recognizer: Recognizer, tmp_path: Path) -> None:
    path = write_list(tmp_path, ["ada", "bob", "cyd"])
    Image.new("L", (8, 8), 77).save(tmp_path / "pictures" / "0.png")
    (tmp_path / "pictures" / "1.png").write_text("no picture")
    found = enroll_people(recognizer, path, anyway=True)
    assert (recognizer.gallery.names(), [each.name for each in found.refused]) == (["ada", "cyd"], ["bob"])


def test_several_pictures_of_one_name_come_together(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the lines are ordered, and however the name is written; after an interruption it has all or none."""
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    path = write_list(tmp_path, ["ada", "bob", " ada ", "cyd", "ada"])
    found = enroll_people(recognizer, path)
    assert (found.enrolled, templates(recognizer.gallery)) == (3, {"ada": 3, "bob": 1, "cyd": 1})
    assert recognizer.identify(noise(4)).name == "ada"


def test_whom_another_enrolls_meanwhile_is_known(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_list(tmp_path, ["ada", "bob", "cyd"])
    with Gallery(tmp_path / "g.sqlite") as mine, Gallery(tmp_path / "g.sqlite") as theirs:
        recognizer, other = Recognizer(model, mine, threshold=0.1), Recognizer(model, theirs, threshold=0.1)
        unknown, first = module._unknown, [True]

        def late(*arguments):
            found = unknown(*arguments)
            if first.pop() if first else False:
                other.enroll("bob", noise(50))
            return found

        monkeypatch.setattr(module, "_unknown", late)
        found = enroll_people(recognizer, path)
        assert (found.enrolled, found.known, found.refused) == (2, 1, ())
        assert templates(mine) == {"ada": 1, "bob": 1, "cyd": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,path\nada,a.png\n", r"people\.csv has no column 'picture'\. Its first line must name name and picture"),
        ("name,picture\n", "lists nobody"),
    ],
)
def test_a_list_that_cannot_be_used_enrolls_nobody(
    recognizer: Recognizer, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "people.csv").write_text(text)
    noise(0).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=said):
        enroll_people(recognizer, tmp_path / "people.csv")
    assert recognizer.gallery.names() == []


def test_a_line_with_an_empty_cell_is_refused_alone(recognizer: Recognizer, tmp_path: Path) -> None:
    for number in range(2):
        noise(number).save(tmp_path / f"{number}.png")
    lines = ["name,picture", "ada,0.png", "bob,", ",0.png", "cyd", "dee, dr.,1.png", " , ", "'=eve,1.png"]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    found = enroll_people(recognizer, tmp_path / "people.csv")
    assert recognizer.gallery.names() == ["ada", "=eve"]
    assert [(each.line, each.name, each.unusable) for each in found.refused] == [
        (3, "bob", True), (4, "", True), (5, "cyd", True), (6, "dee", True), (7, "", True),
    ]  # fmt: skip
    assert [each.reason[:19] for each in found.refused] == [
        "The picture is empt", "The name is empty.", "The line has 1 cell", "The line has 3 cell", "The name is empty.",
    ]  # fmt: skip


def test_a_name_that_cannot_be_one_is_refused_alone(recognizer: Recognizer, tmp_path: Path) -> None:
    path = write_list(tmp_path, ["ada", "x" * 201, "bob"])
    (refusal,) = enroll_people(recognizer, path).refused
    assert (refusal.line, refusal.unusable, "more than 200 characters" in refusal.reason) == (3, True, True)
    assert recognizer.gallery.names() == ["ada", "bob"]


def test_killed_and_typed_again_everyone_is_there_once(tmp_path: Path) -> None:
    names = [f"person {i // 2}" if i < 40 else f"person {i}" for i in range(400)]
    path, gallery = write_list(tmp_path, names), tmp_path / "g.sqlite"
    command = [sys.executable, "-c", ENROLLER, str(Path(__file__).parents[1]), str(gallery), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if int(line.split()[0]) >= 100:
            break
    process.send_signal(signal.SIGKILL)
    heard = process.communicate()[0].split()
    assert process.returncode == -signal.SIGKILL
    assert "400 400" not in " ".join(heard), "the kill did not come in mid-work"
    with Gallery(gallery) as opened:
        assert 80 <= len(templates(opened)) < len(set(names))
        found = enroll_people(Recognizer(pixel_model("tiny"), opened, threshold=0.2), path)
        assert (found.known > 70, found.refused) == (True, ())
        assert found.enrolled + found.known == len(set(names)) == len(opened)
        assert templates(opened) == Counter(names)


def test_the_verdict_comes_back(recognizer: Recognizer) -> None:
    (verdict,) = recognizer.enroll_many([("ada", noise(0))])
    assert isinstance(verdict, Verdict)
    assert (verdict.good, verdict.nearest, verdict.threshold) == (True, None, 0.5)
    verdict = recognizer.enroll("bob", noise(0), anyway=True)
    assert (verdict.good, verdict.nearest, verdict.distance) == (False, "ada", 0)
    with pytest.raises(PictureRefused, match=r"closer to (ada|bob).*If it is (ada|bob), enroll it by that name"):
        recognizer.enroll("cyd", noise(0))
    assert recognizer.enroll("bob", noise(3), add=True).good
