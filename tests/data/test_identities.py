"""Opening folders, zips and manifests of identities, and splitting them."""

import os
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.data.files import FolderFiles
from firstsight.data.identities import (
    PictureSet,
    few_pictures,
    find_pictures,
    listing_digest,
    open_pictures,
    require_identities,
    split_by_group,
    split_by_identity,
)
from firstsight.errors import DataError, PictureError

Write = Callable[..., Path]


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return path


def write_folder(path: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture(params=["folder", "zip"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Write entries {name: bytes} as a folder and as a zip: both hold the same."""

    def as_given(entries: dict[str, bytes]) -> Path:
        if request.param == "zip":
            return write_zip(tmp_path / "set.zip", entries)
        return write_folder(tmp_path / "set", entries)

    return as_given


def set_of(counts: list[int]) -> PictureSet:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return PictureSet(
        source="people",
        paths=tuple(f"{i}.png" for i in range(len(labels))),
        labels=tuple(labels),
        names=tuple(f"name{label}" for label in range(len(counts))),
        files=FolderFiles(Path("people")),
    )


# layouts


def test_identities_and_pictures_in_natural_order(write: Write) -> None:
    pictures = open_pictures(
        write({name: name.encode() for name in ("s10/1.pgm", "s2/10.pgm", "s2/9.PGM", "s1/1.pgm")})
    )
    assert pictures.names == ("s1", "s2", "s10")
    assert pictures.paths == ("s1/1.pgm", "s2/9.PGM", "s2/10.pgm", "s10/1.pgm")
    assert pictures.labels == (0, 1, 1, 2)
    assert [pictures.read(i) for i in range(4)] == [b"s1/1.pgm", b"s2/9.PGM", b"s2/10.pgm", b"s10/1.pgm"]


def test_leading_zeros_do_not_count_in_the_order(write: Write) -> None:
    assert open_pictures(write({f"{name}/1.png": b"" for name in ("s10", "s002", "s1")})).names == ("s1", "s002", "s10")


def test_nested_names_are_joined(write: Write) -> None:
    pictures = open_pictures(write({"Greek/alpha/1.png": b"", "Greek/beta/1.png": b"", "Latin/a/1.png": b""}))
    assert pictures.names == ("Greek/alpha", "Greek/beta", "Latin/a")


def test_a_top_folder_that_all_share_is_left_out_of_the_names(write: Write) -> None:
    pictures = open_pictures(write({"data/lfw/Anna/1.jpg": b"a", "data/lfw/Bo/1.jpg": b"b", "data/README.txt": b""}))
    assert pictures.names == ("Anna", "Bo")
    assert pictures.paths == ("Anna/1.jpg", "Bo/1.jpg")
    assert pictures.read(1) == b"b"
    assert pictures.where(1).endswith("/data/lfw/Bo/1.jpg")


def test_the_only_identity_keeps_its_name(write: Write) -> None:
    assert open_pictures(write({"people/Anna/1.jpg": b"", "people/Anna/2.jpg": b""})).names == ("Anna",)


def test_what_is_no_picture_of_an_identity_is_passed_over(write: Write) -> None:
    entries = {"a/1.png": b"", "b/1.png": b"", "b/.2.png": b"", ".cache/x/1.png": b"", "__MACOSX/a/1.png": b""}
    pictures = open_pictures(write({**entries, "a/notes.txt": b"", "a/Thumbs.db": b"", "montage.png": b""}))
    assert pictures.paths == ("a/1.png", "b/1.png")


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "pgm", "ppm", "bmp", "webp", "tif", "tiff", "gif", "JPG"])
def test_every_suffix_counts(write: Write, suffix: str) -> None:
    assert len(open_pictures(write({f"a/1.{suffix}": b"", f"b/1.{suffix}": b""}))) == 2


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "people", {"anna/1.png": b""})
    elsewhere = write_folder(tmp_path / "elsewhere", {"2.png": b""})
    (folder / "bo").symlink_to(elsewhere, target_is_directory=True)
    (folder / "anna" / "loop").symlink_to(folder, target_is_directory=True)
    assert open_pictures(folder).paths == ("anna/1.png", "bo/2.png")


@pytest.mark.parametrize("order", [1, -1])
def test_of_links_to_one_folder_the_first_by_name_counts(tmp_path: Path, order: int) -> None:
    folder = write_folder(tmp_path / "people", {"anna/1.png": b""})
    elsewhere = write_folder(tmp_path / "elsewhere", {"2.png": b""})
    for i in list(range(20))[::order]:
        (folder / f"link{i:02}").symlink_to(elsewhere, target_is_directory=True)
    assert open_pictures(folder).paths == ("anna/1.png", "link00/2.png")


def test_groups_come_from_a_column_or_from_folders(tmp_path: Path) -> None:
    write_folder(tmp_path, {f"{name}.png": b"a" for name in ("1", "2", "3")})
    (tmp_path / "cameras.csv").write_text("path,label,group\n3.png,bob,gate\n1.png,ada, door \n2.png,ada,\n")
    cameras = open_pictures(tmp_path / "cameras.csv")
    assert (cameras.paths, cameras.groups) == (("1.png", "2.png", "3.png"), ("door", "", "gate"))
    assert cameras.select([2, 0]).groups == ("gate", "door")
    (tmp_path / "alphabets.csv").write_text("path,label\n1.png,Greek/alpha\n2.png,Latin/a\n")
    assert open_pictures(tmp_path / "alphabets.csv").groups == ("Greek", "Latin")
    write_folder(tmp_path / "set", {"Greek/alpha/1.png": b"a", "Latin/a/1.png": b"a"})
    assert open_pictures(tmp_path / "set").groups == ("Greek", "Latin")
    write_folder(tmp_path / "plain", {"ada/1.png": b"a", "bob/1.png": b"a"})
    assert open_pictures(tmp_path / "plain").groups == ()


def test_a_manifest_names_pictures_and_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, {"x/b.png": b"b", "a.png": b"a", "c.png": b"c"})
    text = "\ufeffsplit,label,path\ntrain,Bo,x/b.png\ntrain,Anna,a.png\n\ntest, Bo , c.png \n"
    (tmp_path / "set.csv").write_text(text, "utf-8")
    pictures = open_pictures(str(tmp_path / "set.csv"))
    assert pictures.source == str(tmp_path / "set.csv")
    assert list(zip(pictures.labels, pictures.paths, strict=True)) == [(0, "a.png"), (1, "c.png"), (1, "x/b.png")]
    assert pictures.names == ("Anna", "Bo")
    assert pictures.read(2) == b"b"


# what is refused, and in which words


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"photos does not exist. Give a folder, zip or CSV manifest of pictures."):
        open_pictures(tmp_path / "photos")


def test_an_empty_set_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"holds no pictures. Put the pictures of each identity in a folder of its own"):
        open_pictures(write({"a/notes.txt": b""}))


def test_pictures_without_identity_folders_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"holds 2 pictures but no identity folders. Put the pictures"):
        open_pictures(write({"1.png": b"", "2.png": b""}))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.tar").write_bytes(b"tar")
    with pytest.raises(DataError, match=r"set.tar is neither a folder, a zip nor a CSV manifest. Put"):
        open_pictures(tmp_path / "set.tar")


@pytest.mark.parametrize(
    "name", ["../a/1.png", "a/../../1.png", "/etc/1.png", "C:/a/1.png", "a\\..\\1.png", "../x.txt"]
)
def test_a_zip_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "set.zip", {"a/1.png": b"", name: b""})
    with pytest.raises(DataError, match=r"set.zip has an entry that points outside of it: .* Do not trust this file"):
        open_pictures(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a/1.png": b"abc"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"set.zip is encrypted \(a/1.png\). Make a zip without a password."):
        open_pictures(path)


def test_a_zip_with_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a/1.png", b"")
        opened.filelist[0].file_size = 2**31
    with pytest.raises(DataError, match=r"set.zip has an entry of 2,048 MiB: a/1.png. A picture may have 256 MiB"):
        open_pictures(path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_damaged_zip_is_refused(tmp_path: Path, keep: float) -> None:
    path = write_zip(tmp_path / "set.zip", {f"{i}/1.png": bytes(100) for i in range(50)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"set.zip is not a zip or is damaged .* Download or make it again."):
        open_pictures(path)


def test_a_damaged_entry_of_a_zip_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a/1.png": b"good", "b/1.png": b"evil"})
    path.write_bytes(path.read_bytes().replace(b"evil", b"EVIL"))
    pictures = open_pictures(path)
    assert pictures.read(0) == b"good"
    with pytest.raises(PictureError, match=r"set.zip/b/1.png is damaged inside its zip \(Bad CRC-32"):
        pictures.read(1)


def test_a_link_inside_a_zip_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    link = zipfile.ZipInfo("b/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a/1.png", b"")
        opened.writestr(link, "/etc/passwd")
    assert open_pictures(path).paths == ("a/1.png",)


def test_a_picture_that_went_away_is_refused_when_it_is_read(people: Path) -> None:
    pictures = open_pictures(people)
    (people / "anna" / "0.png").unlink()
    with pytest.raises(PictureError, match=r"anna/0.png does not exist"):
        pictures.read(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "set.csv has no column 'path'. Its first line must name path and label."),
        ("path,name\na.png,Anna\n", "set.csv has no column 'label'. Its first line"),
        ("path,label\n", "set.csv lists no pictures. Add rows of path,label."),
        ("path,label\na.png,Anna\nb.png,Bo\n", "set.csv, line 3: b.png does not exist. Paths are relative"),
        ("path,label\na.png,\n", "set.csv, line 2: label is empty. Fill it in."),
        ("path,label\na.png\n", "set.csv, line 2: label is empty. Fill it in."),
        ("path,label\n,Anna\n", "set.csv, line 2: path is empty. Fill it in."),
        ("path,label\na.png,Anna\na.png,Bo\n", "set.csv, line 3: a.png is listed in line 2 already."),
        ('path,label\n"a.png,Anna\n', "set.csv is not CSV text ("),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        open_pictures(tmp_path / "set.csv")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_manifest_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes("path,label\na.png,Jürgen\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"set.csv is not CSV text .* Save it as CSV in UTF-8."):
        open_pictures(tmp_path / "set.csv")


# a set in use


def test_a_set_travels_to_another_process_and_is_read_by_many_threads(write: Write) -> None:
    contents = {f"{i % 7}/{i}.png": os.urandom(3000) for i in range(200)}
    pictures = open_pictures(write(contents))
    pictures.read(0)
    copy = pickle.loads(pickle.dumps(pictures))
    assert copy == pictures
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(copy.read, range(200)))
    assert read == [contents[path] for path in pictures.paths]


def test_a_child_process_reads_a_zip_that_its_parent_opened(tmp_path: Path) -> None:
    pictures = open_pictures(write_zip(tmp_path / "set.zip", {"a/1.png": b"one", "b/1.png": b"two"}))
    pictures.read(0)
    files = pictures.files
    parents = files._handle
    files._owner += 1  # as a child finds it after a fork
    assert pictures.read(1) == b"two"
    assert files._handle is not parents


def test_a_listing_is_of_names_and_sizes_wherever_they_lie(tmp_path: Path) -> None:
    entries = {"a/1.png": b"one", "b/1.png": b"two"}
    folder = open_pictures(write_folder(tmp_path / "set", entries))
    zipped = open_pictures(write_zip(tmp_path / "set.zip", {f"top/{name}": each for name, each in entries.items()}))
    larger = open_pictures(write_folder(tmp_path / "other", entries | {"b/1.png": b"three"}))
    assert listing_digest(folder) == listing_digest(zipped)
    assert listing_digest(folder) != listing_digest(larger)
    (tmp_path / "set" / "b" / "1.png").unlink()
    assert listing_digest(folder) != listing_digest(zipped)


def test_stamps_change_with_the_content(tmp_path: Path) -> None:
    first = open_pictures(write_zip(tmp_path / "1.zip", {"a/1.png": b"one", "a/2.png": b"one"}))
    second = open_pictures(write_zip(tmp_path / "2.zip", {"a/1.png": b"one", "a/2.png": b"two"}))
    assert first.files.stamp("a/1.png") == second.files.stamp("a/1.png")
    assert first.files.stamp("a/2.png") != second.files.stamp("a/2.png")
    folder = write_folder(tmp_path / "folder", {"a/1.png": b"one"})
    before = open_pictures(folder).files.stamp("a/1.png")
    os.utime(folder / "a/1.png", ns=(0, 1))
    assert open_pictures(folder).files.stamp("a/1.png") != before


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.data())
def test_a_selection_keeps_who_is_who(counts: list[int], data: st.DataObject) -> None:
    pictures = set_of(counts)
    indices = data.draw(st.lists(st.integers(0, len(pictures) - 1), unique=True))
    selected = pictures.select(indices)
    assert selected.paths == tuple(pictures.paths[i] for i in indices)
    assert [selected.names[label] for label in selected.labels] == [pictures.names[pictures.labels[i]] for i in indices]
    assert set(selected.labels) == set(range(len(selected.names)))


# splits and requirements


@given(st.lists(st.integers(1, 5), min_size=4, max_size=40), st.floats(0.01, 0.9), st.integers(0, 2**31))
def test_a_split_is_by_identity(counts: list[int], holdout: float, seed: int) -> None:
    pictures = set_of(counts)
    train, val = split_by_identity(pictures, holdout, seed)
    assert set(train.names).isdisjoint(val.names)
    assert sorted(train.paths + val.paths) == sorted(pictures.paths)
    assert len(train.names) >= 2
    assert len(val.names) == min(max(2, round(holdout * len(counts))), len(counts) - 2)
    pairs = Counter(count > 1 for count in counts)[True]
    with_pairs = sum(count > 1 for count in Counter(val.labels).values())
    assert abs(with_pairs - pairs * len(val.names) / len(counts)) <= 1
    assert (train, val) == split_by_identity(pictures, holdout, seed)


def test_another_seed_holds_out_others() -> None:
    held_out = {split_by_identity(set_of([2] * 40), 0.2, seed)[1].names for seed in range(5)}
    assert len(held_out) == 5


def test_a_share_of_zero_holds_out_nothing() -> None:
    train, val = split_by_identity(set_of([2, 2]), 0.0, 0)
    assert (len(train), len(val), val.names) == (4, 0, ())


@pytest.mark.parametrize(("counts", "has"), [([3, 3, 3], "3 identities"), ([5], "only 1 identity")])
def test_too_few_identities_to_split(counts: list[int], has: str) -> None:
    with pytest.raises(DataError, match=rf"people has {has}: too few to hold some out. Give 4 or more"):
        split_by_identity(set_of(counts), 0.2, 0)


def test_requirements_are_said() -> None:
    require_identities(set_of([2, 1]), 2)
    require_identities(set_of([2, 1]), 1, with_pictures=2)
    with pytest.raises(DataError, match=r"people has only 1 identity, and 2 are needed. Put the pictures of each"):
        require_identities(set_of([9]), 2)
    said = r"people has 0 identities with 2 pictures or more, and 1 is needed\. Put 2 pictures or more of each identity"
    with pytest.raises(DataError, match=said):
        require_identities(set_of([1, 1]), 1, with_pictures=2)


# pictures to identify


def test_pictures_to_identify_lie_flat_or_nested(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "new", {"10.png": b"", "9.jpg": b"", "sub/1.gif": b"", "a.txt": b"", ".b.png": b""}
    )
    assert find_pictures(folder) == [folder / "9.jpg", folder / "10.png", folder / "sub/1.gif"]
    assert find_pictures(str(folder / "a.txt")) == [folder / "a.txt"]


def test_nothing_to_identify_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pictures. Give a picture or a folder of pictures."):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match=r"gone does not exist. Give a picture"):
        find_pictures(tmp_path / "gone")


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "pictures", "identities"),
    [("faces/att_faces.zip", 400, 40), ("omniglot/images_background.zip", 19280, 964),
     ("faces/lfw_dev_aligned112.zip", 6922, 3554)],
)  # fmt: skip
def test_published_sets_open_as_they_are(shared_data: Path, path: str, pictures: int, identities: int) -> None:
    opened = open_pictures(shared_data / path)
    assert (len(opened), len(opened.names)) == (pictures, identities)
    assert opened.picture(pictures - 1).size >= (92, 105)


def alphabets(tmp_path: Path) -> PictureSet:
    names = [
        f"{group}{name}/{i}.png" for group in ("Greek/", "Latin/", "Tifinagh/", "") for name in "ab" for i in (1, 2)
    ]
    return open_pictures(write_folder(tmp_path / "alphabets", dict.fromkeys(names, b"")))


def test_whole_groups_are_held_out(tmp_path: Path) -> None:
    train, val = split_by_group(alphabets(tmp_path), ["Latin", "Greek"])
    assert val.names == ("Greek/a", "Greek/b", "Latin/a", "Latin/b")
    assert sorted(train.names) == ["Tifinagh/a", "Tifinagh/b", "a", "b"]
    assert len(train) == len(val) == 8


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (["Latn"], r"alphabets has no group Latn. Did you mean Latin\?"),
        (["Runes"], "alphabets has no group Runes. Groups: Greek, Latin, Tifinagh."),
        (["Greek", "Latin", "Tifinagh", ""], "All groups of .* are held out. Leave some to learn from."),
    ],
)
def test_groups_that_cannot_be_held_out(tmp_path: Path, groups: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        split_by_group(alphabets(tmp_path), groups)


def test_names_without_groups(tmp_path: Path) -> None:
    pictures = open_pictures(write_folder(tmp_path / "flat", {"a/1.png": b"", "b/1.png": b""}))
    with pytest.raises(DataError, match="has no group Latin. It has none: put the identities of a group"):
        split_by_group(pictures, ["Latin"])


@pytest.mark.parametrize(
    ("count", "each", "expected"),
    [
        (4, 8, {"a": 2, "b": 2}),
        (6, 2, {"a": 2, "b": 2, "d": 2}),
        (7, 8, {"a": 3, "b": 2, "d": 2}),
        (8, 8, {"a": 4, "b": 2, "d": 2}),
        (9, 3, {"a": 3, "b": 2, "d": 3}),
        (99, 99, {"a": 5, "b": 2, "d": 6}),
    ],
)
def test_a_few_pictures_are_pairs_of_several_identities(
    tmp_path: Path, count: int, each: int, expected: dict[str, int]
) -> None:
    sizes = {"a": 5, "b": 2, "c": 1, "d": 6}
    entries = {f"{name}/{i}.png": b"" for name, size in sizes.items() for i in range(size)}
    few = few_pictures(open_pictures(write_folder(tmp_path, entries)), count, each=each)
    assert Counter(few.names[label] for label in few.labels) == expected
