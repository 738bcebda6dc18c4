"""Where the bytes of a picture set lie: in a folder or in a zip."""

import hashlib
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from firstsight.data.pictures import MAX_BYTES, SUFFIXES, read_file
from firstsight.errors import DataError, PictureError


@runtime_checkable
class Files(Protocol):
    """Named files that can be read from any thread and sent to another process."""

    def read(self, path: str) -> bytes:
        """The content of one file."""

    def where(self, path: str) -> str:
        """What messages call this file."""

    def size(self, path: str) -> int:
        """Bytes of one file, unpacked; 0 if it is gone."""

    def stamp(self, path: str) -> str:
        """Text that changes when the file's content does."""


@dataclass(frozen=True)
class FolderFiles:
    """The files below `root`. A stamp is the file's full path, size and time of change, not its content."""

    root: Path

    def read(self, path: str) -> bytes:
        return read_file(self.root / path)

    def where(self, path: str) -> str:
        return str(self.root / path)

    def size(self, path: str) -> int:
        try:
            return (self.root / path).stat().st_size
        except OSError:
            return 0

    def stamp(self, path: str) -> str:
        where = self.root / path
        try:
            status = where.stat()
        except OSError:
            return f"{where} missing"
        return f"{where.absolute()} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class MemoryFiles:
    """Files that are never on a disk: `content` has their bytes by name. `called` is what messages call them all."""

    called: str
    content: Mapping[str, bytes] = field(repr=False)

    def read(self, path: str) -> bytes:
        return self.content[path]

    def where(self, path: str) -> str:
        return f"{path} of {self.called}"

    def size(self, path: str) -> int:
        return len(self.content[path])

    def stamp(self, path: str) -> str:
        return hashlib.sha256(self.content[path]).hexdigest()


class ZipFiles:
    """The entries of a zip below `prefix`. A stamp is the entry's name, size and CRC-32.

    The zip is opened once a process, when first read; a copy sent to another process opens its own.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.prefix = prefix
        self._lock = threading.Lock()
        self._handle: zipfile.ZipFile | None = None
        self._owner = 0

    def __reduce__(self) -> tuple[object, ...]:
        return ZipFiles, (self.path, self.prefix)

    def read(self, path: str) -> bytes:
        where = self.where(path)
        try:
            with self._lock:
                return self._opened().read(self.prefix + path)
        except KeyError as error:
            raise PictureError(f"{where} does not exist.") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise PictureError(f"{where} is damaged inside its zip ({error}).", hint="Make the zip anew.") from error

    def where(self, path: str) -> str:
        return f"{self.path}/{self.prefix}{path}"

    def size(self, path: str) -> int:
        return self._entry(path).file_size

    def stamp(self, path: str) -> str:
        entry = self._entry(path)
        return f"{path} {entry.file_size} {entry.CRC:08x}"

    def _entry(self, path: str) -> zipfile.ZipInfo:
        with self._lock:
            return self._opened().getinfo(self.prefix + path)

    def _opened(self) -> zipfile.ZipFile:
        if self._handle is None or self._owner != os.getpid():  # a fork shares the file's offset with its parent
            try:
                self._handle, self._owner = zipfile.ZipFile(self.path), os.getpid()
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(f"{self.path} can no longer be read ({error}).", hint="Put it back.") from error
        return self._handle


def pictures_in_folder(root: Path) -> list[str]:
    """Paths of the pictures below `root`, relative to it, unsorted. Hidden files and folders are left out, and folders
    that go away meanwhile."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and Path(error.filename) != root:
            return
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.", hint="Check its permissions.")

    found = []
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above, or to one visited already
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        subfolders[:] = [name for name in subfolders if _visible(name)]
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [str(relative / name) for name in files if is_picture_name(name)]
    return found


def pictures_in_zip(path: Path) -> list[str]:
    """Names of the pictures in a zip, unsorted, after the zip was found safe.

    Raises:
        DataError: not a zip, damaged, encrypted, or with entries that point outside or claim an absurd size.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            entries = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a zip or is damaged ({error}).", hint="Download or make it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return sorted({entry.filename for entry in _safe_pictures(path, entries)})


def is_picture_name(name: str) -> bool:
    """Whether a file of this name counts as a picture: a known suffix, and not hidden."""
    return _visible(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def readable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes in it that are not UTF-8 are escaped.

    Example:
        >>> print(readable(os.fsdecode(b"caf\\xe9")))
        caf\\xe9
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _safe_pictures(path: Path, entries: list[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    for entry in entries:
        name = entry.filename
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":":
            raise DataError(
                f"{path} has an entry that points outside of it: {name!r}.",
                hint="Do not trust this file; make a zip of the plain folder.",
            )
        if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
            continue
        if not (all(map(_visible, parts)) and is_picture_name(parts[-1])):
            continue
        if entry.flag_bits & 0x1:
            raise DataError(f"{path} is encrypted ({name}).", hint="Make a zip without a password.")
        if entry.file_size > MAX_BYTES:
            raise DataError(
                f"{path} has an entry of {entry.file_size / 2**20:,.0f} MiB: {name}.",
                hint=f"A picture may have {MAX_BYTES // 2**20} MiB; remove it.",
            )
        yield entry


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
