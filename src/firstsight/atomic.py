"""Files that are whole or not there, whatever happens while they are written."""

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FRESH = ".fresh"
"""How what is being written is called at its end, until it is whole."""


@contextmanager
def appearing_whole(path: Path, *, private: bool = True) -> Iterator[Path]:
    """A fresh file beside `path` for the block to write; then it takes its place, or is removed if the block raised.

    A reader sees the old file or the new one, never half of it; so does one after a power cut. Only its owner may read
    the fresh file; if it is not `private`, whoever could read the old one, or else whoever the umask lets.
    """
    fresh = _fresh_beside(path)
    mode = 0o600 if private or path.exists() else 0o666
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield fresh
        if not private:
            keep_closed(path, fresh)
        to_disk(fresh)
        os.replace(fresh, path)
        to_disk(path.parent)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file, or leave what was there: see `appearing_whole`. The umask says who may read it."""
    with appearing_whole(path, private=False) as fresh:
        fresh.write_bytes(content)


@contextmanager
def fresh_folder(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A fresh folder beside `path` for the block to fill, and to put in its place; what is left of it is removed."""
    fresh = _fresh_beside(path)
    fresh.mkdir(0o700 if private else 0o777)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def keep_closed(old: Path, fresh: Path) -> None:
    """What its owner closed to others stays closed when it is written anew."""
    if old.exists():
        shutil.copymode(old, fresh)


def in_utf8(text: str) -> bytes:
    """The bytes of a text. Where the name of a file stands in it that is not UTF-8, it is escaped as JSON does."""
    return text.encode("utf-8", "backslashreplace")


def to_disk(path: Path) -> None:
    """Have a file's content, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed left beside `path` while it wrote it. Nobody else may be writing it now."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}-*{FRESH}"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _fresh_beside(path: Path) -> Path:
    """A name beside `path` that nobody has."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}{FRESH}")
