"""One-time codes: a tablet is let in once, as a kiosk, and is known by its key from then on."""

import errno
import fcntl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from firstsight.errors import StorageError
from firstsight.service import pairing
from firstsight.service.keys import Keys
from firstsight.service.pairing import MINUTES, Codes
from firstsight.service.sessions import LASTS


def pair(client: TestClient, code: str) -> Any:
    return client.post("/v1/session", json={"code": code})


def test_a_code_signs_one_tablet_in_as_a_kiosk_that_can_be_revoked(guarded: TestClient, keys: Keys) -> None:
    codes = Codes(keys)
    code = codes.make().code
    answer = pair(guarded, f" {code.lower().replace('-', '')} ".replace("0", "O").replace("1", "l"))
    assert (answer.status_code, answer.json()["role"]) == (200, "kiosk")
    assert all(word in answer.headers["set-cookie"] for word in ("HttpOnly", "Secure", "SameSite=strict"))
    (key,) = keys
    assert (key.name, key.role) == ("tablet 1", "kiosk")
    assert guarded.get("/v1/session").json()["role"] == "kiosk"
    assert guarded.get("/v1/people").status_code == 403
    again = pair(guarded, code)
    assert (again.status_code, again.json()["message"]) == (401, "This code is unknown, used or over.")
    assert pair(guarded, codes.make().code).status_code == 200
    assert sorted(each.name for each in keys) == ["tablet 1", "tablet 2"]
    keys.revoke(key.id)
    codes.redeem(codes.make().code)
    assert sorted(each.name for each in keys) == ["tablet 1", "tablet 2"], "a name that is free is given again"


def test_of_many_who_use_a_code_at_once_one_is_let_in(keys: Keys) -> None:
    code = Codes(keys).make().code
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Codes(keys).redeem(code), range(8)))
    assert len([key for key in found if key]) == len(list(keys)) == 1


def test_the_address_of_a_service_is_there_before_it_can_be_seen_to_run(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, found, locked = Codes(keys), [], pairing.locked

    def looking(path: Path, *, shared: bool = False, wait: bool = True) -> AbstractContextManager[None]:
        if shared:
            found.append(codes.address)
        return locked(path, shared=shared, wait=wait)

    monkeypatch.setattr(pairing, "locked", looking)
    for address in ("https://10.0.0.2:8000", "https://10.0.0.3:8000"):
        with codes.looked_at(address):
            assert codes.are_looked_at
    assert found == ["https://10.0.0.2:8000", "https://10.0.0.3:8000"]


def test_who_asks_whether_a_service_runs_is_not_taken_for_one_by_another_who_asks(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, came, others = fcntl.flock, threading.Event(), []

    def meeting(descriptor: int, kind: int) -> None:
        first, trying = threading.current_thread() is threading.main_thread(), kind & fcntl.LOCK_NB
        if not first and not trying:
            came.set()
        try:
            flock(descriptor, kind)
        finally:
            if not first:
                came.set()
        if first and trying:
            others.append(pool.submit(lambda: Codes(keys).are_looked_at))
            assert came.wait(10)

    monkeypatch.setattr(fcntl, "flock", meeting)
    with ThreadPoolExecutor(1) as pool:
        assert not Codes(keys).are_looked_at
        assert [other.result() for other in others] == [False]


def test_a_service_on_a_disk_without_locks_says_so_and_what_it_does_is_not_taken_for_that(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="of the service itself"), Codes(keys).looked_at("http://door:8000"):
        raise OSError("of the service itself")
    flock = fcntl.flock

    def refused(descriptor: int, kind: int) -> None:
        if kind == fcntl.LOCK_SH:
            raise OSError(errno.ENOLCK, "No locks available")
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", refused)
    said = r"running\.lock cannot be locked: No locks available\. Name a folder .* of this machine: FIRSTSIGHT_HOME"
    with pytest.raises(StorageError, match=said), Codes(keys).looked_at("http://door:8000"):
        raise AssertionError("it is not served")


def test_a_code_is_over_after_ten_minutes(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = Codes(keys).make().code, time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60 * MINUTES + 1)
    assert Codes(keys).redeem(code) is None
    assert code.replace("-", "") not in keys.path.with_name("pairing.json").read_text()


def test_who_guesses_has_to_wait(guarded: TestClient, keys: Keys) -> None:
    answers = [pair(guarded, f"AAAA-AAA{i}").status_code for i in range(11)]
    assert answers == [401] * 10 + [429]
    refused = pair(guarded, Codes(keys).make().code)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True), "the right one waits too"


def test_an_admin_makes_a_code_in_a_page_and_nobody_else(
    guarded: TestClient, keys: Keys, bearer: Callable[[str], dict[str, str]]
) -> None:
    for role, expected in (("kiosk", 403), ("enroll", 403), ("admin", 201)):
        assert guarded.post("/v1/pairing", headers=bearer(role)).status_code == expected
    made = guarded.post("/v1/pairing", headers=bearer("admin")).json()
    assert made["address"] == f"https://service.example/pair.html#{made['code']}"
    assert made["qr"].startswith("data:image/svg+xml")
    assert guarded.post("/v1/pairing").status_code == 401
    assert pair(guarded, made["code"]).status_code == 200


def test_a_tablet_is_led_to_the_service_that_invited_it(
    serve: Callable[..., TestClient], keys: Keys, bearer: Callable[[str], dict[str, str]]
) -> None:
    """Another service of the same user was started later, elsewhere: codes and keys are of both."""
    client = serve("http://127.0.0.1:8000", keys=keys)
    client.app.state.service.address = "https://10.0.0.2:8000"
    with Codes(keys).looked_at("https://10.0.0.3:9000"):
        made = client.post("/v1/pairing", headers=bearer("admin")).json()
    assert made["address"] == f"https://10.0.0.2:8000/pair.html#{made['code']}"


def test_who_comes_within_a_month_stays_signed_in(
    guarded: TestClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    pair(guarded, Codes(keys).make().code)
    token = guarded.get("/v1/session").json()["csrf"]
    for days in (20, 40, 60):
        monkeypatch.setattr(time, "time", lambda days=days: now + 86_400 * days)
        told = guarded.post("/v1/checkins", headers={"X-CSRF-Token": token, "Origin": "https://service.example"})
        assert told.status_code == 400, "signed in, with the token of the first day; it sent no picture"
        assert "set-cookie" in told.headers
        assert "set-cookie" not in guarded.get("/v1/session").headers, "once a day"
    monkeypatch.setattr(time, "time", lambda: now + 86_400 * 61 + LASTS)
    assert guarded.get("/v1/session").json()["role"] is None
