"""What the model page shows."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from callers import enroll, noise
from starlette.testclient import TestClient

from firstsight.evaluation.calibration import calibrate
from firstsight.models.folder import load_model
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.app import create_app
from firstsight.workflows.forget import forget


def test_the_operating_point_is_that_of_decisions_now(client: TestClient, recognizer: Recognizer) -> None:
    for seed in range(2):
        enroll(client, f"p{seed}", seed)
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["people"], model["templates"], model["input"]) == (2, 2, "16x16 gray")
    assert model["threshold"] == recognizer.identify(noise(0)).threshold == 0.05
    assert model["calibration"]["version"] == recognizer.identify(noise(0)).calibration
    assert model["promise"][0].startswith("At most 1 stranger in 20 is let in, 95 % sure, from 100 identities")
    assert model["now"].startswith("With 2 templates enrolled, identify takes the threshold 0.050")


def test_another_threshold_costs_what_the_enrolled_say_until_a_calibration_says_it(
    client: TestClient, recognizer: Recognizer
) -> None:
    assert client.get("/v1/models").json()["models"][0]["curves"] is None
    for seed in range(3):
        enroll(client, f"p{seed}", seed)
    here = client.get("/v1/models").json()["models"][0]["curves"]
    assert (here["source"], here["identities"], here["different_pairs"], here["frr"]) == ("gallery", 3, 6, None)
    pictures = [noise(seed) for seed in range(20)]
    x_ND = embed_pictures(recognizer.model, pictures * 2)
    point = calibrate(x_ND, torch.arange(20).repeat(2), target=0.5)
    recognizer.gallery.set_operating_point(recognizer.model.identity, point)
    measured = client.get("/v1/models").json()["models"][0]["curves"]
    assert (measured["source"], measured["identities"], measured["same_pairs"]) == ("calibration", 20, 20)
    assert all(len(measured[name]) == len(measured["threshold"]) for name in ("far", "far_bound", "frr", "same"))
    assert measured["frr"][0] == 0.0, "each picture was taken twice"


def test_of_a_large_gallery_no_more_is_read_than_is_compared(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        enroll(client, f"p{seed}", seed)
    monkeypatch.setattr(Gallery, "names", None)  # 100,000 of them at each look at the page
    monkeypatch.setattr("firstsight.service.curves._MOST", 2)
    curves = client.get("/v1/models").json()["models"][0]["curves"]
    assert (curves["identities"], curves["different_pairs"]) == (2, 2)


def test_a_model_that_was_never_measured_says_so(
    serve: Callable[..., TestClient], recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(recognizer.model.config, operating_point=None)
    monkeypatch.setattr(recognizer, "model", replace(recognizer.model, config=config))
    client = serve()
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["threshold"], model["promise"], model["calibration"]) == (None, [], None)
    refused = client.post("/v1/identify", files={"picture": noise(1)})
    assert refused.status_code == 422
    assert "has no operating point" in refused.json()["message"]


def test_a_threshold_given_by_hand_promises_nothing(recognizer: Recognizer) -> None:
    by_hand = Recognizer(recognizer.model, recognizer.gallery, threshold=3.5)
    with TestClient(create_app(by_hand, forget=forget), base_url="http://127.0.0.1:8000") as client:
        enroll(client, "ada", 1)
        (model,) = client.get("/v1/models").json()["models"]
    assert (model["threshold"], model["bound"], model["promise"]) == (3.5, None, [])
    assert model["now"] == "The threshold 3.500 was given by hand: nothing is promised about strangers."


def test_shipped_models_say_what_another_threshold_would_cost() -> None:
    point = load_model("glyphs").config.operating_point
    assert point is not None
    assert point.distances is not None
    assert sum(point.distances.different) == point.comparisons
