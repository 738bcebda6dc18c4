"""The packed cache: the pixels of every picture, once decoded, whatever happens to the file that keeps them."""

import errno
import os
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from firstsight.atomic import FRESH
from firstsight.config import Preprocessing
from firstsight.data import cache
from firstsight.data.cache import Packed, packed_pictures, resolve_color
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pictures import prepare
from firstsight.errors import DataError
from firstsight.places import cache_folder

SMALL = Preprocessing(height=8, width=8, color="rgb")


def expected(pictures: PictureSet, preprocessing: Preprocessing = SMALL) -> torch.Tensor:
    return torch.stack([prepare(pictures.picture(i), preprocessing) for i in range(len(pictures))])


def pack(pictures: PictureSet, preprocessing: Preprocessing = SMALL, **options: object) -> tuple[Packed, int]:
    """The packed pictures, and how many had to be decoded for them."""
    done = [0]
    packed = packed_pictures(pictures, preprocessing, on_progress=lambda now, of: done.append(now), **options)
    return packed, done[-1]


def cache_files() -> list[Path]:
    return sorted(cache_folder().iterdir()) if cache_folder().exists() else []


# what is kept


def test_the_cache_holds_what_prepare_gives(people: Path) -> None:
    pictures = open_pictures(people)
    packed, decoded = pack(pictures)
    assert torch.equal(packed.pixels_NCHW, expected(pictures))
    assert (packed.kept, packed.skipped, packed.notice, decoded) == (pictures, (), "", 6)
    assert [file.suffix for file in cache_files()] == [".pictures"]


def test_pictures_are_decoded_once(people: Path) -> None:
    first, _ = pack(open_pictures(people))
    again, decoded = pack(open_pictures(people))
    assert decoded == 0
    assert torch.equal(first.pixels_NCHW, again.pixels_NCHW)


@pytest.mark.parametrize("change", [{"height": 9}, {"width": 9}, {"color": "gray"}, {"fit": "stretch"}])
def test_other_settings_are_another_cache(people: Path, change: dict[str, object]) -> None:
    pictures = open_pictures(people)
    pack(pictures)
    other = replace(SMALL, **change)
    packed, decoded = pack(pictures, other)
    assert decoded == 6
    assert torch.equal(packed.pixels_NCHW, expected(pictures, other))


def test_mean_and_std_come_later_and_share_the_cache(people: Path) -> None:
    pack(open_pictures(people))
    assert pack(open_pictures(people), replace(SMALL, mean=0.0, std=1.0))[1] == 0


def test_a_changed_picture_is_noticed(people: Path, encoded: Callable[..., bytes]) -> None:
    pack(open_pictures(people))
    (people / "anna" / "1.png").write_bytes(encoded(99))
    pictures = open_pictures(people)
    packed, decoded = pack(pictures)
    assert decoded == 6
    assert torch.equal(packed.pixels_NCHW, expected(pictures))


def test_a_changed_zip_is_noticed_and_a_moved_one_is_known(tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    def write(name: str, seed: int) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as opened:
            opened.writestr("a/1.png", encoded(seed))
            opened.writestr("b/1.png", encoded(7))
        return tmp_path / name

    pack(open_pictures(write("1.zip", 1)))
    assert pack(open_pictures(write("2.zip", 1)))[1] == 0
    assert pack(open_pictures(write("1.zip", 2)))[1] == 2


def test_part_of_a_set_and_an_empty_one(people: Path) -> None:
    pictures = open_pictures(people)
    packed, _ = pack(pictures.select([4, 1]))
    assert torch.equal(packed.pixels_NCHW, expected(pictures)[[4, 1]])
    assert pack(pictures.select([]))[0].pixels_NCHW.shape == (0, 3, 8, 8)


def test_writing_into_the_pixels_leaves_the_cache_alone(people: Path) -> None:
    pictures = open_pictures(people)
    pack(pictures)
    pack(pictures)[0].pixels_NCHW.zero_()
    packed, decoded = pack(pictures)
    assert decoded == 0
    assert torch.equal(packed.pixels_NCHW, expected(pictures))


# unreadable pictures


def test_unreadable_pictures_are_skipped_and_listed(people: Path) -> None:
    (people / "anna" / "1.png").write_bytes(b"")
    (people / "cy" / "0.png").write_text("no picture")
    pictures = open_pictures(people)
    for decoded in (6, 0):  # decoded, then from the cache
        packed, done = pack(pictures)
        assert done == decoded
        assert packed.kept.paths == ("anna/0.png", "anna/2.png", "bo/0.png", "bo/1.png")
        assert packed.kept.names == ("anna", "bo")
        assert torch.equal(packed.pixels_NCHW, expected(packed.kept))
        assert packed.skipped == (
            ("anna/1.png", "is empty (0 bytes)."),
            ("cy/0.png", "is not a picture that can be read."),
        )


def test_not_one_readable_picture_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"bad: none of 2 pictures can be used; the last .* Check what they are."):
        pack(open_pictures(tmp_path / "bad"))
    assert cache_files() == []


# a cache that cannot be used


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:50],
        lambda content: content[:-1],
        lambda content: content[1:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:-17] + b"!" + content[-16:],
        lambda content: bytes(len(content)),
        lambda content: content[:-16] + b"\xff" * 8 + content[-8:],
    ],
)
def test_a_damaged_cache_is_made_anew(people: Path, damage: Callable[[bytes], bytes]) -> None:
    pictures = open_pictures(people)
    pack(pictures)
    (file,) = cache_files()
    file.write_bytes(damage(file.read_bytes()))
    packed, decoded = pack(pictures)
    assert decoded == 6
    assert torch.equal(packed.pixels_NCHW, expected(pictures))
    assert pack(pictures)[1] == 0


def test_without_a_cache_folder_the_pictures_stay_in_memory(people: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (people / "bo" / "1.png").write_bytes(b"")
    packed, _ = pack(open_pictures(people), folder=tmp_path / "file")
    assert torch.equal(packed.pixels_NCHW, expected(packed.kept))
    assert packed.skipped == (("bo/1.png", "is empty (0 bytes)."),)
    assert packed.notice == (
        f"The cache folder {tmp_path}/file cannot be used (File exists), so the pictures stay in memory."
    )


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_on_a_full_disk_the_pictures_stay_in_memory(people: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.os, call, full)
    pictures = open_pictures(people)
    packed, _ = pack(pictures)
    assert torch.equal(packed.pixels_NCHW, expected(pictures))
    assert "cannot be used (No space left on device), so the pictures stay in memory." in packed.notice
    assert cache_files() == []


def test_a_nearly_full_disk_is_not_filled_up(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    packed, _ = pack(open_pictures(people))
    assert "No space left on device" in packed.notice


def test_an_interrupted_run_leaves_nothing_behind(people: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed_pictures(open_pictures(people), SMALL, on_progress=interrupt)
    assert cache_files() == []


def test_two_runs_that_start_together_both_get_the_pictures(people: Path) -> None:
    pictures = open_pictures(people)
    both_decode = threading.Barrier(2, timeout=60)

    def run(_: int) -> Packed:
        return packed_pictures(pictures, SMALL, on_progress=lambda done, total: both_decode.wait())

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    for packed in results:
        assert torch.equal(packed.pixels_NCHW, expected(pictures))
        assert packed.notice == ""
    assert len(cache_files()) == 1


def test_old_caches_make_room(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = open_pictures(people)
    for age, height in enumerate([8, 16, 24]):
        pack(pictures, replace(SMALL, height=height))
        newest = max(cache_files(), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 1000 + age, time.time() - 1000 + age))
    assert pack(pictures)[1] == 0  # the oldest, used again
    (cache_folder() / f".killed{FRESH}").touch()
    os.utime(cache_folder() / f".killed{FRESH}", (0, 0))
    monkeypatch.setattr(cache, "KEPT_BYTES", 6 * 3 * 8 * (8 + 24 + 32) + 1000)
    pack(pictures, replace(SMALL, height=32))
    assert not (cache_folder() / f".killed{FRESH}").exists()
    remade = [pack(pictures, replace(SMALL, height=height))[1] for height in (32, 24, 8, 16)]
    assert remade == [0, 0, 0, 6]


# the color of a set


def color_set(folder: Path, colors: list[tuple[str, object]]) -> PictureSet:
    for i, (mode, color) in enumerate(colors):
        (folder / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.new(mode, (4, 4), color).save(folder / f"{i % 2}" / f"{i:03}.png")
    return open_pictures(folder)


def test_color_is_gray_where_every_picture_is(tmp_path: Path) -> None:
    gray = color_set(
        tmp_path / "gray", [("L", 7), ("RGB", (9, 9, 9)), ("1", 1), ("LA", (3, 9)), ("RGBA", (5, 5, 5, 9))]
    )
    assert resolve_color(gray, Preprocessing()).color == "gray"
    one = color_set(tmp_path / "one", [("L", 7)] * 9 + [("RGB", (9, 9, 8))])
    assert resolve_color(one, Preprocessing()).color == "rgb"
    assert resolve_color(one, Preprocessing(color="gray")).color == "gray"


def test_color_is_judged_by_evenly_spaced_pictures(tmp_path: Path) -> None:
    reads = []
    pictures = color_set(tmp_path, [("L", i) for i in range(40)])

    class Counting(PictureSet):
        def picture(self, index: int) -> Image.Image:
            reads.append(index)
            return super().picture(index)

    counting = Counting(pictures.source, pictures.paths, pictures.labels, pictures.names, pictures.files)
    assert resolve_color(counting, Preprocessing(), sample=8).color == "gray"
    assert reads == list(range(0, 40, 5))


def test_unreadable_pictures_have_no_say_in_the_color(people: Path, tmp_path: Path) -> None:
    pictures = color_set(tmp_path / "set", [("L", 7), ("L", 8), ("L", 9)])
    (tmp_path / "set" / "0" / "000.png").write_bytes(b"")
    assert resolve_color(pictures, Preprocessing()).color == "gray"


def test_the_cache_folder_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRSTSIGHT_CACHE")
    assert cache_folder().name == "firstsight"
    monkeypatch.setenv("FIRSTSIGHT_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
