"""Pictures decoded and resized once, kept as one packed file of bytes that later runs map into memory.

A cache file is the pixels of all readable pictures, or of what was made of them, one after the other, then a JSON
trailer, the trailer's length and a magic number. It is written beside its name and moved there whole; two runs that
start together both write one, and either serves. Shapes: N pictures, C channels, H height, W width.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import PIL
import torch
from jaxtyping import UInt8
from torch import Tensor

from firstsight.atomic import FRESH, appearing_whole
from firstsight.config import Preprocessing
from firstsight.data.align import detector_version
from firstsight.data.files import MemoryFiles
from firstsight.data.identities import PictureSet
from firstsight.data.pictures import is_gray, prepare
from firstsight.errors import DataError, PictureError, PictureUnfit
from firstsight.places import cache_folder

FORMAT = 1
KEPT_BYTES = 16 * 2**30  # of the folder; the files unused for longest go first

_MAGIC = b"1sight\r\n"
_ENDING = struct.Struct(f"<Q{len(_MAGIC)}s")  # length of the JSON, magic
_WINDOW = 256  # pictures in flight: bounds memory, and the wait after Ctrl-C
_SPARE_BYTES = 64 * 2**20  # of the disk are left free
_DAY = 24 * 3600.0

T = TypeVar("T")

WITHOUT_FACES = "If they are aligned faces already, or show none, add --align none."
"""What helps where faces are looked for in other pictures."""


class Skipped(NamedTuple):
    """A picture that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Packed:
    """The readable pictures of a set, as pixels.

    `pixels_NCHW[i]` shows picture i of `kept`; `skipped` are the others. `notice` says in one sentence why the
    pixels are in memory and not in the cache, and is empty where they are.
    """

    pixels_NCHW: UInt8[Tensor, "N C H W"]
    kept: PictureSet
    skipped: tuple[Skipped, ...]
    notice: str = ""


def packed_pictures(
    pictures: PictureSet,
    preprocessing: Preprocessing,
    *,
    folder: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Decode and prepare all pictures, or map what an earlier call left in the cache.

    The cache knows pictures by their listing: in a zip by name, size and CRC-32, in a folder by full path, size and
    time of change. Pictures edited so that neither size nor time changes are not noticed.

    Args:
        pictures: what to decode.
        preprocessing: with a resolved color.
        folder: where cache files lie; by default `$FIRSTSIGHT_CACHE`, else the user's cache folder.
        on_progress: called with (pictures done, pictures in all) while they are decoded.

    Raises:
        DataError: not one picture can be read.
    """
    if not len(pictures):
        return Packed(torch.empty((0, *preprocessing.shape), dtype=torch.uint8), pictures, ())
    cached = cached_pictures(
        pictures, preprocessing, len(pictures), lambda: _decoded(pictures, preprocessing, on_progress), folder=folder
    )
    reasons = cached.reasons
    skipped = tuple(Skipped(pictures.paths[index], reason) for index, reason in reasons.items())
    kept = pictures.select(i for i in range(len(pictures)) if i not in reasons) if reasons else pictures
    return Packed(cached.pixels_NCHW, kept, skipped, cached.notice)


class Cached(NamedTuple):
    """Pixels out of the cache; why there are none of some, by number; and the notice of `Packed`."""

    pixels_NCHW: UInt8[Tensor, "N C H W"]
    reasons: dict[int, str]
    notice: str = ""


def cached_pictures(
    pictures: PictureSet,
    preprocessing: Preprocessing,
    count: int,
    make: Callable[[], Iterable[Tensor | Skipped]],
    *,
    made_of: tuple[object, ...] = (),
    folder: Path | None = None,
) -> Cached:
    """The pixels that `make` makes of pictures, or what an earlier call left of them in the cache.

    Args:
        pictures: what they are made of.
        preprocessing: of what is made.
        count: how many are made.
        make: makes them, each C x H x W or why there is none; what it raises comes through.
        made_of: what else they depend on; of equal values the `repr` must be the same in every process.
        folder: where cache files lie; by default `cache_folder()`.
    """
    shape = (count, *preprocessing.shape)
    if isinstance(pictures.files, MemoryFiles):  # kept off the disk by whoever opened them
        return _in_memory(shape, make())
    folder = folder or cache_folder()
    path = folder / f"{_key(pictures, preprocessing, made_of)}.pictures"
    with contextlib.suppress(OSError, _DamagedError):
        cached = _map(path, shape)
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: last to be pruned
        return cached
    try:
        _write(path, shape, make())
        return _map(path, shape)
    except (OSError, _DamagedError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        notice = f"The cache folder {folder} cannot be used ({reason}), so the pictures stay in memory."
    return _in_memory(shape, make())._replace(notice=notice)


def in_threads(make: Callable[[int], T], count: int) -> Iterator[T]:
    """`make(0)`, `make(1)`, … in order, by a few threads (Pillow, SciPy and NumPy compute without the interpreter's
    lock)."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, _WINDOW):
            yield from pool.map(make, range(start, min(start + _WINDOW, count)))


def resolve_color(pictures: PictureSet, preprocessing: Preprocessing, *, sample: int = 256) -> Preprocessing:
    """Settle color = "auto": "gray" where every picture is, or where ink is drawn anew, else "rgb".

    Looks at up to `sample` pictures, evenly spaced through the set; red = green = blue counts as gray.
    """
    if preprocessing.color != "auto":
        return preprocessing
    if preprocessing.fit == "ink":
        return replace(preprocessing, color="gray")
    step = max(1, -(-len(pictures) // sample))
    for index in range(0, len(pictures), step):
        with contextlib.suppress(PictureError):
            if not is_gray(pictures.picture(index)):
                return replace(preprocessing, color="rgb")
    return replace(preprocessing, color="gray")


class _DamagedError(Exception):
    """A cache file that is not whole."""


def _key(pictures: PictureSet, preprocessing: Preprocessing, made_of: tuple[object, ...]) -> str:
    """SHA-256 of all that the pixels depend on; mean and std are applied later."""
    made_by = (FORMAT, PIL.__version__, preprocessing.height, preprocessing.width, preprocessing.color)
    aligned = (detector_version(),) if preprocessing.align == "faces" else ()
    digest = hashlib.sha256(repr((*made_by, preprocessing.fit, *aligned, *made_of)).encode())
    for path in pictures.paths:
        digest.update(b"\0" + pictures.files.stamp(path).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _write(path: Path, shape: tuple[int, ...], made: Iterable[Tensor | Skipped]) -> None:
    """Write what is made into the cache file `path`, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < math.prod(shape) + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    skipped, checksum = [], 0
    with appearing_whole(path) as fresh, fresh.open("wb") as file:
        for index, picture in enumerate(made):
            if isinstance(picture, Skipped):
                skipped.append((index, picture.reason))
            else:
                pixels = picture.numpy().tobytes()
                file.write(pixels)
                checksum = zlib.crc32(pixels, checksum)
        trailer = json.dumps({"skipped": skipped, "crc32": checksum}).encode()
        file.write(trailer + _ENDING.pack(len(trailer), _MAGIC))
    _prune(path)


def _map(path: Path, shape: tuple[int, ...]) -> Cached:
    """Map a cache file. The mapping is private: writing into the tensor does not change the file."""
    try:
        size, trailer = _trailer(path)
        about = json.loads(trailer)
        reasons = {int(index): str(reason) for index, reason in about["skipped"]}
        checksum = int(about["crc32"])
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise _DamagedError(f"{path} is damaged") from error
    there = (shape[0] - len(reasons), *shape[1:])
    if size != math.prod(there):
        raise _DamagedError(f"{path} is damaged")
    pixels = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    if zlib.crc32(pixels.numpy().data) != checksum:
        raise _DamagedError(f"{path} is damaged")
    return Cached(pixels.view(there), reasons)


def _trailer(path: Path) -> tuple[int, bytes]:
    """How many bytes of pixels a cache file has, and the JSON behind them."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END) - _ENDING.size
        file.seek(max(0, end))
        length, magic = _ENDING.unpack(file.read())
        if magic != _MAGIC or length > end:
            raise ValueError
        file.seek(end - length)
        return end - length, file.read(length)


def _in_memory(shape: tuple[int, ...], made: Iterable[Tensor | Skipped]) -> Cached:
    pixels_NCHW = torch.empty(shape, dtype=torch.uint8)
    reasons = {}
    for index, picture in enumerate(made):
        if isinstance(picture, Skipped):
            reasons[index] = picture.reason
        else:
            pixels_NCHW[index - len(reasons)] = picture
    return Cached(pixels_NCHW[: len(pixels_NCHW) - len(reasons)], reasons)


def _decoded(
    pictures: PictureSet, preprocessing: Preprocessing, on_progress: Callable[[int, int], None] | None
) -> Iterator[Tensor | Skipped]:
    """Each picture prepared, in order."""

    def prepared(index: int) -> Tensor | Skipped:
        try:
            return prepare(pictures.picture(index), preprocessing, name=pictures.where(index))
        except PictureError as error:
            if isinstance(error, PictureUnfit):
                unfit.append(index)
            return Skipped(pictures.paths[index], error.message.removeprefix(pictures.where(index)).strip())

    unfit: list[int] = []
    total, readable, reason = len(pictures), 0, ""
    for done, picture in enumerate(in_threads(prepared, total), start=1):
        yield picture
        readable += not isinstance(picture, Skipped)
        reason = picture.reason if isinstance(picture, Skipped) else reason
        if on_progress is not None:
            on_progress(done, total)
    if not readable:
        raise DataError(
            f"{pictures.source}: none of {total} pictures can be used; the last {reason}",
            hint=WITHOUT_FACES if unfit else "Check what they are.",
        )


def _prune(newest: Path) -> None:
    """Remove cache files beyond KEPT_BYTES, those unused for longest first, and what killed runs left behind."""
    with contextlib.suppress(OSError):
        used = sorted(newest.parent.glob("*.pictures"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in used:
            total += path.stat().st_size
            if total > KEPT_BYTES and path != newest:
                path.unlink(missing_ok=True)
        for path in newest.parent.glob(f".*{FRESH}"):
            if path.stat().st_mtime < time.time() - _DAY:
                path.unlink(missing_ok=True)
