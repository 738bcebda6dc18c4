"""Check-ins over HTTP: once, corrected by rows of their own, read by person and day."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from callers import enroll, noise
from starlette.testclient import TestClient

from firstsight.recognition.decision import Match, Rule, decide_identify
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.keys import Keys


def check_in(client: TestClient, seed: int, key: str = "", **fields: str) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/checkins", files={"picture": noise(seed)}, data=fields, headers=headers)


def record(recognizer: Recognizer, name: str, hour: int, direction: Any = None) -> None:
    at = datetime(2026, 3, 1, hour, tzinfo=UTC)
    decision = decide_identify([Match(name, 0.01)], Rule(0.1))
    Ledger(recognizer.gallery).record("identify", decision, direction=direction, at=at)


def test_a_retry_is_answered_with_the_first_decision_whatever_was_restarted(
    serve: Callable[..., TestClient], recognizer: Recognizer
) -> None:
    before = serve()
    enroll(before, "ada", 1)
    first = check_in(before, 1, "one", direction="in", camera="door")
    assert first.status_code == 201
    assert (first.json()["name"], first.json()["camera"], first.json()["repeated"]) == ("ada", "door", False)
    after = serve()
    for client in (before, after):
        again = check_in(client, 1, "one", direction="in", camera="door")
        assert (again.status_code, again.json()) == (200, first.json())
    assert check_in(after, 1, "two").status_code == 201
    other = after.post(
        "/v1/checkins",
        files={"picture": noise(1)},
        data={"claim": "ada"},
        headers={"Idempotency-Key": "one"},
    )
    assert "was used for something else" in other.json()["message"]
    assert len(list(Ledger(recognizer.gallery).entries())) == 2


def test_a_picture_that_cannot_be_used_is_not_recorded(client: TestClient) -> None:
    answer = client.post("/v1/checkins", files={"picture": b"nothing"}, data={"direction": "in"})
    assert (answer.status_code, answer.json()["code"]) == (422, "picture")
    assert client.get("/v1/checkins").json() == {"entries": [], "next": None}


def test_a_person_counts_once_in_so_many_minutes_and_direction(serve: Callable[..., TestClient]) -> None:
    client = serve(debounce=5)
    enroll(client, "ada", 1)
    first = check_in(client, 1, "a", direction="in").json()
    again = check_in(client, 1, "b", direction="in")
    assert (again.status_code, again.json()) == (200, first | {"repeated": True})
    assert check_in(client, 1, "a", direction="in").json()["repeated"] is False, "a retry is no second visit"
    assert check_in(client, 1, "c", direction="out").status_code == 201
    client.post(f"/v1/checkins/{first['id']}/undo")
    assert check_in(client, 1, "d", direction="in").status_code == 201, "it was not ada before"
    assert check_in(client, 9, direction="in").status_code == 201
    assert check_in(client, 9, direction="in").status_code == 201, "strangers cannot be told apart"


def test_a_picture_that_waited_for_the_network_has_the_time_when_it_was_taken(
    serve: Callable[..., TestClient],
) -> None:
    client = serve(debounce=5)
    enroll(client, "ada", 1)
    now = check_in(client, 1, "now", direction="in").json()
    late = check_in(client, 1, "late", direction="in", waited="3600")
    assert (late.status_code, late.json()["repeated"]) == (201, False)
    apart = datetime.fromisoformat(now["time"]) - datetime.fromisoformat(late.json()["time"])
    assert timedelta(minutes=59) < apart < timedelta(hours=1)
    again = check_in(client, 1, "late", direction="in", waited="7200")
    assert (again.status_code, again.json()) == (200, late.json()), "a retry is the first"
    assert check_in(client, 1, "near", direction="in", waited="120").json()["repeated"], "a visit just before another"
    for nonsense in ("-1", "1e9", "nan", "inf"):
        assert check_in(client, 1, direction="in", waited=nonsense).status_code == 422


def test_what_an_operator_says_counts_and_is_written_once(client: TestClient, recognizer: Recognizer) -> None:
    ids = {name: enroll(client, name, seed)["person"]["id"] for seed, name in enumerate(("ada", "bob"))}
    entry = check_in(client, 0).json()
    place = f"/v1/checkins/{entry['id']}"
    for _ in range(2):
        assert client.post(f"{place}/confirm").json()["review"] == "confirmed"
        undone = client.post(f"{place}/undo").json()
        assert (undone["verdict"], undone["name"], undone["decision"]["name"]) == ("unknown", None, "ada")
        assert client.post(f"{place}/undo").json() == undone
        corrected = client.post(f"{place}/correct", json={"person_id": ids["bob"]}).json()
        assert (corrected["verdict"], corrected["name"], corrected["person_id"]) == ("match", "bob", ids["bob"])
    assert client.get(place).json() == corrected
    (held,) = Ledger(recognizer.gallery).entries()
    assert [review.kind for review in held.reviews] == 2 * ["confirmed", "corrected", "corrected"]
    assert client.post(f"{place}/correct", json={"person_id": 99}).status_code == 404
    assert client.post("/v1/checkins/99/confirm").json()["message"] == "The ledger of the gallery has no entry 99."


def test_the_log_by_person_and_day_in_pages(client: TestClient, recognizer: Recognizer) -> None:
    ids = {name: enroll(client, name, seed)["person"]["id"] for seed, name in enumerate(("ada", "bob"))}
    for name, hour in (("ada", 8), ("bob", 9), ("ada", 17), ("ada", 12), ("bob", 18)):  # not in the order of time
        record(recognizer, name, hour, "in" if hour < 12 else "out")

    def read(**params: Any) -> list[tuple[str, int]]:
        found, place = [], None
        while place is not None or not found:
            page = client.get("/v1/checkins", params={"limit": 2, "before": place, **params}).json()
            found += [(entry["name"], datetime.fromisoformat(entry["time"]).hour) for entry in page["entries"]]
            if (place := page["next"]) is None:
                break
        return found

    assert read() == [("bob", 18), ("ada", 17), ("ada", 12), ("bob", 9), ("ada", 8)]
    assert read(person=ids["ada"]) == [("ada", 17), ("ada", 12), ("ada", 8)]
    assert read(since="2026-03-01T09:00Z", until="2026-03-01T17:00Z") == [("ada", 12), ("bob", 9)]
    assert (
        read(day="2026-03-01", zone="America/Los_Angeles")
        == [("bob", 18), ("ada", 17), ("ada", 12), ("bob", 9), ("ada", 8)][:5]
    )
    assert read(day="2026-03-02", zone="UTC") == []
    report = client.get("/v1/checkins/day", params={"day": "2026-03-01", "zone": "Europe/Berlin"}).json()
    assert report["people"] == [
        {
            "name": "ada",
            "person_id": ids["ada"],
            "first_in": "2026-03-01T09:00:00+01:00",
            "last_out": "2026-03-01T18:00:00+01:00",
            "seen": 3,
        },
        {
            "name": "bob",
            "person_id": ids["bob"],
            "first_in": "2026-03-01T10:00:00+01:00",
            "last_out": "2026-03-01T19:00:00+01:00",
            "seen": 2,
        },
    ]
    exported = client.get("/v1/checkins/export", params={"person": ids["bob"], "zone": "Europe/Berlin"})
    assert exported.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(exported.content.decode("utf-8-sig"))))
    assert [(row["name"], row["time"][:13]) for row in rows] == [("bob", "2026-03-01T10"), ("bob", "2026-03-01T19")]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"day": "yesterday"}, "day: "),
        ({"since": "soon"}, "soon is not a time."),
        ({"zone": "Mars"}, "There is no time zone Mars."),
        ({"before": "x"}, "before: this is no `next` of an answer."),
        ({"before": f"2026-01-01T00:00:00+00:00,{10**20}"}, "before: this is no `next` of an answer."),
        ({"before": "0001-01-01T00:00:00+14:00,1"}, "before: this is no `next` of an answer."),
        ({"before": "2026-01-01,1"}, "before: this is no `next` of an answer."),
        ({"since": "0001-01-01T00:00:00+14:00"}, "0001-01-01T00:00:00+14:00 is not a time."),
        ({"limit": "0"}, "limit: "),
        ({"person": "7"}, "Nobody is enrolled under the number 7."),
    ],
)
def test_a_filter_that_is_none_is_said(client: TestClient, params: dict[str, str], message: str) -> None:
    answer = client.get("/v1/checkins", params=params)
    assert answer.status_code in (404, 422)
    assert answer.json()["message"].startswith(message)


def test_a_kiosk_may_undo_what_it_has_just_said_and_no_more(
    guarded: TestClient, recognizer: Recognizer, bearer: Callable[[str], dict[str, str]], keys: Keys
) -> None:
    guarded.headers.update(bearer("kiosk"))
    now = guarded.post("/v1/checkins", files={"picture": noise(1)}).json()
    assert guarded.post(f"/v1/checkins/{now['id']}/undo").status_code == 200
    assert guarded.post(f"/v1/checkins/{now['id']}/undo").status_code == 200, "said again"
    waited = guarded.post("/v1/checkins", files={"picture": noise(1)}, data={"waited": "360"}).json()
    late = guarded.post(f"/v1/checkins/{waited['id']}/undo")
    assert (late.status_code, late.json()["message"]) == (403, "It is too late to undo this here.")
    guarded.headers.update(bearer("enroll"))
    assert guarded.post(f"/v1/checkins/{waited['id']}/undo").status_code == 200


def test_a_kiosk_undoes_neither_what_another_said_nor_the_word_of_an_operator(
    guarded: TestClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    door, gate, operator = bearer("kiosk"), bearer("kiosk"), bearer("enroll")
    guarded.headers.update(operator)
    person = enroll(guarded, "ada", 1)["person"]["id"]
    guarded.headers.update(door)
    place = f"/v1/checkins/{guarded.post('/v1/checkins', files={'picture': noise(1)}).json()['id']}"
    for nothing_of_it in (place, "/v1/checkins/99"):
        answer = guarded.post(f"{nothing_of_it}/undo", headers=gate)
        assert (answer.status_code, answer.json()["message"][:30]) == (403, "This was not checked in here, ")
    corrected = guarded.post(f"{place}/correct", headers=operator, json={"person_id": person}).json()
    answer = guarded.post(f"{place}/undo")
    assert (answer.status_code, answer.json()["message"]) == (403, "An operator has said who it was.")
    assert guarded.get(place, headers=operator).json() == corrected


@pytest.mark.parametrize("number", ["true", '"1"', "1.0", "0"])
def test_a_correction_names_a_person_by_a_whole_number(client: TestClient, number: str) -> None:
    enroll(client, "ada", 1)
    entry = check_in(client, 9).json()
    answer = client.post(
        f"/v1/checkins/{entry['id']}/correct",
        content=f'{{"person_id": {number}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert client.get(f"/v1/checkins/{entry['id']}").json()["review"] is None


def test_a_kiosk_is_told_who_was_recognized_and_not_who_else_is_near(
    guarded: TestClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    guarded.headers.update(bearer("enroll"))
    for seed, name in enumerate(("ada", "bob")):
        enroll(guarded, name, seed)
    told = guarded.post("/v1/checkins", files={"picture": noise(0)}).json()["decision"]
    assert (told["runner_up"], told["distance"]) == ("bob", pytest.approx(0, abs=1e-3))
    guarded.headers.update(bearer("kiosk"))
    known, stranger = (guarded.post("/v1/checkins", files={"picture": noise(seed)}).json() for seed in (0, 7))
    assert (known["verdict"], known["name"], known["person_id"]) == ("match", "ada", 1)
    assert (stranger["verdict"], stranger["name"]) == ("unknown", None)
    taken_back = guarded.post(f"/v1/checkins/{stranger['id']}/undo").json()
    for entry in (known, stranger, taken_back):
        secret = ("distance", "nearest", "nearest_id", "runner_up", "runner_up_id", "runner_up_distance", "margin")
        assert {field: entry["decision"][field] for field in secret} == dict.fromkeys(secret)
        assert "bob" not in str(entry)
