"""What the service answers is what its OpenAPI document says, whatever it is asked, by whomever."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from callers import enroll, noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from firstsight.service import schemas, sent
from firstsight.service.keys import Keys

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

schemathesis.openapi.format("binary", st.sampled_from([noise(seed) for seed in range(5)]) | st.binary(max_size=200))


def ask_everything(client: TestClient, headers: dict[str, str], examples: int) -> int:
    """How many requests were sent; each is checked against the document."""
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", client.app)
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal asked
            case.call_and_validate(headers=headers, checks=CHECKS)
            asked += 1

        ask()
    return asked


@pytest.fixture
def peopled(serve: Callable[..., TestClient], keys: Keys, bearer: Callable[[str], dict[str, str]]) -> TestClient:
    client = serve("https://service.example", keys=keys, per_second=1e6)
    client.headers.update(bearer("admin"))
    for seed, name in enumerate(("ada", "bob", "cyd")):
        enroll(client, name, seed)
        client.post("/v1/checkins", files={"picture": noise(seed)})
    return client


def test_every_operation_answers_as_documented(peopled: TestClient, bearer: Callable[[str], dict[str, str]]) -> None:
    assert ask_everything(peopled, bearer("admin"), examples=3) > 40


@pytest.mark.slow
@pytest.mark.parametrize("role", ["kiosk", "enroll", "admin", None])
def test_every_role_is_answered_as_documented(
    peopled: TestClient, bearer: Callable[[str], dict[str, str]], role: str | None
) -> None:
    assert ask_everything(peopled, bearer(role) if role else {}, examples=60) > 500


def test_the_document_has_an_example_for_what_is_sent_and_for_what_comes_back(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    parts = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for kind, body in (content for each in bodies for content in each.get("content", {}).items()):
                shown = parts[body["schema"]["$ref"].split("/")[-1]] if "$ref" in body["schema"] else body["schema"]
                assert "example" in shown or kind in ("image/png", "text/csv", "text/plain"), (method, path)


BODIES = [kind for kind in {**vars(schemas), **vars(sent)}.values() if hasattr(kind, "model_fields")]


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
def test_an_example_is_what_it_stands_for(model: Any) -> None:
    example = (model.model_config.get("json_schema_extra") or {}).get("example")
    assert example is None or model.model_validate(example).model_dump(mode="json") == example
