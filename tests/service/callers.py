"""What tests send to a service."""

import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

HERE = "http://127.0.0.1:8000"


def png(pixels: Any) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
        return file.getvalue()


def noise(seed: int, size: int = 16) -> bytes:
    """A picture that is like no other."""
    return png(np.random.default_rng(seed).integers(0, 256, (size, size)))


def enroll(client: TestClient, name: str, seed: int, **fields: Any) -> Any:
    """Enroll a name from noise; the answer's JSON."""
    answer = client.post("/v1/people", files={"picture": noise(seed)}, data={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()
