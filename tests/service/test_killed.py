"""A service that is killed in the middle of its work: what it acknowledged is in the ledger, once."""

import threading

import httpx2
import pytest
from callers import noise
from served_process import Process

from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger

CHECK_INS = 500
CLIENTS = 8
KILLED_AFTER = 200


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


def until_killed(process: Process) -> tuple[dict[int, int], set[int]]:
    """Check in by several clients until the service is killed amid it: what was acknowledged, and what was cut off."""
    acknowledged: dict[int, int] = {}
    cut_off: set[int] = set()
    left, enough = iter(range(CHECK_INS)), threading.Event()

    def send() -> None:
        with process.client() as client:
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
    process.kill()
    for client in clients:
        client.join()
    return acknowledged, cut_off


@pytest.mark.slow
def test_each_check_in_that_was_acknowledged_is_there_once_though_the_service_was_killed(process: Process) -> None:
    acknowledged, cut_off = until_killed(process)
    assert KILLED_AFTER <= len(acknowledged) < CHECK_INS, "it was killed before the end"
    assert len(cut_off) >= CLIENTS // 2, "while it had more to do than it had done"
    with Gallery(process.gallery) as gallery:
        held = {entry.request_id: entry.id for entry in Ledger(gallery).entries()}
    assert {f"request {number}": id for number, id in acknowledged.items()}.items() <= held.items()
    process.start()
    with process.client() as client:
        again = {number: check_in(client, number) for number in range(CHECK_INS)}
    assert acknowledged.items() <= again.items(), "who asks again gets the first entry"
    with Gallery(process.gallery) as gallery:
        entries = list(Ledger(gallery).entries())
    assert sorted(entry.request_id or "" for entry in entries) == sorted(f"request {n}" for n in range(CHECK_INS))
    assert {entry.id for entry in entries} == set(again.values())
