"""One-shot runs in the published layout, from folders and zips, whole or refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from firstsight.data.runs import open_runs
from firstsight.errors import DataError


def write_run(folder: Path, encoded: Callable[..., bytes], number: int, answers: dict[str, str]) -> None:
    run = folder / f"run{number:02d}"
    for kind in ("training", "test"):
        (run / kind).mkdir(parents=True)
    for seed, (item, label) in enumerate(answers.items()):
        (run / "test" / f"{item}.png").write_bytes(encoded(100 * number + seed))
        (run / "training" / f"{label}.png").write_bytes(encoded(100 * number + 50 + seed))
    lines = [f"{run.name}/test/{item}.png {run.name}/training/{label}.png" for item, label in answers.items()]
    (run / "class_labels.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def runs(tmp_path: Path, encoded: Callable[..., bytes]) -> Path:
    folder = tmp_path / "all_runs"
    write_run(folder, encoded, 2, {"item01": "class02", "item02": "class01"})
    write_run(folder, encoded, 1, {"item01": "class01", "item02": "class03", "item03": "class02"})
    return folder


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(folder.rglob("*.*")):
            target.write(file, file.relative_to(folder.parent))
        target.writestr("__MACOSX/run01/class_labels.txt", b"\x00")
    return path


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_each_test_picture_has_the_identity_of_its_training_picture(runs: Path, kind: str) -> None:
    found = open_runs(runs if kind == "folder" else zipped(runs))
    pictures = found.pictures
    assert [run.name for run in found.runs] == ["run01", "run02"]
    answers = {}
    for run in found.runs:
        enrolled = {pictures.labels[i]: pictures.paths[i] for i in run.training}
        for i in run.test:
            answers[pictures.paths[i].removeprefix("all_runs/")] = Path(enrolled[pictures.labels[i]]).name
        assert list(enrolled) == sorted(enrolled)
    assert answers == {
        "run01/test/item01.png": "class01.png",
        "run01/test/item02.png": "class03.png",
        "run01/test/item03.png": "class02.png",
        "run02/test/item01.png": "class02.png",
        "run02/test/item02.png": "class01.png",
    }
    assert pictures.names == ("run01/class01", "run01/class02", "run01/class03", "run02/class01", "run02/class02")
    assert pictures.picture(0).size == (12, 10)


def test_a_training_picture_that_is_no_answer_is_enrolled_all_the_same(
    runs: Path, encoded: Callable[..., bytes]
) -> None:
    (runs / "run01" / "training" / "class99.png").write_bytes(encoded(7))
    assert len(open_runs(runs).runs[0].training) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run01/test/item01.png", r"class_labels\.txt, line 4: 'run01/test/item01\.png' is not two pictures"),
        ("run01/test/item09.png run01/training/class01.png", r"line 4: .*run01/test/item09\.png does not exist"),
        ("run01/test/item01.png run01/training/class02.png", r"has 2 answers for .*run01/test/item01\.png, not one"),
    ],
)
def test_a_wrong_line_is_named(runs: Path, line: str, message: str) -> None:
    with (runs / "run01" / "class_labels.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        open_runs(runs)


def test_a_test_picture_without_an_answer_is_not_dropped(runs: Path, encoded: Callable[..., bytes]) -> None:
    (runs / "run02" / "test" / "item03.png").write_bytes(encoded(3))
    with pytest.raises(DataError, match=r"has 0 answers for .*run02/test/item03\.png, not one"):
        open_runs(runs)


def test_another_layout_is_refused(tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_runs(tmp_path / "nowhere")
    (tmp_path / "people" / "ann").mkdir(parents=True)
    (tmp_path / "people" / "ann" / "1.png").write_bytes(encoded())
    with pytest.raises(
        DataError, match=r"holds no one-shot runs: there is no class_labels\.txt in it\. Expected: runNN"
    ):
        open_runs(tmp_path / "people")


def test_answers_that_are_not_text_are_refused(runs: Path) -> None:
    (runs / "run01" / "class_labels.txt").write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match=r"run01/class_labels\.txt is not text"):
        open_runs(runs)


def test_a_hostile_zip_is_refused(runs: Path) -> None:
    path = zipped(runs)
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("../run09/class_labels.txt", "")
    with pytest.raises(DataError, match="points outside"):
        open_runs(path)


@pytest.mark.data
def test_the_published_layout_is_read_whole(shared_data: Path) -> None:
    found = open_runs(shared_data / "omniglot" / "dev_runs.zip")
    assert len(found.runs) == 12
    assert {(len(run.training), len(run.test)) for run in found.runs} == {(20, 20)}
    assert len(found.pictures.names) == 240
