"""What people are told that is kept of them is what is kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from callers import enroll, noise
from starlette.testclient import TestClient

from firstsight.recognition.checkin import check_in
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.recognizer import Recognizer


def test_anyone_is_told_how_the_service_is_set(
    guarded: TestClient, recognizer: Recognizer, bearer: Callable[[str], dict[str, str]]
) -> None:
    before = guarded.get("/v1/privacy").json()
    assert before["pictures_kept"], "of whoever is enrolled first, unless that is declined"
    assert (before["encrypted"], before["copies"]) == (False, False)
    assert (before["retention_days"], before["probes_until"]) == (90, None)
    guarded.headers.update(bearer("admin"))
    enroll(guarded, "ada", 1, keep_picture=False)
    assert guarded.get("/v1/privacy").json() == before | {"pictures_kept": False}
    enroll(guarded, "bob", 2)
    Ledger(recognizer.gallery).set_retention(0)
    check_in(recognizer, noise(1), keep_probe_days=3)
    after = guarded.get("/v1/privacy").json()
    assert (after["pictures_kept"], after["retention_days"]) == (True, None)
    until = datetime.fromisoformat(after["probes_until"]) - datetime.now(UTC)
    assert timedelta(days=2) < until <= timedelta(days=3)
    recognizer.gallery.encrypt(bytes(32))
    assert guarded.get("/v1/privacy").json()["encrypted"]
