"""Published pairs files: found to the last picture, or refused with the line that is wrong."""

from pathlib import Path

import pytest

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.errors import DataError

LFW = """2\t1
Ann_Lee\t1\t3
Ann_Lee\t2\tBo\t1
Bo\t1\t2
Bo\t2\tAnn_Lee\t3
"""


@pytest.fixture
def lfw(tmp_path: Path) -> PictureSet:
    """The layout of Labeled Faces in the Wild: NAME/NAME_NNNN.jpg."""
    for name, count in {"Ann_Lee": 3, "Bo": 2}.items():
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for i in range(1, count + 1):
            (tmp_path / "lfw" / name / f"{name}_{i:04d}.jpg").touch()
    return open_pictures(tmp_path / "lfw")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text, "utf-8")
    return path


def test_each_pair_is_found_in_its_fold(tmp_path: Path, lfw: PictureSet) -> None:
    pairs = read_pairs(written(tmp_path, LFW), lfw)
    found = [(lfw.paths[left], lfw.paths[right]) for left, right in zip(pairs.left, pairs.right, strict=True)]
    assert found == [
        ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0003.jpg"),
        ("Ann_Lee/Ann_Lee_0002.jpg", "Bo/Bo_0001.jpg"),
        ("Bo/Bo_0001.jpg", "Bo/Bo_0002.jpg"),
        ("Bo/Bo_0002.jpg", "Ann_Lee/Ann_Lee_0003.jpg"),
    ]
    assert pairs.same == (True, False, True, False)
    assert pairs.fold == (0, 0, 1, 1)
    assert (pairs.folds, len(pairs), pairs.missing) == (2, 4, ())


def test_one_number_in_the_first_line_means_one_fold(tmp_path: Path, lfw: PictureSet) -> None:
    pairs = read_pairs(written(tmp_path, "2\nBo 1 2\nAnn_Lee 1 2\nBo 1 Ann_Lee 1\nBo 2 Ann_Lee 2\n"), lfw)
    assert pairs.fold == (0, 0, 0, 0)
    assert pairs.same == (True, True, False, False)


def test_names_may_have_spaces_and_files_be_bare_numbers(tmp_path: Path) -> None:
    for name in ("Ann Lee", "张三"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in (1, 2):
            (tmp_path / "set" / name / f"{i}.png").touch()
    pictures = open_pictures(tmp_path / "set")
    pairs = read_pairs(written(tmp_path, "\ufeff1\t1\nAnn Lee\t1\t2\n张三\t2\tAnn Lee\t1\n\n"), pictures)
    assert [pictures.paths[i] for i in pairs.left] == ["Ann Lee/1.png", "张三/2.png"]


def test_a_pair_whose_picture_is_missing_stays_and_is_listed(tmp_path: Path, lfw: PictureSet) -> None:
    pairs = read_pairs(written(tmp_path, LFW.replace("Bo\t1", "Bo\t9").replace("Bo\t2", "Cy\t4")), lfw)
    assert pairs.missing == (("Bo", 9), ("Cy", 4))
    assert pairs.right[1] == pairs.left[2] == 5
    assert pairs.left[3] == 6
    assert len(pairs) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a pairs file: its first line is ''"),
        ("Bo 1 2\n", "is not a pairs file: its first line is 'Bo 1 2'"),
        ("0\t3\n", "is not a pairs file"),
        ("2\t1\nBo\t1\t2\n", r"announces 2 x 2 x 1 pairs and has 1\."),
        (LFW.replace("Ann_Lee\t1\t3", "Ann_Lee\t1"), "line 2: 'Ann_Lee 1' is not a pair of the same identity"),
        (LFW.replace("Ann_Lee\t1\t3", "Bo\t1\tAnn_Lee\t1"), "line 2: .* is not a pair of the same identity"),
        (LFW.replace("Bo\t2\tAnn", "Ann_Lee\t2\tAnn"), "line 5: .* is not a pair of the different identity"),
        (LFW.replace("Bo\t1\t2", "Bo\tone\t2"), "line 4: 'Bo one 2' is not a pair of the same identity"),
        ("1\t1\nCy\t1\t2\nCy\t1\tDi\t1\n", "names no picture of .*; its first pair is Cy 1 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, lfw: PictureSet, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(written(tmp_path, text), lfw)


def test_two_pictures_of_one_number_are_refused(tmp_path: Path, lfw: PictureSet) -> None:
    (tmp_path / "lfw" / "Bo" / "1.png").touch()
    with pytest.raises(DataError, match=r"Bo 1 can be Bo/1\.png and Bo/Bo_0001\.jpg"):
        read_pairs(written(tmp_path, LFW), open_pictures(tmp_path / "lfw"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, lfw: PictureSet) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt cannot be read: No such file"):
        read_pairs(tmp_path / "nowhere.txt", lfw)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not text"):
        read_pairs(tmp_path / "binary", lfw)


@pytest.mark.data
def test_the_published_folds_are_found_whole(shared_data: Path) -> None:
    pictures = open_pictures(shared_data / "faces" / "lfw_dev_aligned112.zip")
    pairs = read_pairs(shared_data / "faces" / "lfw_pairs_dev.txt", pictures)
    assert (pairs.folds, len(pairs), sum(pairs.same), pairs.missing) == (5, 3000, 1500, ())
    names = [
        tuple(pictures.names[pictures.labels[i]] for i in pair) for pair in zip(pairs.left, pairs.right, strict=True)
    ]
    assert [one == other for one, other in names] == list(pairs.same)
