"""What the service says where it cannot do what it was asked: documented by code, and always with a way on."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from callers import enroll, noise
from starlette.testclient import TestClient

from firstsight import errors, service
from firstsight.service import app, problems
from firstsight.service.keys import Keys

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"DataError", "RecipeError", "TrainingError"}
"""What nothing that the service calls raises."""


def codes() -> Iterator[str]:
    """Every code that an answer may have: those of errors, those of the framework's, and those written out."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, tuple(problems._STATUS)) and kind.__name__ not in ELSEWHERE:
            yield from unfit() if kind is errors.PictureUnfit else [problems.code_of(kind("It failed."))]
    yield from problems._CODES.values()
    for path in Path(str(service.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                given = ast.walk(node.args[1])
                yield from (each.value for each in given if isinstance(each, ast.Constant))


def unfit() -> Iterator[str]:
    for answer in get_args(errors.Unfit):
        yield problems.code_of(errors.PictureUnfit.because("it", "has no face", hint="", answer=answer))


def test_each_code_of_an_answer_is_in_the_documentation_of_the_api() -> None:
    table = (ROOT / "docs/api.md").read_text("utf-8").partition("| status | when |")[2].partition("\n\n")[0]
    first = "".join(re.findall(r"^\|[^|]*\|", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z-]+)`", first)) == set(codes()), "neither one more nor one less"
    assert set(map(int, re.findall(r"[45]\d\d", first))) == set(app._PROBLEMS), "as in the OpenAPI document"


@pytest.mark.parametrize(
    ("method", "path", "sent", "message", "hint"),
    [
        ("POST", "/v1/verify", {"files": {"picture": noise(1)}}, "name: Field required.", "Send the field name."),
        (
            "POST",
            "/v1/checkins",
            {"files": {"picture": noise(1)}, "data": {"direction": "up"}},
            "direction: Input should be 'in' or 'out'.",
            "Send 'in' or 'out'.",
        ),
        (
            "POST",
            "/v1/identify",
            {"files": {"picture": noise(1)}, "data": {"name": "ada"}},
            "name: Extra inputs are not permitted.",
            "Leave name out.",
        ),
        ("POST", "/v1/checkins/1/correct", {"content": b"{"}, "body: JSON decode error.", "Send JSON."),
        ("POST", "/v1/session", {"json": {}}, "key: Field required.", "Send the field key."),
        (
            "POST",
            "/v1/verify",
            {"files": {"picture": noise(1)}, "data": {"name": ""}},
            "name: String should have at least 1 character.",
            "Send 1 or more characters.",
        ),
        (
            "POST",
            "/v1/session",
            {"json": {"code": 50 * "A"}},
            "code: String should have at most 40 characters.",
            "Send at most 40 characters.",
        ),
        (
            "GET",
            "/v1/people?limit=900",
            {},
            "limit: Input should be less than or equal to 500.",
            "Send 500 or less.",
        ),
        (
            "GET",
            "/v1/checkins?before=x",
            {},
            "before: this is no `next` of an answer.",
            "Send the last `next`, as it came.",
        ),
        (
            "GET",
            "/v1/checkins/day?day=0999-01-01",
            {},
            "day: 0999-01-01 is out of range.",
            "Send a day of 1970 to 9000.",
        ),
    ],
)
def test_a_field_that_cannot_be_used_is_named_with_what_to_send_instead(
    client: TestClient, method: str, path: str, sent: dict[str, Any], message: str, hint: str
) -> None:
    kind = {"Content-Type": "application/json"} if "content" in sent else {}
    answer = client.request(method, path, headers=kind, **sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    assert (answer.json()["message"], answer.json()["hint"]) == (message, hint)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("PUT", "/v1/people"), ("GET", "/v1/checkins/day?day=soon"), ("POST", "/v1/people")],
)
def test_no_answer_leaves_it_at_no(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).json()["hint"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/identify", {"POST"}),
        ("PUT", "/v1/people", {"GET", "POST"}),
        ("DELETE", "/v1/checkins/1/undo", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_what_another_method_can_is_said(client: TestClient, method: str, path: str, allow: set[str]) -> None:
    csrf = client.get("/v1/session").json()["csrf"]
    answer = client.request(method, path, headers={"X-CSRF-Token": csrf})
    assert (answer.status_code, answer.json()["code"]) == (405, "method")
    assert set(answer.headers["Allow"].split(", ")) == allow


def test_a_monitor_may_ask_for_the_head_alone(client: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/", "/people.html"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("body", [b"\xff", b"[" * 30_000, b"9" * 5_000, b"{"])
def test_what_is_no_json_is_said(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/checkins/1/correct", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json()["hint"]) == (422, "invalid", "Send JSON.")


def test_clients_read_no_path_of_the_server(
    guarded: TestClient, bearer: Callable[[str], dict[str, str]], keys: Keys
) -> None:
    headers = bearer("admin")
    keys.path.write_text("{")
    answer = guarded.get("/v1/people", headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (503, "keys.json is damaged.")
    assert str(keys.path.parent) not in answer.text


def test_a_name_that_cannot_be_is_nobodys(client: TestClient) -> None:
    enroll(client, "ada", 1)
    for text in ("\0", "ad\0", "\0ada"):
        assert client.get("/v1/people", params={"search": text}).json()["people"] == []
