"""A folder that fills: each picture is an arrival once, when it is whole, in an order that can be repeated."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstsight.data import filling
from firstsight.data.filling import PICTURE, FolderSource
from firstsight.data.sources import open_source
from firstsight.data.streams import LABEL, Arrival
from firstsight.errors import DataError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is 10 ms later than the one before, and sleep takes no time."""
    ticks = itertools.count()
    monkeypatch.setattr(filling.time, "monotonic", lambda: next(ticks) * 0.01)
    monkeypatch.setattr(filling.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(filling, "SETTLED", 0.05)


def put(folder: Path, name: str, *, at: float, content: bytes = b"a picture") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    os.utime(folder / name, (at, at))


def names(arrivals: Iterator[Arrival | None], folder: Path, count: int | None = None) -> list[str]:
    found = (str(Path(arrival.record[PICTURE]).relative_to(folder)) for arrival in arrivals if arrival)  # type: ignore[index]
    return list(itertools.islice(found, count))


def test_pictures_come_in_the_order_of_their_time_each_with_its_identity(tmp_path: Path) -> None:
    for name, at in (("ada/2.png", 20), ("b/bob/10.png", 10), ("b/bob/9.png", 10), ("loose.jpg", 30), (".x/1.png", 1)):
        put(tmp_path, name, at=at)
    put(tmp_path, "ada/notes.txt", at=1)
    found = [arrival for arrival in open_source(str(tmp_path)).arrivals(None) if arrival]
    assert [arrival.raw.decode() for arrival in found] == ["b/bob/9.png", "b/bob/10.png", "ada/2.png", "loose.jpg"]
    assert [arrival.record[LABEL] for arrival in found] == ["b/bob", "b/bob", "ada", ""]  # type: ignore[index]
    assert [arrival.offset for arrival in found] == [1, 2, 3, 4]


@pytest.mark.usefixtures("clock")
def test_a_picture_that_is_still_written_waits(tmp_path: Path) -> None:
    put(tmp_path, "ada/1.png", at=10)
    arrivals = FolderSource(tmp_path, follow=True).arrivals(None)
    assert names(arrivals, tmp_path, 1) == ["ada/1.png"]
    for size in range(1, 40):  # it grows from look to look
        put(tmp_path, "ada/2.png", at=20, content=b"a" * size)
        assert next(arrivals) is None
    assert names(arrivals, tmp_path, 1) == ["ada/2.png"]
    (tmp_path / "ada/1.png").write_bytes(b"changed")
    put(tmp_path, "ada/0.png", at=5)
    assert names(arrivals, tmp_path, 1) == ["ada/0.png"], "what changed is no new arrival"


@pytest.mark.usefixtures("clock")
def test_whoever_goes_on_meets_the_same_order_whatever_came_late(tmp_path: Path) -> None:
    """A file with an old time that comes late is where it came, not where its time says."""
    folder, journal = tmp_path / "photos", tmp_path / "pictures.jsonl"
    put(folder, "ada/1.png", at=50)
    put(folder, "ada/2.png", at=60)
    arrivals = FolderSource(folder, follow=True, journal=journal).arrivals(None)
    assert names(arrivals, folder, 2) == ["ada/1.png", "ada/2.png"]
    put(folder, "bob/old.png", at=1)
    assert names(arrivals, folder, 1) == ["bob/old.png"]
    put(folder, "ada/3.png", at=2)
    assert names(FolderSource(folder, journal=journal).arrivals(1), folder) == ["ada/2.png", "bob/old.png", "ada/3.png"]
    with journal.open("ab") as file:
        file.write(b'"ada/hal')  # a kill while it was written
    assert names(FolderSource(folder, journal=journal).arrivals(4), folder) == []
    assert [json.loads(line) for line in journal.read_text().splitlines()][3] == "ada/3.png"
    journal.write_bytes(b"")
    with pytest.raises(DataError, match=r"pictures\.jsonl has 0 pictures, and the checkpoint 4\. Put it back"):
        list(FolderSource(folder, journal=journal).arrivals(4))
    assert names(FolderSource(folder, journal=journal).arrivals(None), folder)[0] == "bob/old.png"


@pytest.mark.usefixtures("clock")
def test_a_folder_that_goes_away_is_said(tmp_path: Path) -> None:
    put(tmp_path / "photos", "ada/1.png", at=1)
    arrivals = FolderSource(tmp_path / "photos", follow=True).arrivals(None)
    assert names(arrivals, tmp_path, 1) == ["photos/ada/1.png"]
    os.rename(tmp_path / "photos", tmp_path / "elsewhere")

    def go_on() -> Any:
        return list(arrivals)

    with pytest.raises(DataError, match=r"photos cannot be read: No such file"):
        go_on()
