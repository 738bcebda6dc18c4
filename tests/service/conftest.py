"""A service over a model that is quick, and callers of every kind."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from callers import HERE
from fastapi import FastAPI
from served_process import Process
from starlette.testclient import TestClient
from tiny_models import pixel_model

from firstsight.model_config import OperatingPoint, Step
from firstsight.models.folder import Model, set_operating_point
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.app import create_app
from firstsight.service.keys import Keys, Role
from firstsight.workflows.forget import forget


@pytest.fixture(scope="session")
def model() -> Model:
    steps = (Step(size=1, threshold=0.1, bound=0.05), Step(size=100, threshold=0.05, bound=0.05))
    point = OperatingPoint(threshold=0.1, target=0.05, accepted=0, comparisons=9900, identities=100, steps=steps)
    return set_operating_point(replace(pixel_model("tiny", size=16), name="tiny"), point)


@pytest.fixture
def recognizer(model: Model, tmp_path: Path) -> Iterator[Recognizer]:
    with Gallery(tmp_path / "gallery.sqlite") as gallery:
        yield Recognizer(model, gallery)


@pytest.fixture
def serve(recognizer: Recognizer) -> Iterator[Callable[..., TestClient]]:
    """Start a service, with options of its own; it is ended after the test."""
    started: list[TestClient] = []

    def start(base_url: str = HERE, **options: Any) -> TestClient:
        app: FastAPI = create_app(recognizer, forget=forget, **options)
        client = TestClient(app, base_url=base_url)
        client.__enter__()
        started.append(client)
        return client

    yield start
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    """A program on this machine."""
    return serve()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "service" / "keys.json")


@pytest.fixture
def guarded(serve: Callable[..., TestClient], keys: Keys) -> TestClient:
    """A service that asks for keys, whose clients have none yet."""
    return serve("https://service.example", keys=keys)


@pytest.fixture
def bearer(keys: Keys) -> Callable[[Role], dict[str, str]]:
    """The header of a key of a role."""
    return lambda role: {"Authorization": f"Bearer {keys.add(f'a {role}', role)}"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A service in a process of its own."""
    started = Process(tmp_path)
    yield started
    started.kill()
