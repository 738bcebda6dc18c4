"""Sources of arrivals: every record once, in order, from any place on, and nothing before it is whole."""

import contextlib
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from firstsight.data import streams
from firstsight.data.arrivals import Row, RowReader
from firstsight.data.sources import open_source
from firstsight.data.streams import CHUNK, Arrival, LineSource, PairSource, Source
from firstsight.errors import DataError

TABLE = "a,b,class\n1,2,yes\n3,4,no\n5,6,yes\n"
RECORDS = [
    {"a": "1", "b": "2", "class": "yes"},
    {"a": "3", "b": "4", "class": "no"},
    {"a": "5", "b": "6", "class": "yes"},
]


def records(source: Source, after: Any = None) -> list[Any]:
    return [arrival.record for arrival in source.arrivals(after) if arrival]


@pytest.fixture(params=["csv", "csv.gz", "jsonl"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{request.param}"
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS) if request.param == "jsonl" else TABLE
    path.write_bytes(gzip.compress(lines.encode()) if request.param.endswith("gz") else lines.encode())
    return path


def test_every_record_comes_once_from_any_place_on(file: Path) -> None:
    source = open_source(str(file))
    arrivals = [arrival for arrival in source.arrivals(None) if arrival]
    assert [arrival.record for arrival in arrivals] == RECORDS
    for count, arrival in enumerate(arrivals, 1):
        assert records(source, json.loads(json.dumps(arrival.offset))) == RECORDS[count:]


def test_standard_input_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with io.TextIOWrapper(io.FileIO(reading)) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        arrivals = open_source("-").arrivals(None)
        assert next(arrivals) is None  # nothing yet: whoever waits may do something else
        os.write(writing, TABLE.encode()[:-1])
        os.close(writing)
        assert [arrival.record for arrival in arrivals if arrival] == RECORDS


def test_who_learns_slowly_slows_its_source_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pipe that could give for ever, two chunks are read ahead at most: then it is full, and its writer waits."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def write_all() -> int:
        written = 0
        with contextlib.suppress(BlockingIOError):
            while written < 1 << 26:
                written += os.write(writing, b'{"a": 1, "class": "yes"}\n' * 100)
        return written

    with io.TextIOWrapper(io.FileIO(reading)) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        arrivals = open_source("-").arrivals(None)
        held = write_all()
        assert next(arrival for arrival in arrivals if arrival).record == {"a": 1, "class": "yes"}
        assert write_all() <= 2 * CHUNK
        assert held <= 1 << 21
        os.close(writing)


def test_a_file_that_grows_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,class\n1,yes\n2,n")
    arrivals = open_source(str(path), follow=True).arrivals(None)
    first = next(arrivals)
    assert first is not None
    assert first.record == {"a": "1", "class": "yes"}
    assert next(arrivals) is None, "half a line is no record"
    with path.open("a") as file:
        file.write("o\n")
    assert next(arrival for arrival in arrivals if arrival).record == {"a": "2", "class": "no"}
    path.write_text("a\n")
    with pytest.raises(DataError, match=r"rows\.csv became shorter while it was followed"):
        list(arrivals)


def test_python_pairs_are_a_source() -> None:
    pairs = [([1, 2], "yes"), ({"a": 3}, None, "k1"), (None, "no", "k1"), (1, 2, 3, 4)]
    assert records(PairSource(pairs, id="id")) == [
        {"x0": 1, "x1": 2, "label": "yes"}, {"a": 3, "label": None, "id": "k1"}, {"label": "no", "id": "k1"},
        "4 values, not (x, label) or (x, label, id)",
    ]  # fmt: skip
    assert len(records(PairSource(pairs), 2)) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2", "2 cells, and the header has 3"),
        ('1,"2,3', "it is no CSV: unexpected end of data"),
        (b"1,2,\xff", "it is no CSV: 'utf-8' codec can't decode byte 0xff in position 4: invalid start byte"),
    ],
)
def test_a_broken_line_of_csv_says_why(tmp_path: Path, line: str | bytes, reason: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a,b,class\n" + (line if isinstance(line, bytes) else line.encode()) + b'\n1,"2",yes\n')
    broken, whole = records(open_source(str(path)))
    assert broken == reason
    assert whole == {"a": "1", "b": "2", "class": "yes"}


def test_a_broken_line_of_json_says_why(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n[1]\n{"a": \n')
    assert records(LineSource(str(path)))[1:] == [
        "it is no JSON object", "it is no JSON: Expecting value: line 1 column 7 (char 6)"
    ]  # fmt: skip


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST", 1 << 20)
    (tmp_path / "list.json").write_text("\n[" + '{"a": 1}, ' * 200_000 + "]")
    with pytest.raises(DataError, match=r"Line 2 has more than 1 MB\. Give CSV, or JSON lines"):
        records(LineSource(str(tmp_path / "list.json")))


def test_a_source_that_cannot_be_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nothing\.csv does not exist\. Give a file of CSV or JSON lines, a folder of pic"
    ):
        open_source(str(tmp_path / "nothing.csv"))
    (tmp_path / "rows.csv").write_text("a,a\n1,2\n")
    with pytest.raises(DataError, match=r"two columns 'a'"):
        records(open_source(str(tmp_path / "rows.csv")))
    (tmp_path / "rows.gz").write_bytes(gzip.compress(TABLE.encode())[:-12])
    with pytest.raises(DataError, match=r"rows\.gz cannot be read"):
        records(open_source(str(tmp_path / "rows.gz")))


READ = [
    ({"a": "1", "b": "", "class": " yes "}, "[1.0, nan] yes None"),
    ({"a": 1, "b": None, "class": 1.0}, "[1.0, nan] 1 None"),
    ({"a": True, "b": 2, "class": True, "id": 7}, "[1.0, 2.0] True 7"),
    ({"a": 1, "b": 2, "id": "k"}, "[1.0, 2.0] None k"),
    ({"class": "no", "id": "k"}, "None no k"),
    ({"a": "", "b": "", "class": "no", "id": "k"}, "None no k"),
    ({"a": 1, "class": "no"}, "The column b is missing."),
    ({"a": 1, "b": 2, "wind": 3, "class": "no"}, "The column wind is new."),
    ({"a": 1, "b": 2}, "The column class is missing."),
    ({"a": "warm", "b": 2, "class": "no"}, "The column a is 'warm', not a number."),
    ({"a": 1, "b": 2, "class": None}, "It has neither class nor id."),
]


@pytest.mark.parametrize(("record", "expected"), READ)
def test_a_record_becomes_a_row_or_says_why_not(record: dict[str, Any], expected: str) -> None:
    reader = RowReader("class", classes=True, id="id")
    reader.read({"a": 0, "b": 0, "class": "yes"})
    assert reader.features == ("a", "b")
    try:
        found = " ".join(map(str, reader.read(record)))
    except DataError as error:
        found = error.message
    assert found == expected


def test_numbers_are_read_as_numbers_and_chosen_columns_alone_matter() -> None:
    reader = RowReader("price", classes=False, features=["a"])
    assert reader.read({"a": "2", "town": "Rome", "price": "1e3"}) == Row([2.0], 1000.0, None)
    with pytest.raises(DataError, match="The column price is 'nan', not a finite number"):
        reader.read({"a": "2", "price": "nan"})
    assert Arrival(1, {}).raw == b""
