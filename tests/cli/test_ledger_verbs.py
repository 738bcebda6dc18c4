"""The ledger as an operator meets it."""

import csv
import io
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typed import Answer, Type

from firstsight.errors import StorageError
from firstsight.recognition.decision import Match, Rule, decide_identify
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger


@pytest.fixture
def at_door(type: Type, trained: Path, photos: Path, tmp_path: Path) -> Any:
    """Type a verb at a gallery of ada and bob. The threshold lets in each person's own pictures, whatever else."""
    gallery = tmp_path / "door.sqlite"
    for name, folder in (("ada", "p3"), ("bob", "p5")):
        words = (name, photos / folder / "0.png", "--model", trained, "--gallery", gallery)
        assert type("enroll", *words).code == 0

    def run(*words: Any) -> Answer:
        return type(*words, "--gallery", gallery)

    run.gallery = gallery
    run.ada, run.bob = photos / "p3" / "0.png", photos / "p5" / "0.png"
    return run


def listed(at_door: Any, *words: Any) -> list[dict[str, Any]]:
    answer = at_door("ledger", *words, "--json")
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


def test_verify_and_identify_are_recorded_unless_switched_off(at_door: Any, trained: Path) -> None:
    words = ("--direction", "in", "--camera", "front door", "--threshold", 0.001, "--json")
    printed = json.loads(at_door("identify", at_door.ada, *words).out)
    at_door("verify", "bob", at_door.ada, "--threshold", 0.001)
    for words in (("identify", at_door.ada), ("verify", "ada", at_door.ada)):
        assert json.loads(at_door(*words, "--no-ledger", "--threshold", 0.001, "--json").out)["ledger"] is None
    first, second = listed(at_door)
    assert (printed["ledger"], first["id"], second["id"]) == (1, 1, 2)
    assert [first[c] for c in ("kind", "name", "direction", "camera")] == ["identify", "ada", "in", "front door"]
    evidence = ("decision", "distance", "threshold", "nearest", "runner_up", "runner_up_distance", "margin", "model")
    assert {c: first[c] for c in evidence} == {c: printed[c] for c in evidence}
    assert [second[c] for c in ("kind", "decision", "name", "decided_name")] == ["verify", "different", None, "bob"]
    shown = at_door("ledger")
    assert "not bob" in shown.out
    assert "Entries are kept for 90 days: firstsight ledger retention DAYS" in shown.out


def test_a_retry_is_answered_with_the_first_decision(at_door: Any) -> None:
    first = at_door("identify", at_door.ada, "--request-id", "r-1", "--threshold", 0.001, "--json")
    again = at_door("identify", at_door.ada, "--request-id", "r-1", "--threshold", 0, "--json")
    assert json.loads(again.out) == json.loads(first.out)
    refused = at_door("verify", "bob", at_door.bob, "--request-id", "r-1", "--threshold", 0.001)
    assert (refused.code, "was used for something else: identify." in refused.err) == (2, True)
    several = at_door("identify", at_door.ada, at_door.bob, "--request-id", "r-2", "--threshold", 1)
    assert (several.code, "--request-id is of one decision. Give one picture." in several.err.replace("\n", " ")) == (
        2,
        True,
    )
    assert len(listed(at_door)) == 1


def test_a_ledger_that_cannot_be_written_stops_only_who_must_be_recorded(
    at_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: Any, **__: Any) -> Any:
        raise StorageError("door.sqlite cannot be written: it is read-only.", hint="Change the permissions.")

    monkeypatch.setattr(Ledger, "record", read_only)
    answer = at_door("identify", at_door.ada, at_door.bob, "--threshold", 0.001)
    assert answer.code == 0
    assert [": ada  (" in line or ": bob  (" in line for line in answer.out.splitlines()] == [True, True]
    assert answer.err.count("Not recorded in the ledger: door.sqlite cannot be written: it is read-only.") == 1
    assert at_door("verify", "ada", at_door.ada, "--threshold", 0.001).code == 0
    for words in (("--direction", "in"), ("--request-id", "r-1")):
        answer = at_door("identify", at_door.ada, *words, "--threshold", 0.001)
        assert (answer.code, answer.out) == (1, "")


def test_an_operator_confirms_and_corrects(at_door: Any) -> None:
    for picture in (at_door.ada, at_door.bob, at_door.ada):
        at_door("identify", picture, "--threshold", 0.001)
    assert at_door("ledger", "confirm", 1, 2).out == "Entry 1 is confirmed: ada.\nEntry 2 is confirmed: bob.\n"
    assert at_door("ledger", "correct", 2, "ada").out == "Entry 2 is corrected: ada.\n"
    assert at_door("ledger", "correct", 3).out == "Entry 3 is corrected: unknown.\n"
    assert [(row["decided_name"], row["name"], row["review"]) for row in listed(at_door)] == [
        ("ada", "ada", "confirmed"), ("bob", "ada", "corrected"), ("ada", None, "corrected"),
    ]  # fmt: skip
    assert [row["id"] for row in listed(at_door, "--name", "ada")] == [1, 2]
    missing = at_door("ledger", "confirm", 9)
    assert (missing.code, "has no entry 9" in missing.err) == (2, True)


def test_the_day_and_the_times_are_those_of_the_zone(at_door: Any, tmp_path: Path) -> None:
    with Gallery(at_door.gallery) as gallery:
        ledger = Ledger(gallery)
        ledger.set_retention(0)
        for hour, direction in ((22, "out"), (23, "in"), (31, "in"), (40, "out"), (47, "out")):
            at = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(hours=hour)
            ledger.record("identify", decide_identify([Match("ada", 0.1)], Rule(1.0)), direction=direction, at=at)
    berlin = ("--zone", "Europe/Berlin")
    (line,) = listed(at_door, "--day", "2026-11-25", *berlin)
    assert line == {
        "name": "ada", "first_in": "2026-11-25T00:00:00+01:00", "last_out": "2026-11-25T17:00:00+01:00", "seen": 3,
    }  # fmt: skip
    assert "2026-11-25T17:00:00+01:00" in at_door("ledger", "--day", "2026-11-25", *berlin).out
    rows = listed(at_door, "--since", "2026-11-25", "--until", "2026-11-25", "--debounce", 600, *berlin)
    assert [row["time"][:19] for row in rows] == ["2026-11-25T00:00:00", "2026-11-25T17:00:00"]
    written = tmp_path / "november.csv"
    assert at_door("ledger", "--since", "2026-11-01", "--csv", written, *berlin).out == f"written: {written}\n"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    again = at_door("ledger", "--csv", written)
    assert (again.code, "november.csv is there already" in again.err) == (2, True)
    assert at_door("ledger", "--since", "2026-11-01", "--csv", written, "--force", *berlin).code == 0
    printed = at_door("ledger", "--since", "2026-11-01", "--csv", "-", *berlin)
    assert printed.out == written.read_text("utf-8-sig")
    assert [row["direction"] for row in csv.DictReader(io.StringIO(printed.out))] == ["out", "in", "in", "out", "out"]


def test_drift_names_whom_to_enroll_anew_and_says_what_it_needs(at_door: Any) -> None:
    assert "Drift needs matches that an operator confirmed" in at_door("ledger", "--drift").out
    with Gallery(at_door.gallery) as gallery:
        ledger, model = Ledger(gallery), gallery.model_identity or ""
        for day in range(12):
            at = datetime.now(UTC) + timedelta(days=day)
            for name, distance in (("ada", 0.5 + 0.03 * day), ("bob", 0.4)):
                decision = decide_identify([Match(name, distance)], Rule(1.0), model=model)
                if name == "ada" or day < 4:
                    ledger.confirm(ledger.record("identify", decision, camera="door", at=at).id)
    answer = at_door("ledger", "--drift")
    assert answer.code == 0
    ada, bob = (next(line for line in answer.out.splitlines() if name in line) for name in ("ada", "bob"))
    assert "enroll anew" in ada
    assert "4 of 10 needed" in bob
    rows = listed(at_door, "--drift")
    assert [(row["name"], row["advice"], row["needed_days"]) for row in rows] == [
        ("ada", "enroll anew", 10), ("bob", "too few", 10),
    ]  # fmt: skip


def test_a_kept_probe_can_be_seen_until_the_name_is_forgotten(at_door: Any, tmp_path: Path) -> None:
    at_door("identify", at_door.ada, "--threshold", 0.001, "--keep-probes", 7)
    assert at_door("ledger", "probe", 1, tmp_path / "seen.png").code == 0
    with Image.open(tmp_path / "seen.png") as seen:
        assert seen.size == (16, 16)
    at_door("forget", "ada")
    gone = at_door("ledger", "probe", 1, tmp_path / "gone.png")
    assert (gone.code, "No picture of entry 1 is kept." in gone.err) == (2, True)
    (row,) = listed(at_door)
    assert (row["name"], row["forgotten"], row["nearest"], row["verdict"]) == (None, True, None, "match")
    assert "(forgotten)" in at_door("ledger").out


def test_retention_is_set_and_erases_at_once(at_door: Any) -> None:
    with Gallery(at_door.gallery) as gallery:
        for days in (0, 40):
            at = datetime.now(UTC) - timedelta(days=days)
            Ledger(gallery).record("identify", decide_identify([Match("ada", 0.1)], Rule(1.0)), at=at)
    assert at_door("ledger", "retention").out == "0 entries and 0 probes were erased.\n"
    assert at_door("ledger", "retention", 30).out == "1 entries and 0 probes were erased.\n"
    assert "Entries are kept for 30 days" in at_door("ledger").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--day", "2026-11-25", "--drift"), "--day, --drift and --since or --until are three reports. Ask for one"),
        (("--since", "soon"), "soon is not a time. Give 2026-11-25, or 2026-11-25T08:30."),
        (("--day", "soon"), "soon"),
        (("--zone", "Mars"), "There is no time zone Mars. Give a name such as Europe/Berlin."),
        (("--name", "dan"), "dan is not enrolled"),
        (("retention", "-1"), "-1 days cannot be kept."),
    ],
)
def test_what_an_operator_typed_wrong(at_door: Any, words: tuple[str, ...], said: str) -> None:
    answer = at_door("ledger", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in " ".join(answer.err.split())


def test_the_ledger_of_no_gallery_makes_none(type: Type, trained: Path) -> None:
    assert type("ledger", "--model", trained, "--json").out == ""
    assert not Path(os.environ["FIRSTSIGHT_HOME"]).exists()
