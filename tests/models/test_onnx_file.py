"""A model as an ONNX file: what another program makes of it is what the model makes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import pixel_model

from firstsight.config import Network, Preprocessing
from firstsight.data.pictures import to_input
from firstsight.errors import MissingExtra, ModelError, StorageError
from firstsight.model_config import Columns, ModelConfig
from firstsight.models import onnx_file
from firstsight.models.folder import Model, load_model, make_model
from firstsight.models.onnx_file import write_onnx
from firstsight.models.registry import build_network

onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'firstsight[dev]'")
pytest.importorskip("onnxscript", reason="no onnxscript: pip install 'firstsight[dev]'")


def small_model() -> Model:
    preprocessing = Preprocessing(height=16, width=20, color="rgb", mean=100, std=60)
    config = ModelConfig(network=Network(channels=(4, 8), embedding_size=16), preprocessing=preprocessing)
    torch.manual_seed(0)
    return make_model(build_network(config), config, name="small")


def outputs_of(path: Path, pixels_BCHW: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path)
    (outputs,) = session.run(None, {"pictures": pixels_BCHW.float().numpy()})
    return torch.from_numpy(outputs)


def check(model: Model, path: Path) -> dict[str, str]:
    """Pictures of any number become the embeddings of the model; the metadata of the file."""
    assert write_onnx(model, path) < 1e-5
    for count in (1, 7):
        pixels_BCHW = torch.randint(0, 256, (count, *model.config.input_shape), dtype=torch.uint8)
        with torch.inference_mode():
            expected_BD = model.network(to_input(pixels_BCHW, model.config.preprocessing))
        torch.testing.assert_close(outputs_of(path, pixels_BCHW), expected_BD, rtol=0, atol=1e-5)
    props: dict[str, str] = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    return props


def test_the_file_makes_of_pixels_what_the_model_makes_of_them(tmp_path: Path) -> None:
    # tracing takes a few seconds: once, for all that a file has to hold
    model = small_model()
    props = check(model, tmp_path / "small.onnx")
    assert props["identity"] == model.identity
    assert json.loads(props["firstsight"])["preprocessing"]["width"] == 20
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"], "one file holds the weights too"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glyphs", "faces"])
def test_the_models_that_ship_can_be_exported(name: str, tmp_path: Path) -> None:
    if name == "faces":
        pytest.importorskip("cv2", reason="no OpenCV: pip install 'firstsight[dev]'")
    check(load_model(name), tmp_path / "shipped.onnx")


def test_a_model_of_rows_is_refused(tmp_path: Path) -> None:
    columns = Columns(features=("area", "age"), mean=(0, 0), std=(1, 1), target_mean=(0,), target_std=(1,))
    config = ModelConfig(task="regression", network=Network(name="mlp"), columns=columns, outputs=("price",))
    with pytest.raises(ModelError, match="^The model rows takes rows, not pictures"):
        write_onnx(make_model(build_network(config), config, name="rows"), tmp_path / "rows.onnx")


def test_what_cannot_be_a_file_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Program:
        """In place of a trace."""

        model = type("Model", (), {"metadata_props": {}})()

        def save(self, path: Path) -> None:
            path.write_bytes(b"an ONNX file")

    class Session:
        def __init__(self, path: Path, providers: Any) -> None:
            assert path.read_bytes() == b"an ONNX file"

        def run(self, _names: Any, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.zeros((len(given["pictures"]), 64), np.float32)]

    monkeypatch.setattr(torch.onnx, "export", lambda *_args, **_options: Program())
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    model = pixel_model("tiny")
    with pytest.raises(ModelError, match=r"^tiny gives other outputs as an ONNX file \(.* apart\)\. Install"):
        write_onnx(model, tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="No such file or directory"):
        write_onnx(model, tmp_path / "nowhere" / "tiny.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r'are not installed. Type: pip install "firstsight\[onnx\]"'):
        onnx_file.write_onnx(model, tmp_path / "tiny.onnx")
