"""What every backend of the ledger must do."""

import dataclasses
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image
from tiny_models import random_templates

from firstsight.errors import GalleryError, NotEnrolled, StorageError
from firstsight.models.folder import Model
from firstsight.recognition import ledger as ledger_module
from firstsight.recognition.checkin import check_in
from firstsight.recognition.decision import Decision, Match, Rule, decide_identify, decide_verify
from firstsight.recognition.embed import crop, to_png
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.ledger_rows import Direction, Entry
from firstsight.recognition.recognizer import Recognizer
from firstsight.recognition.schema import ledger as ledger_table
from firstsight.recognition.schema import probes

NOW = datetime.now(UTC)
ADA = decide_identify([Match("ada", 0.1 + 0.2), Match("bob", 1.5)], Rule(1.1), model="m" * 64, gallery_size=3)
STRANGER = decide_identify([Match("bob", 1.25), Match("ada", 1.5)], Rule(1.1), model="m" * 64, gallery_size=3)


@pytest.fixture
def ledger(gallery: Gallery) -> Ledger:
    """The ledger of a gallery of ada, bob and cyd."""
    gallery.enroll_many(["ada", "bob", "cyd"], random_templates(3))
    return Ledger(gallery)


def count(gallery: Gallery, table: sa.Table) -> int:
    with gallery.storage.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


NOBODY, CYD = decide_identify([], Rule(0.9)), decide_identify([Match("cyd", 0)], Rule(1))


@pytest.mark.parametrize("decision", [ADA, STRANGER, NOBODY, CYD])
def test_an_entry_holds_the_whole_decision(ledger: Ledger, decision: Decision) -> None:
    entry = ledger.record("identify", decision, request_id=" r-1 ", direction="in", camera="door", at=NOW)
    assert entry.decision == decision
    assert (entry.kind, entry.request_id, entry.direction, entry.camera) == ("identify", "r-1", "in", "door")
    assert (entry.at, entry.reviews, entry.verdict, entry.name) == (NOW, (), decision.decision, decision.name)
    assert list(ledger.entries()) == [entry]


def test_a_claim_that_was_refused_is_nobodys_entry(ledger: Ledger) -> None:
    entry = ledger.record("verify", decide_verify(Match("ada", 1.2), Rule(1.1)))
    assert (entry.verdict, entry.name, entry.decision.name, entry.forgotten) == ("different", None, "ada", False)
    assert list(ledger.entries(name="ada")) == []


def test_a_request_is_recorded_once_and_its_first_decision_stands(ledger: Ledger, gallery: Gallery) -> None:
    first = ledger.record("identify", ADA, request_id="r-1", direction="in")
    again = ledger.record("identify", STRANGER, request_id="r-1", direction="out", camera="other")
    assert again == first
    ledger.record("identify", STRANGER)
    ledger.record("identify", STRANGER)  # without an id, each is a request of its own
    assert count(gallery, ledger_table) == 3


def test_an_answer_to_another_question_is_refused(ledger: Ledger) -> None:
    ledger.record("verify", decide_verify(Match("ada", 0.1), Rule(1.1)), request_id="r-1")
    for kind, decision in (("verify", decide_verify(Match("bob", 0.1), Rule(1.1))), ("identify", ADA)):
        with pytest.raises(GalleryError, match=r"^The request id r-1 was used for something else: verify ada\. Give"):
            ledger.record(kind, decision, request_id="r-1")
    again = ledger.record("verify", decide_verify(Match("ada", 1.9), Rule(1.1)), request_id="r-1")
    assert again.verdict == "match"


@pytest.mark.parametrize(("label", "said"), [("", "is empty"), ("x" * 201, "200 characters"), ("a\x1b[0m", "not show")])
def test_a_label_is_as_clean_as_a_name(ledger: Ledger, gallery: Gallery, label: str, said: str) -> None:
    with pytest.raises(GalleryError, match=f"camera.*{said}"):
        ledger.record("identify", ADA, camera=label)
    with pytest.raises(GalleryError, match=f"request id.*{said}"):
        ledger.record("identify", ADA, request_id=label)
    assert count(gallery, ledger_table) == 0


def test_reviews_are_rows_of_their_own_and_the_last_one_counts(ledger: Ledger, gallery: Gallery) -> None:
    number = ledger.record("identify", ADA).id
    assert ledger.confirm(number).review[1:] == ("confirmed", "match", "ada")
    assert ledger.correct(number, " bob").name == "bob"
    assert ledger.correct(number, None).verdict == "unknown"
    assert (ledger.confirm(number).name, ledger.correct(number, "cyd").name) == ("ada", "cyd")
    (entry,) = ledger.entries()
    assert [review.name for review in entry.reviews] == ["ada", "bob", None, "ada", "cyd"]
    assert entry.decision == ADA, "what was decided stays as it was"
    assert [list(ledger.entries(name=name)) for name in ("ada", "bob", "cyd")] == [[], [], [entry]]
    assert count(gallery, ledger_table) == 1


def test_what_cannot_be_reviewed(ledger: Ledger) -> None:
    number = ledger.record("identify", ADA).id
    for review in (lambda: ledger.confirm(99), lambda: ledger.correct(99, "ada")):
        with pytest.raises(GalleryError, match=r"has no entry 99\. List them: firstsight ledger"):
            review()
    with pytest.raises(NotEnrolled, match=r"^dan is not enrolled"):
        ledger.correct(number, "dan")
    assert next(ledger.entries()).reviews == ()


def test_entries_come_by_time_from_since_to_before_until(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_PAGE", 3)  # several pages, two of them ending between equal times
    hours = [5, 1, 3, 3, 3, 3, 2, 4, 3, 0]
    numbers = [ledger.record("identify", ADA, at=NOW + timedelta(hours=hour)).id for hour in hours]
    by_time = sorted(zip(hours, numbers, strict=True))
    assert [entry.id for entry in ledger.entries()] == [number for _, number in by_time]
    window = ledger.entries(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=4))
    assert [entry.id for entry in window] == [number for hour, number in by_time if 1 <= hour < 4]
    ledger.correct(numbers[4], "bob")
    assert [entry.id for entry in ledger.entries(name="bob")] == [numbers[4]]
    assert [entry.id for entry in ledger.entries(reviewed=True)] == [numbers[4]]
    with pytest.raises(NotEnrolled, match=r"^dan is not enrolled"):
        next(ledger.entries(name="dan"))


def test_forget_takes_the_name_out_of_every_entry(ledger: Ledger, gallery: Gallery) -> None:
    ledger.record("identify", ADA, request_id="r-1", camera="door")
    ledger.record("identify", STRANGER)
    ledger.correct(ledger.record("identify", decide_identify([Match("bob", 0.3)], Rule(1.1))).id, "ada")
    gallery.forget("ada")
    seen, stranger, corrected = ledger.entries()
    assert (seen.verdict, seen.name, seen.forgotten, seen.camera) == ("match", None, True, "door")
    assert seen.decision == dataclasses.replace(ADA, name=None, nearest=None)
    assert stranger.decision == dataclasses.replace(STRANGER, runner_up=None)
    assert (corrected.forgotten, corrected.decision.name) == (True, "bob")
    gallery.enroll("ada", random_templates(1)[0])
    assert all(entry.name is None for entry in ledger.entries()), "who comes back begins anew"
    assert ledger.record("identify", ADA, request_id="r-1") == seen, "a request stays recorded once"
    gallery.clear()
    assert "bob" not in json.dumps([entry.to_json() for entry in ledger.entries()])


def test_who_was_forgotten_since_the_decision_is_not_written(ledger: Ledger, gallery: Gallery) -> None:
    gallery.forget("ada")
    entry = ledger.record("identify", ADA)
    assert (entry.forgotten, entry.decision.nearest, entry.decision.runner_up) == (True, None, "bob")


def test_a_probe_is_kept_only_when_asked_for(ledger: Ledger, gallery: Gallery) -> None:
    assert ledger.probe(ledger.record("identify", ADA, probe=b"png").id) is None
    assert ledger.probe(ledger.record("identify", ADA, probe=b"png", keep_probe_days=2).id) == b"png"
    assert count(gallery, probes) == 1


@pytest.mark.parametrize("decision", [ADA, STRANGER, decide_verify(Match("ada", 1.2), Rule(1.1))])
def test_forget_erases_every_probe_that_may_show_who_it_is(
    ledger: Ledger, gallery: Gallery, decision: Decision
) -> None:
    other = ledger.record("identify", CYD, probe=b"cyd", keep_probe_days=9).id
    mistaken = ledger.record("identify", CYD, probe=b"ada", keep_probe_days=9).id
    ledger.correct(mistaken, "ada")
    number = ledger.record("identify", decision, probe=b"ada", keep_probe_days=9).id
    gallery.forget("ada")
    assert [ledger.probe(i) for i in (number, mistaken, other)] == [None, None, b"cyd"]
    gallery.clear()
    assert count(gallery, probes) == 0


def test_what_is_older_than_the_retention_is_erased_with_its_reviews(ledger: Ledger, gallery: Gallery) -> None:
    assert ledger.retention_days == 90
    ledger.record("identify", ADA)  # the day's purge is done: what follows stays until asked for
    old = ledger.record("identify", ADA, at=NOW - timedelta(days=91), probe=b"png", keep_probe_days=999)
    ledger.confirm(old.id)
    young = ledger.record("identify", ADA, at=NOW - timedelta(days=89))
    assert ledger.purge() == (1, 1)
    assert [entry.id for entry in ledger.entries()] == [young.id, old.id - 1]
    assert (count(gallery, probes), list(ledger.entries(reviewed=True))) == (0, [])
    assert ledger.record("identify", ADA).id > young.id, "a number is never used again"
    assert ledger.set_retention(30) == (1, 0)
    ledger.record("identify", ADA, at=NOW - timedelta(days=20_000))
    assert (ledger.set_retention(0), ledger.retention_days) == ((0, 0), 0)
    for days in (-1, 36_501):
        with pytest.raises(GalleryError, match=r"days cannot be kept\. Give a number from 0 to 36500"):
            ledger.set_retention(days)


def test_recording_purges_once_a_day(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        hours = 0

        @classmethod
        def now(cls, tz=None):
            return NOW + timedelta(hours=cls.hours)

    monkeypatch.setattr(ledger_module, "datetime", Clock)

    def left(hours: int) -> int:
        Clock.hours = hours
        number = ledger.record("identify", ADA, at=NOW - timedelta(days=100), probe=b"png", keep_probe_days=1).id
        assert ledger.probe(number) == b"png"
        return len(list(ledger.entries()))

    assert [left(hours) for hours in (0, 23, 24, 47, 48)] == [1, 2, 1, 2, 1]
    Clock.hours = 72
    assert ledger.probe(next(ledger.entries()).id) is None, "its day is over, though nothing purged it yet"


def test_check_in_decides_and_records(gallery: Gallery, model: Model, picture: Callable[[int], Image.Image]) -> None:
    recognizer = Recognizer(model, gallery, threshold=0.5)
    recognizer.enroll("ada", picture(0))
    entry = check_in(recognizer, picture(0), direction="in", camera="door", keep_probe_days=1)
    assert (entry.kind, entry.decision) == ("identify", recognizer.identify(picture(0)))
    assert Ledger(gallery).probe(entry.id) == to_png(crop(picture(0), model.config.preprocessing))
    claimed = check_in(recognizer, picture(1), claim="ada", request_id="r-1")
    assert (claimed.kind, claimed.decision) == ("verify", recognizer.verify("ada", picture(1)))
    assert check_in(recognizer, picture(0), claim="ada", request_id="r-1") == claimed
    assert Ledger(gallery).probe(claimed.id) is None
    assert len(list(Ledger(gallery).entries())) == 2


def test_two_doors_at_once_record_one_entry(
    gallery: Gallery, model: Model, picture: Callable[[int], Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(model, gallery, threshold=0.5)
    recognizer.enroll("ada", picture(0))
    both_have_decided, record = threading.Barrier(2, timeout=60), Ledger.record

    def record_together(*args: Any, **options: Any) -> Entry:
        both_have_decided.wait()
        return record(*args, **options)

    monkeypatch.setattr(Ledger, "record", record_together)
    with ThreadPoolExecutor(2) as doors:
        at_doors = [doors.submit(check_in, recognizer, picture(0), direction="in", debounce=5) for _ in range(2)]
        one, other = (at_door.result() for at_door in at_doors)
    assert one == other
    assert list(Ledger(gallery).entries()) == [one]


@pytest.mark.parametrize(("minutes", "direction"), [(-5, "in"), (5, "in"), (0, None), (0, "out")])
def test_once_in_five_minutes_is_per_direction_and_person(
    ledger: Ledger, minutes: int, direction: Direction | None
) -> None:
    first = ledger.record("identify", ADA, direction="in", at=NOW)
    near = timedelta(minutes=minutes) * 0.9
    options = {"direction": direction, "debounce": 5}
    assert (ledger.record("identify", ADA, at=NOW + near, **options) == first) == (direction == "in")
    assert ledger.record("identify", CYD, at=NOW + near, **options) != first
    assert ledger.record("identify", STRANGER, direction="in", at=NOW + near, debounce=5) != first
    assert ledger.record("identify", ADA, direction="in", at=NOW + timedelta(minutes=5.1), debounce=5) != first


def test_who_only_wants_to_know_is_answered_by_a_gallery_that_cannot_be_written(
    tmp_path: Path, model: Model, picture: Callable[[int], Image.Image]
) -> None:
    with Gallery(tmp_path / "g.sqlite") as gallery:
        recognizer = Recognizer(model, gallery, threshold=0.5)
        recognizer.enroll("ada", picture(0))
    with Gallery(tmp_path / "g.sqlite") as gallery:
        recognizer = Recognizer(model, gallery, threshold=0.5)
        assert recognizer.identify(picture(0)).name == "ada"  # by now the pool has one connection, and keeps it
        with gallery.storage.reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match=r"g\.sqlite cannot be written: it or its folder is read-only"):
            check_in(recognizer, picture(0))
        assert recognizer.identify(picture(0)).name == "ada"
        assert list(Ledger(gallery).entries()) == []
