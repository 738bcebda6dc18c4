"""One-time codes: a tablet is let in once, as a kiosk, and is known by its key from then on."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

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
