"""Data as they arrive: a source hands over one arrival after the other, and can be asked to go on after any of them.

A source is one small Protocol, so that a message broker can be one. Files and standard input are `LineSource`, whatever
Python has at hand is `PairSource`; folders of pictures are in filling.py, and sources.py opens what a user names.
"""

import csv
import gzip
import json
import os
import select
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

from firstsight.data.rows import check_header
from firstsight.errors import DataError

CHUNK = 1 << 16  # bytes read at once: what is read ahead of the learning, and no more
LONGEST = 1 << 24  # bytes of a line: it is held in memory
PAUSE = 0.02  # seconds between two looks at what may have grown
LABEL = "label"
"""The target of records made of Python pairs."""

Offset = Any
"""Where in a source: plain values, as JSON has them. Only the source itself knows what they mean."""


class Arrival(NamedTuple):
    """One record as it came. `offset` is the place after it.

    `record` has a value for each column; for one that cannot be read it is a text: the reason. `raw` is what came.
    """

    offset: Offset
    record: dict[str, Any] | str
    raw: bytes = b""


@runtime_checkable
class Source(Protocol):
    """Where arrivals come from."""

    name: str

    def arrivals(self, after: Offset | None) -> Iterator[Arrival | None]:
        """The arrivals after a place, or from the beginning; None when there is none at the moment, so that whoever
        waits can do something else. Nothing is read before it is asked for, so a slow learner slows its source down.
        """


class LineSource:
    """Standard input (`-`) or a file, gzipped or not, of JSON lines or of CSV with a header: the first line tells.

    With `follow` the end of a file is waited at, and a last line without its end is not read before it has one.

    Raises:
        DataError: from `arrivals`: no such file, it became shorter while it was followed, or has a line of more than
            16 MB.
    """

    def __init__(self, path: str, *, follow: bool = False) -> None:
        self.name = "standard input" if path == "-" else path
        self._path, self._follow = path, follow

    def arrivals(self, after: Offset | None) -> Iterator[Arrival | None]:
        chunks = _from_stdin() if self._path == "-" else _from_file(self._path, self._follow)
        header: list[str] | None = None
        for found in _lines(chunks):
            if found is None:
                yield None
                continue
            number, text = found
            if header is None and text.strip():
                header = [] if text.lstrip().startswith(b"{") else self._header(text)
                if header:
                    continue
            if number <= (after or 0) or not text.strip():
                continue  # learned before; a pipe must be filled from its beginning again
            yield Arrival(number, _record(text, header), text)

    def _header(self, text: bytes) -> list[str]:
        try:
            names = [name.strip() for name in next(csv.reader([text.decode("utf-8-sig")], strict=True))]
        except (UnicodeDecodeError, csv.Error, StopIteration) as error:
            raise DataError(f"{self.name} is neither CSV nor JSON lines: {error}.", hint="Save it in UTF-8.") from error
        check_header(self.name, names)
        return names


class PairSource:
    """Any iterable of (x, L(x)) or (x, L(x), id): x a dict of numbers or a sequence of them, L(x) a class or a number.

    L(x) is None where it comes later: then as (None, L(x), id). To go on after a place, an iterable that begins again
    is read up to there.
    """

    def __init__(self, pairs: Iterable[Sequence[Any]], *, name: str = "the iterator", id: str = "") -> None:
        self.name = name
        self._pairs, self._id = pairs, id

    def arrivals(self, after: Offset | None) -> Iterator[Arrival | None]:
        for number, pair in enumerate(islice(self._pairs, after or 0, None), (after or 0) + 1):
            yield Arrival(number, self._record(pair))

    def _record(self, pair: Sequence[Any]) -> dict[str, Any] | str:
        if not 2 <= len(pair) <= 3:
            return f"{len(pair)} values, not (x, label) or (x, label, id)"
        x, label = pair[:2]
        columns = x if isinstance(x, Mapping) else {f"x{i}": value for i, value in enumerate(() if x is None else x)}
        record = {**columns, LABEL: label}
        return record | {self._id: pair[2]} if self._id and len(pair) == 3 else record


def _record(text: bytes, header: list[str] | None) -> dict[str, Any] | str:
    """A line as a record, or why it is none."""
    try:
        if not header:
            record = json.loads(text)
            return record if isinstance(record, dict) else "it is no JSON object"
        line = text.decode("utf-8").rstrip("\r\n")
        cells = next(csv.reader([line], strict=True)) if '"' in line else line.split(",")
    except json.JSONDecodeError as error:
        return f"it is no JSON: {error}"
    except (UnicodeDecodeError, csv.Error) as error:
        return f"it is no CSV: {error}"
    if len(cells) != len(header):
        return f"{len(cells)} cells, and the header has {len(header)}"
    return dict(zip(header, cells, strict=True))


Chunk = bytes | None
"""Bytes; empty at the end of those that will not grow; None while nothing comes."""


def _lines(chunks: Iterator[Chunk]) -> Iterator[tuple[int, bytes] | None]:
    """Number and bytes of each line."""
    number, rest = 0, b""
    for chunk in chunks:
        if chunk is None:
            yield None
            continue
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield number, line
        if len(rest) > LONGEST:
            raise DataError(
                f"Line {number + 1} has more than {LONGEST >> 20} MB.",
                hint="Give CSV, or JSON lines: an object a line, not one list of them all.",
            )
    if rest:
        yield number + 1, rest


def _from_stdin() -> Iterator[Chunk]:
    file = sys.stdin.fileno()
    while True:
        if not select.select([file], [], [], PAUSE)[0]:
            yield None
        elif chunk := os.read(file, CHUNK):
            yield chunk
        else:
            return


def _from_file(path: str, follow: bool) -> Iterator[Chunk]:
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            if zipped and follow:
                raise DataError(f"{path} is gzipped, and cannot be followed.", hint="Leave out --follow, or unpack it.")
            file.seek(0)
            unzipped: Any = gzip.GzipFile(fileobj=file) if zipped else file
            while True:
                if chunk := unzipped.read(CHUNK):
                    yield chunk
                elif not follow:
                    return
                elif os.stat(path).st_size < file.tell():
                    raise DataError(f"{path} became shorter while it was followed.", hint="Begin anew with --out NEW.")
                else:
                    yield None
                    time.sleep(PAUSE)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.", hint="Check the path.") from error
