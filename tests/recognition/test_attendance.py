"""From entries to days: debounce, zones, clock changes; and CSV that runs nothing."""

import codecs
import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.data.spreadsheet import as_typed, csv_file, csv_lines
from firstsight.errors import PictureUnfit, UserError
from firstsight.recognition.attendance import day_lines, debounced, find_zone, midnight, moment
from firstsight.recognition.decision import Match, Rule, decide_identify, decide_unfit, decide_verify
from firstsight.recognition.ledger_rows import Direction, Entry, Review, entry_columns

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 25, 7, 0, tzinfo=UTC)
BOXES = ((1, 2, 30, 40), (50, 60, 70, 80))


def entry(minute: float, name: str | None, direction: Direction | None = "in", *reviews: Review) -> Entry:
    found = [] if name is None else [Match(name, 0.4)]
    at = START + timedelta(minutes=minute)
    decision = decide_identify(found, Rule(1.1))
    return Entry(id=1, at=at, kind="identify", decision=decision, direction=direction, reviews=reviews)


def minutes_left(entries: list[Entry], minutes: float) -> list[float]:
    return [(e.at - START).total_seconds() / 60 for e in debounced(entries, minutes)]


def test_a_person_counts_once_in_five_minutes() -> None:
    assert minutes_left([entry(minute, "ada") for minute in (0, 2, 4.9, 5, 9, 10, 30)], 5) == [0, 5, 10, 30]


def test_other_people_other_directions_and_strangers_are_not_held_back() -> None:
    assert minutes_left([entry(0, "ada"), entry(1, "bob"), entry(2, "ada")], 5) == [0, 1]
    assert minutes_left([entry(0, "ada", "in"), entry(1, "ada", "out"), entry(2, "ada", None)], 5) == [0, 1, 2]
    assert minutes_left([entry(0, None), entry(1, None)], 5) == [0, 1]


def test_who_was_corrected_is_held_back_as_who_it_was() -> None:
    really_bob = Review(START, "corrected", "match", "bob")
    assert minutes_left([entry(0, "ada", "in", really_bob), entry(1, "ada"), entry(2, "bob")], 5) == [0, 1]


Minutes = st.lists(st.tuples(st.integers(0, 60), st.sampled_from("ab"), st.sampled_from(["in", "out"])), max_size=30)


@given(seen=Minutes, wait=st.integers(0, 20))
def test_what_stays_in_is_apart_and_what_is_left_out_is_near(seen, wait: int) -> None:
    entries = [entry(*each) for each in sorted(seen)]
    kept = list(debounced(entries, wait))
    for each in entries:
        same = [k for k in kept if (k.name, k.direction) == (each.name, each.direction) and k.at <= each.at]
        assert same, "the first stays in"
        near = each.at - same[-1].at
        assert near == timedelta(0) or near < timedelta(minutes=wait)
    for one, two in ((one, two) for i, one in enumerate(kept) for two in kept[i + 1 :]):
        if (one.name, one.direction) == (two.name, two.direction):
            assert two.at - one.at >= timedelta(minutes=wait)


def test_the_clock_change_holds_nobody_back_for_an_hour() -> None:
    """At 01:00 UTC the clocks of Berlin go back from 03:00 to 02:00: 02:58 is followed by 02:03."""
    change = (datetime(2026, 10, 25, 1, 0, tzinfo=UTC) - START).total_seconds() / 60
    entries = [entry(change - 2, "ada"), entry(change + 3, "ada"), entry(change + 58, "ada")]
    assert [e.at.astimezone(BERLIN).strftime("%H:%M") for e in debounced(entries, 5)] == ["02:58", "02:03", "02:58"]


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 25), 24)])
def test_a_day_is_as_long_as_its_zone_has_it(day: tuple[int, int, int], hours: int) -> None:
    begin, end = (midnight(date(*day) + timedelta(days=d), BERLIN).astimezone(UTC) for d in (0, 1))
    assert end - begin == timedelta(hours=hours)


def test_first_in_last_out_a_line_a_person() -> None:
    nobody = Review(START, "corrected", "unknown", None)
    seen = [
        entry(0, "bob", "out"),
        entry(1, "ada", "in"),
        entry(3, "ada", "in"),
        entry(9, None, "in"),
        entry(500, "ada", "out"),
        entry(502, "ada", "out"),
        entry(600, "ada", "out", nobody),
        entry(601, "cyd", None),
    ]
    lines = [line.to_json() for line in day_lines(seen, BERLIN, minutes=5)]
    assert lines == [
        {"name": "ada", "first_in": "2026-11-25T08:01:00+01:00", "last_out": "2026-11-25T16:22:00+01:00", "seen": 2},
        {"name": "bob", "first_in": None, "last_out": "2026-11-25T08:00:00+01:00", "seen": 1},
        {"name": "cyd", "first_in": None, "last_out": None, "seen": 1},
    ]


@pytest.mark.parametrize(
    ("typed", "end", "utc"),
    [
        ("2026-11-25", False, "2026-11-24T23:00"),
        ("2026-11-25", True, "2026-11-25T23:00"),
        ("2026-11-25T08:30", False, "2026-11-25T07:30"),
        ("2026-11-25 08:30", True, "2026-11-25T07:30"),
        ("2026-07-01T08:30", False, "2026-07-01T06:30"),
        ("2026-11-25T08:30-05:00", False, "2026-11-25T13:30"),
        ("2026-11-25T08:30Z", False, "2026-11-25T08:30"),
    ],
)
def test_a_time_is_of_the_zone_if_it_names_none(typed: str, end: bool, utc: str) -> None:
    assert moment(typed, BERLIN, end=end).astimezone(UTC).isoformat(timespec="minutes") == f"{utc}+00:00"


def test_without_a_zone_a_time_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert moment("2026-11-25T08:30", None) == datetime(2026, 11, 25, 8, 30).astimezone()
    assert midnight(date(2026, 11, 25), None) == datetime(2026, 11, 25).astimezone()
    assert find_zone(None) is None


@pytest.mark.parametrize("typed", ["yesterday", "25.11.2026", "", "0001-01-01", "9999-12-31"])
def test_what_is_no_time(typed: str) -> None:
    with pytest.raises(UserError, match=r"is not a time\. Give 2026-11-25, or 2026-11-25T08:30\.$"):
        moment(typed, None)


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc", "Europe", "\0"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(UserError, match=r"^There is no time zone .*Give a name such as Europe/Berlin\.$"):
        find_zone(name)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", '"=1', "a;=1", "a,\t-1", "＝1+1"])
def test_no_cell_is_a_formula(name: str) -> None:
    """Nor is a piece of one, wherever a spreadsheet of another country ends a cell."""
    text = "".join(csv_lines(("name", "camera"), [{"name": name, "camera": "d=2"}]))
    ((cell, camera),) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert (cell.replace("'", ""), camera) == (name, "d=2")
    assert as_typed(cell) == name
    for piece in [cell, *cell.replace(",", ";").replace("\t", ";").split(";")]:
        assert piece.strip(' "')[:1] not in set("=+-@＝＋－＠") - {""}


def test_a_line_holds_the_decision_as_it_was_and_who_it_was() -> None:
    refused = decide_verify(Match("阿达", 1.25), Rule(1.1), model="m", gallery_size=7)
    said = Review(START + timedelta(minutes=3), "corrected", "match", "阿达")
    held = Entry(id=4, at=START, kind="verify", decision=refused, camera="door, left", reviews=(said,))
    text = "".join(csv_lines(entry_columns(), [held.to_json(BERLIN)]))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["time"] == "2026-11-25T08:00:00.000+01:00"
    assert [row[c] for c in ("decision", "verdict", "name", "review")] == ["different", "match", "阿达", "corrected"]
    assert [row[c] for c in ("distance", "threshold", "runner_up", "camera")] == ["1.25", "1.1", "", "door, left"]
    assert row["boxes"] == ""
    assert "".join(csv_lines(entry_columns(), [])) == ",".join(row) + "\n", "nothing is a head alone"


def test_lists_are_json_and_a_file_says_that_it_is_utf8(tmp_path: Path) -> None:
    crowd = decide_unfit(PictureUnfit.because("p", "shows 2", hint="", answer="several faces", boxes=BOXES), Rule(1.1))
    held = Entry(id=4, at=START, kind="identify", decision=crowd, camera="大门")
    (tmp_path / "log.csv").write_text("".join(csv_file(entry_columns(), [held.to_json(BERLIN)])), "utf-8")
    with (tmp_path / "log.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (json.loads(row["boxes"]), row["id"], row["camera"]) == ([list(box) for box in BOXES], "4", "大门")
    assert (tmp_path / "log.csv").read_bytes().startswith(codecs.BOM_UTF8)


def test_what_is_shown_of_who_it_was() -> None:
    gone = Review(START, "corrected", "match", None)
    differs = Entry(id=1, at=START, kind="verify", decision=decide_verify(Match("ada", 1.2), Rule(1.1)))
    shown = [each.who for each in (entry(0, "ada"), entry(0, None), differs, entry(0, "ada", "in", gone))]
    assert shown == ["ada", "unknown", "not ada", "(forgotten)"]
