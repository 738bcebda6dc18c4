"""People over HTTP: enrolled, looked at, forgotten."""

import io
from typing import Any

import numpy as np
import pytest
from callers import enroll, noise, png
from PIL import Image
from starlette.testclient import TestClient

from firstsight.recognition.recognizer import Recognizer


def test_from_one_picture_to_the_receipt(client: TestClient, recognizer: Recognizer) -> None:
    enrolled = enroll(client, "Ada Lovelace", 1, consent="signed, 2026-11-02")
    person, verdict = enrolled["person"], enrolled["verdict"]
    assert (person["name"], person["pictures"], verdict["good"]) == ("Ada Lovelace", 1, True)
    shown = client.get(f"/v1/people/{person['id']}").json()
    assert shown["enrollments"][0]["consent"] == "signed, 2026-11-02"
    picture = client.get(shown["thumbnail"])
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "no-store"
    seen = np.asarray(Image.open(io.BytesIO(picture.content)))
    assert (seen == np.asarray(Image.open(io.BytesIO(noise(1))))).all()
    receipt = client.delete(f"/v1/people/{person['id']}").json()
    assert (receipt["name"], receipt["templates"], receipt["pictures"]) == ("Ada Lovelace", 1, 1)
    assert "write-ahead log" in receipt["erased_from"]
    gone = client.get(f"/v1/people/{person['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "not-enrolled")
    assert client.get(shown["thumbnail"]).status_code == 404
    assert len(recognizer.gallery) == 0


def test_the_same_picture_again_is_no_second_enrollment(client: TestClient, recognizer: Recognizer) -> None:
    first = enroll(client, "ada", 1)["person"]
    form = {"files": {"picture": noise(1)}, "data": {"name": " ada "}}
    again = client.post("/v1/people", **form)
    assert (again.status_code, again.json()["person"]) == (200, first)
    for code in (201, 200):
        added = client.post(f"/v1/people/{first['id']}/pictures", files={"picture": noise(2)})
        assert (added.status_code, added.json()["person"]["pictures"]) == (code, 2)
    assert recognizer.gallery.count_templates() == 2


def test_another_picture_under_a_known_name_is_refused_with_the_way_to_add_it(client: TestClient) -> None:
    known = enroll(client, "ada", 1)["person"]
    answer = client.post("/v1/people", files={"picture": noise(2)}, data={"name": "ada"})
    assert answer.status_code == 409
    assert answer.json() == {
        "code": "already-enrolled",
        "message": "ada is enrolled in the gallery already.",
        "hint": f"Add a picture: POST /v1/people/{known['id']}/pictures",
        "verdict": None,
        "boxes": [],
        "person_id": known["id"],
    }


def test_a_poor_picture_is_refused_with_the_verdict_and_may_be_insisted_on(client: TestClient) -> None:
    enroll(client, "ada", 1)
    poor = {"empty": (png(np.full((16, 16), 128)), "insist with anyway=true"), "look-alike": (noise(1), "If it is ada")}
    for kind, (picture, hint) in poor.items():
        form = {"files": {"picture": picture}, "data": {"name": kind}}
        refused = client.post("/v1/people", **form)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (422, "picture-refused")
        assert [doubt["kind"] for doubt in problem["verdict"]["doubts"]] == [kind]
        assert hint in problem["hint"]
        form["data"]["anyway"] = "true"
        assert client.post("/v1/people", **form).status_code == 201


def test_who_is_forgotten_while_being_enrolled_is_not_there(
    client: TestClient, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll = recognizer.enroll

    def overtaken(name: str, picture: bytes, **options: Any) -> Any:
        verdict = enroll(name, picture, **options)
        recognizer.gallery.forget(name)
        return verdict

    monkeypatch.setattr(recognizer, "enroll", overtaken)
    answer = client.post("/v1/people", files={"picture": noise(1)}, data={"name": "ada"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-enrolled")
    assert answer.json()["message"] == "ada is not enrolled in the gallery."


def test_a_page_of_people_at_a_time_and_by_name(client: TestClient) -> None:
    names = ["ada", "bob", "Bö_b", "100%", "cyd"]
    for seed, name in enumerate(names):
        enroll(client, name, seed, keep_picture="false")
    found, after = [], 0
    while after is not None:
        page = client.get("/v1/people", params={"limit": 2, "after": after}).json()
        found += [(person["name"], person["thumbnail"]) for person in page["people"]]
        after = page["next"]
    assert found == [(name, None) for name in names]
    assert page["total"] == 5
    for text, known in (("b", ["bob", "Bö_b"]), ("%", ["100%"]), ("_", ["Bö_b"]), ("zz", [])):
        page = client.get("/v1/people", params={"search": text}).json()
        assert [person["name"] for person in page["people"]] == known


def test_what_is_no_picture_and_what_is_no_name_is_said(client: TestClient) -> None:
    def refused(picture: bytes, **fields: str) -> tuple[int, str, str]:
        answer = client.post("/v1/people", files={"picture": picture}, data=fields)
        return answer.status_code, answer.json()["code"], answer.json()["message"]

    assert refused(b"GIF89a nothing", name="a")[:2] == (422, "picture")
    assert refused(b"", name="a") == (422, "picture", "the picture is empty (0 bytes).")
    assert refused(noise(1)) == (422, "invalid", "name: Field required.")
    assert refused(noise(1), name="a\x00b")[:2] == (422, "gallery")
    assert refused(noise(1), name="a", nonsense="1") == (422, "invalid", "nonsense: Extra inputs are not permitted.")
    assert client.post("/v1/people", data={"name": "a"}).status_code == 400
