"""A service that is killed in the middle of its work: what it acknowledged is in the ledger, once."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from callers import noise

from firstsight.config import ModelConfig, Network, OperatingPoint, Preprocessing
from firstsight.models.folder import make_model, save_model, set_operating_point
from firstsight.models.registry import build_network
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger

CHECK_INS = 500
CLIENTS = 8
KILLED_AFTER = 200


class Killed:
    """A service in a process of its own, which can be killed and started again on the port that it had."""

    def __init__(self, folder: Path) -> None:
        preprocessing = Preprocessing(height=16, width=16, color="gray", fit="stretch")
        config = ModelConfig(network=Network(channels=(4, 8), embedding_size=16), preprocessing=preprocessing)
        point = OperatingPoint(threshold=0.1, target=0.05, accepted=0, comparisons=9900, identities=100)
        model = set_operating_point(make_model(build_network(config), config, name="quick"), point)
        self.model = save_model(model, folder / "model").folder
        self.gallery, self.port = folder / "gallery.sqlite", 0
        self.start()

    def start(self) -> None:
        where = ("--port", str(self.port), "--model", str(self.model), "--gallery", str(self.gallery))
        command = [sys.executable, "-m", "firstsight", "serve", *where]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        line = next(line for line in self.process.stdout if line.startswith("Open "))
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        assert self.process.stdout
        self.process.stdout.close()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Killed]:
    started = Killed(tmp_path)
    yield started
    started.kill()


def check_in(client: httpx2.Client, number: int) -> int:
    """The id of the entry, once it is acknowledged."""
    answer = client.post(
        "/v1/checkins",
        files={"picture": noise(number % 40)},
        data={"direction": "in"},
        headers={"Idempotency-Key": f"request {number}"},
    )
    assert answer.status_code in (200, 201), answer.text
    return int(answer.json()["id"])


def until_killed(service: Killed) -> tuple[dict[int, int], set[int]]:
    """Check in by several clients until the service is killed amid it: what was acknowledged, and what was cut off."""
    acknowledged: dict[int, int] = {}
    cut_off: set[int] = set()
    left, enough = iter(range(CHECK_INS)), threading.Event()

    def send() -> None:
        with service.client() as client:
            for number in left:  # next() of a range is one step: no number comes twice
                try:
                    acknowledged[number] = check_in(client, number)
                except httpx2.TransportError:
                    cut_off.add(number)
                    return
                if len(acknowledged) >= KILLED_AFTER:
                    enough.set()

    clients = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    assert enough.wait(60)
    service.kill()
    for client in clients:
        client.join()
    return acknowledged, cut_off


@pytest.mark.slow
def test_each_check_in_that_was_acknowledged_is_there_once_though_the_service_was_killed(service: Killed) -> None:
    acknowledged, cut_off = until_killed(service)
    assert KILLED_AFTER <= len(acknowledged) < CHECK_INS, "it was killed before the end"
    assert len(cut_off) >= CLIENTS // 2, "while it had more to do than it had done"
    with Gallery(service.gallery) as gallery:
        held = {entry.request_id: entry.id for entry in Ledger(gallery).entries()}
    assert {f"request {number}": id for number, id in acknowledged.items()}.items() <= held.items()
    service.start()
    with service.client() as client:
        again = {number: check_in(client, number) for number in range(CHECK_INS)}
    assert acknowledged.items() <= again.items(), "who asks again gets the first entry"
    with Gallery(service.gallery) as gallery:
        entries = list(Ledger(gallery).entries())
    assert sorted(entry.request_id or "" for entry in entries) == sorted(f"request {n}" for n in range(CHECK_INS))
    assert {entry.id for entry in entries} == set(again.values())
