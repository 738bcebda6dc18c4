"""Questions over HTTP, and the pool that answers them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from callers import enroll, noise
from starlette.testclient import TestClient

from firstsight.recognition.recognizer import Recognizer


def test_a_decision_is_that_of_the_recognizer_with_numbers_of_whom_it_names(
    client: TestClient, recognizer: Recognizer
) -> None:
    ids = {name: enroll(client, name, seed)["person"]["id"] for seed, name in enumerate(("ada", "bob", "cyd"))}
    for seed, verdict in ((1, "match"), (7, "unknown")):
        answer = client.post("/v1/identify", files={"picture": noise(seed)}).json()
        decision = recognizer.identify(noise(seed)).to_json()
        assert decision["decision"] == verdict
        assert {field: answer[field] for field in decision} == decision | {"boxes": []}
        assert answer["nearest_id"] == ids[decision["nearest"]]
        assert answer["runner_up_id"] == ids[decision["runner_up"]]
        assert answer["person_id"] == ids.get(decision["name"])
    claim = client.post("/v1/verify", files={"picture": noise(1)}, data={"name": "ada"}).json()
    assert claim["decision"] == "different"
    assert claim["distance"] == recognizer.verify("ada", noise(1)).distance
    unknown = client.post("/v1/verify", files={"picture": noise(1)}, data={"name": "zoe"})
    assert (unknown.status_code, unknown.json()["message"]) == (404, "zoe is not enrolled in the gallery.")


def test_nobody_is_enrolled(client: TestClient) -> None:
    answer = client.post("/v1/identify", files={"picture": noise(1)}).json()
    assert (answer["decision"], answer["distance"], answer["nearest_id"]) == ("unknown", None, None)


class Held:
    """Has a worker wait inside `decide_many` until it is let go; counts the batches."""

    def __init__(self, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go = threading.Semaphore(0), threading.Event()
        self.batches: list[int] = []
        decide_many = recognizer.decide_many

        def held(looks: Any) -> Any:
            self.batches.append(len(looks))
            self.entered.release()
            assert self.go.wait(30)
            return decide_many(looks)

        monkeypatch.setattr(recognizer, "decide_many", held)


def ask(client: TestClient, seed: int) -> Any:
    return client.post("/v1/identify", files={"picture": noise(seed)})


def wait_until(holds: Callable[[], bool]) -> None:
    tick = threading.Event()
    while not holds():
        tick.wait(0.005)


def test_what_waits_together_is_embedded_together_and_each_gets_its_own(
    serve: Callable[..., TestClient], recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(threads=1, queue=20)
    for seed in range(8):
        enroll(client, f"p{seed}", seed)
    held = Held(recognizer, monkeypatch)
    workers = client.app.state.service.workers  # type: ignore[attr-defined]
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(ask, client, 0)
        assert held.entered.acquire(timeout=30)
        rest = [pool.submit(ask, client, seed) for seed in range(1, 8)]
        broken = pool.submit(client.post, "/v1/identify", files={"picture": b"no picture"})
        wait_until(lambda: workers.waiting == 8)
        held.go.set()
        names = [each.result().json()["name"] for each in (first, *rest)]
        assert broken.result().status_code == 422
    assert names == [f"p{seed}" for seed in range(8)]
    assert held.batches == [1, 7], "one that cannot be read does not spoil the others"


def test_a_full_queue_refuses_and_what_was_accepted_is_finished_at_the_end(
    serve: Callable[..., TestClient], recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(threads=1, queue=2)
    held = Held(recognizer, monkeypatch)
    workers = client.app.state.service.workers  # type: ignore[attr-defined]
    with ThreadPoolExecutor(4) as pool:
        accepted = [pool.submit(ask, client, 0)]
        assert held.entered.acquire(timeout=30)
        accepted += [pool.submit(ask, client, seed) for seed in (1, 2)]
        wait_until(lambda: workers.waiting == 2)
        refused = ask(client, 3)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        ending = pool.submit(workers.close)
        wait_until(lambda: workers._closed)
        assert ask(client, 4).status_code == 503
        held.go.set()
        ending.result(timeout=30)
        assert [each.result().status_code for each in accepted] == [200, 200, 200]
