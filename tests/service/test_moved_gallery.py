"""A gallery that is moved to another model while it is served: the service follows it, or a sentence says why not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from callers import HERE, enroll, noise
from starlette.testclient import TestClient

from firstsight.config import Network, Preprocessing
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.models.folder import Model, make_model, save_model, set_operating_point
from firstsight.models.registry import build_network
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.recognition.reenroll import reenroll
from firstsight.service.app import create_app
from firstsight.workflows.forget import forget

Serve = Callable[..., TestClient]


def saved(folder: Path, *, seed: int) -> Model:
    config = ModelConfig(
        network=Network(channels=(4,), embedding_size=6),
        preprocessing=Preprocessing(height=16, width=16, color="gray"),
    )
    point = OperatingPoint(threshold=1e-4, target=0.05, accepted=0, comparisons=9900, identities=100)
    return save_model(
        set_operating_point(make_model(build_network(config, seed=seed), config, name="m"), point), folder
    )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[tuple[TestClient, Gallery]] = []

    def start(**options: float) -> TestClient:
        gallery = Gallery(tmp_path / "door.sqlite")
        recognizer = Recognizer(saved(tmp_path / "old", seed=0), gallery, **options)
        client = TestClient(create_app(recognizer, forget=forget, threads=2, per_second=1e6), base_url=HERE)
        started.append((client.__enter__(), gallery))
        for number in range(3):
            enroll(client, f"p{number}", number, anyway=True)
        return client

    yield start
    for client, gallery in started:
        client.__exit__(None, None, None)
        gallery.close()


def test_model_and_gallery_change_together(serve: Serve, tmp_path: Path) -> None:
    client, new = serve(), saved(tmp_path / "new", seed=1)

    def ask(number: int) -> tuple[int, str, float, str]:
        answer = client.post("/v1/identify", files={"picture": noise(number % 3)})
        found = answer.json()
        return answer.status_code, found["name"], found["distance"], found["model"]

    with ThreadPoolExecutor(4) as callers, Gallery(tmp_path / "door.sqlite") as elsewhere:
        before = [callers.submit(ask, number) for number in range(12)]
        reenroll(elsewhere, new)
        after = [callers.submit(ask, number) for number in range(12)]
        found = [one.result() for one in (*before, *after)]
    assert [(code, name, distance) for code, name, distance, _ in found] == [
        (200, f"p{number % 3}", 0) for number in (*range(12), *range(12))
    ], "templates of one model never meet those of the other"
    assert {model for *_, model in found[12:]} == {new.identity}
    assert client.post("/v1/verify", files={"picture": noise(1)}, data={"name": "p1"}).json()["decision"] == "match"
    assert client.get("/v1/models").json()["models"][0]["identity"] == new.identity


@pytest.mark.parametrize(("options", "status"), [({}, 200), ({"threshold": 0.5}, 409)])
def test_it_is_ready_after_the_move_unless_its_threshold_was_for_the_old_model(
    options: dict[str, float], status: int, serve: Serve, tmp_path: Path
) -> None:
    client = serve(**options)
    with Gallery(tmp_path / "door.sqlite") as elsewhere:
        reenroll(elsewhere, saved(tmp_path / "new", seed=1))
    answer = client.get("/readyz")
    assert answer.status_code == status
    assert (status == 200) == ("holds templates of the model" not in answer.text)
