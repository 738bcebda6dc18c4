"""Who may ask for what, and what browsers are kept from."""

import logging
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from callers import HERE, enroll, noise
from opentelemetry import trace
from starlette.testclient import TestClient

from firstsight.errors import StorageError, UserError
from firstsight.recognition import listing
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.access import Access
from firstsight.service.keys import ROLES, Keys
from firstsight.service.problems import Problem
from firstsight.service.rates import Rates

LOWEST = {
    "POST /v1/people": "enroll",
    "GET /v1/people": "enroll",
    "GET /v1/people/{number}": "enroll",
    "GET /v1/people/{number}/pictures/{enrollment}": "enroll",
    "POST /v1/people/{number}/pictures": "enroll",
    "DELETE /v1/people/{number}": "admin",
    "POST /v1/identify": "enroll",
    "POST /v1/verify": "enroll",
    "POST /v1/checkins": "kiosk",
    "GET /v1/checkins": "enroll",
    "GET /v1/checkins/day": "enroll",
    "GET /v1/checkins/export": "enroll",
    "GET /v1/checkins/{number}": "enroll",
    "POST /v1/checkins/{number}/confirm": "enroll",
    "POST /v1/checkins/{number}/undo": "kiosk",
    "POST /v1/checkins/{number}/correct": "enroll",
    "GET /v1/models": "enroll",
    "GET /v1/session": None,
    "POST /v1/session": None,
    "DELETE /v1/session": None,
    "POST /v1/pairing": "admin",
    "GET /v1/pairing/authority": None,
    "GET /v1/privacy": None,
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /metrics": "kiosk",
}


def test_each_operation_is_open_to_its_roles_and_to_no_other(
    guarded: TestClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    document = guarded.get("/v1/openapi.json").json()
    operations = {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    assert operations == set(LOWEST), "say here who may ask"
    headers = {role: bearer(role) for role in ROLES} | {None: {}}
    for operation, lowest in LOWEST.items():
        method, path = operation.split()
        for role, header in headers.items():
            answer = guarded.request(method, re.sub("{.*?}", "9", path), headers=header)
            may = lowest is None or (role is not None and ROLES.index(role) >= ROLES.index(lowest))
            refused = 403 if role else 401
            by_role = answer.status_code == refused and "not checked in here" not in answer.text
            assert by_role != may, f"{operation} as {role}: {answer.text}"


def test_a_key_opens_until_it_is_revoked_and_so_do_its_cookies(guarded: TestClient, keys: Keys) -> None:
    keys.add("the boss", "admin")
    key = keys.add("desk", "enroll")
    assert guarded.post("/v1/session", json={"key": key[:-1]}).json()["code"] == "unauthorized"
    session = guarded.post("/v1/session", json={"key": key}).json()
    assert (session["role"], session["keys"]) == ("enroll", True)
    assert guarded.get("/v1/people").status_code == 200
    keys.revoke(key.split("-")[1])
    assert guarded.get("/v1/people").status_code == 401
    assert guarded.get("/v1/people", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    assert guarded.get("/v1/session").json()["role"] is None
    with pytest.raises(UserError, match="There is no key"):
        keys.revoke("nothing")


def test_a_cookie_outlives_a_restart_and_is_strict(serve: Callable[..., TestClient], keys: Keys) -> None:
    address = "https://service.example"
    before, after = serve(address, keys=keys), serve(address, keys=Keys(keys.path))
    key = keys.add("tablet", "kiosk")
    set_cookie = before.post("/v1/session", json={"key": key}).headers["set-cookie"].lower()
    assert all(word in set_cookie for word in ("httponly", "samesite=strict", "secure", "max-age=2592000"))
    after.cookies = before.cookies
    session = after.get("/v1/session").json()
    assert session["role"] == "kiosk"
    form: Any = {"files": {"picture": noise(1)}}
    assert after.post("/v1/checkins", **form).json()["code"] == "csrf"
    assert after.post("/v1/checkins", **form, headers={"X-CSRF-Token": session["csrf"]}).status_code == 201
    assert after.delete("/v1/session", headers={"X-CSRF-Token": session["csrf"]}).status_code == 200
    assert after.get("/v1/session").json()["role"] is None


@pytest.mark.parametrize("altered", [lambda c: c[:-1] + "0", lambda c: "x" + c, lambda c: "", lambda c: "a.b.c.d"])
def test_a_cookie_that_is_not_ours_opens_nothing(
    guarded: TestClient, keys: Keys, altered: Callable[[str], str]
) -> None:
    guarded.post("/v1/session", json={"key": keys.add("desk", "admin")})
    ((name, cookie),) = guarded.cookies.items()
    guarded.cookies.clear()
    other = altered(cookie) if altered(cookie) != cookie else cookie[:-1] + "1"
    assert guarded.get("/v1/people", headers={"Cookie": f"{name}={other}"}).status_code == 401


def test_another_site_cannot_use_the_browser_of_someone_on_this_machine(client: TestClient) -> None:
    def post(**headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/v1/identify", files={"picture": noise(1)}, headers=sent)

    assert post().status_code == 200, "a program"
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"origin": HERE},  # the right site, but no token
        {"origin": HERE, "x_csrf_token": "guessed"},
    ):
        assert (post(**headers).status_code, post(**headers).json()["code"]) == (403, "csrf"), headers
    token = client.get("/v1/session").json()["csrf"]
    assert post(origin=HERE, sec_fetch_site="same-origin", x_csrf_token=token).status_code == 200
    assert post(origin="https://evil.example", x_csrf_token=token).status_code == 403
    assert post().status_code == 403, "a browser now: it has the cookie"


def test_without_keys_only_this_machine_is_answered(serve: Callable[..., TestClient]) -> None:
    for address in ("http://evil.example", "http://127.0.0.1.evil.example", "http://192.168.0.7:8000"):
        answer = serve(address).get("/v1/people")
        assert (answer.status_code, answer.json()["code"]) == (403, "host")
    for address in ("http://localhost:9", "http://[::1]:9", "http://127.0.0.1"):
        assert serve(address).get("/v1/people").status_code == 200
    proxied = serve().get("/v1/people", headers={"X-Forwarded-For": "10.0.0.9"})
    assert "Start it with --keys" in proxied.json()["hint"]


def test_answers_keep_browsers_strict_and_other_origins_out(client: TestClient) -> None:
    for path in ("/", "/v1/people", "/v1/nothing", "/v1/identify"):
        headers = client.get(path, headers={"Origin": "https://other.example"}).headers
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_a_failure_is_answered_as_strictly_and_says_nothing_of_itself(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    monkeypatch.setattr(listing, "list_people", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # the log has it
        client.get("/v1/people")
    answer = TestClient(client.app, base_url=HERE, raise_server_exceptions=False).get("/v1/people")
    assert (answer.status_code, answer.json()["message"]) == (500, "The service failed.")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_key_may_ask_so_often_and_wrong_keys_soon_no_more(serve: Callable[..., TestClient], keys: Keys) -> None:
    client = serve("https://service.example", keys=keys, per_second=1)
    one, other = ({"Authorization": f"Bearer {keys.add(name, 'admin')}"} for name in ("one", "other"))
    codes = [client.get("/v1/people", headers=one).status_code for _ in range(4)]
    assert codes[:2] == [200, 200]
    assert codes[-1] == 429
    assert client.get("/v1/people", headers=other).status_code == 200
    wrong = [client.get("/v1/people", headers={"Authorization": "Bearer wrong"}) for _ in range(12)]
    assert [answer.status_code for answer in wrong[:10]] == 10 * [401]
    assert (wrong[-1].status_code, wrong[-1].json()["code"]) == (429, "too-many-requests")
    assert int(wrong[-1].headers["retry-after"]) >= 1
    assert client.get("/healthz", headers=other).status_code == 200, "who shares the address is not locked out"


def test_buckets_refill_and_never_grow_beyond_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("firstsight.service.rates.time.monotonic", lambda: now)
    rates = Rates(per_second=2, burst=3)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now = 0.5
    assert (rates.take("a"), rates.take("a")) == (0, 0.5)
    rates.give("a")
    assert (rates.take("a"), rates.take("a")) == (0, 0.5)
    now = 100.0
    assert [rates.take("a") > 0 for _ in range(4)] == [False, False, False, True]
    for i in range(10_100):
        rates.take(str(i))
    assert len(rates._buckets) == 10_000


def test_keys_are_kept_as_hashes_and_seen_by_every_process(keys: Keys) -> None:
    other = Keys(keys.path)
    assert list(other) == []
    made = [keys.add("desk", "enroll"), other.add("door", "kiosk")]
    assert [(key.name, key.role) for key in keys] == [("desk", "enroll"), ("door", "kiosk")]
    assert all(re.fullmatch(r"fs-[0-9a-f]{8}-[\w-]{43}", key) for key in made)
    text = keys.path.read_text()
    assert not any(key.split("-", 2)[2] in text for key in made)
    assert stat.S_IMODE(os.stat(keys.path).st_mode) == 0o600
    found = other.find(made[0])
    assert found is not None
    assert found.role == "enroll"
    for wrong in ("", "fs", "fs-", made[0][:-1], made[0] + "x", made[0].replace("fs-", "fs"), f"fs-{found.id}-", "é"):
        assert other.find(wrong) is None
    keys.path.write_text("{}")
    with pytest.raises(StorageError, match="is damaged"):
        other.find(made[0])


def test_keys_that_cannot_be_read_open_nothing_and_the_log_says_why(
    guarded: TestClient, bearer: Callable[[str], dict[str, str]], keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    admin = bearer("admin")
    keys.path.write_text("{}")
    answer = guarded.get("/v1/people", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert f"{keys.path} is damaged." in caplog.text


def test_the_log_and_the_counters_name_nobody_and_hold_nothing_of_a_picture(
    client: TestClient, caplog: pytest.LogCaptureFixture, recognizer: Recognizer
) -> None:
    with caplog.at_level(logging.DEBUG):
        number = enroll(client, "Grace Hopper", 1)["person"]["id"]
        client.post("/v1/identify", files={"picture": ("grace.png", noise(1))})
        client.post("/v1/verify", files={"picture": noise(1)}, data={"name": "Grace Hopper"})
        client.get("/v1/people", params={"search": "Grace"})
        client.post("/v1/checkins", files={"picture": noise(1)}, headers={"Idempotency-Key": "Grace at 8"})
        client.get(f"/v1/people/{number}/pictures/1")
        client.post("/v1/people", files={"picture": b"\x00broken" * 100}, data={"name": "Grace Murray"})
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx2"]  # the client's own
    said = "\n".join(ours) + client.get("/metrics").text
    assert "POST /v1/identify 200" in said
    assert 'firstsight_requests_total{method="POST",path="/v1/people",status="201"} 1.0' in said
    assert 'firstsight_decisions_total{decision="match",kind="check-in"} 1.0' in said
    assert "firstsight_people 1.0" in said
    for secret in ("Grace", "grace", "broken", "x00", str(recognizer.gallery.where)):
        assert secret not in said


def test_a_word_that_is_no_method_is_neither_counted_nor_written_down(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "firstsight.service"):
        for i in range(20):
            assert client.request(f"GRACE{i}", "/v1/people").status_code in (403, 405)
    counted = [
        line for line in client.get("/metrics").text.splitlines() if line.startswith("firstsight_requests_total")
    ]
    assert sum('method="(other)"' in line for line in counted) == 1
    assert "GRACE" not in "".join(counted) + "".join(r.getMessage() for r in caplog.records if r.name != "httpx2")


def test_nothing_of_a_request_goes_to_whatever_traces_this_process(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Any] = []

    class Tracing(trace.TracerProvider):
        def get_tracer(self, *_args: Any, **_kwargs: Any) -> trace.Tracer:
            traced.append("asked for")
            return trace.NoOpTracer()

    monkeypatch.setattr(trace, "get_tracer_provider", Tracing)
    assert serve().get("/v1/people", params={"search": "Grace"}).status_code == 200
    assert not traced


def test_of_many_wrong_keys_at_once_each_counts_and_so_do_the_neighbors_of_an_ipv6_address(keys: Keys) -> None:
    keys.add("desk", "admin")
    access = Access(keys, per_second=50)

    def status(address: str) -> int:
        with pytest.raises(Problem) as refused:
            access.pair("AAAA-AAAA", address)
        return refused.value.status

    with ThreadPoolExecutor(16) as pool:
        tried = list(pool.map(status, ["192.168.1.9"] * 40))
    assert (tried.count(401), tried.count(429)) == (10, 30)
    assert [status(f"2001:db8::{i:x}") for i in range(11)] == [401] * 10 + [429]
    assert status("2001:db8:0:1::1") == 401, "of another network"
