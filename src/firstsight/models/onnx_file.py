"""A model as an ONNX file, for programs without PyTorch. B batch, C channels, H height, W width."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firstsight.atomic import appearing_whole
from firstsight.errors import MissingExtra, ModelError, StorageError
from firstsight.models.folder import Model
from firstsight.recipes import to_plain

INPUT = "pictures"
FARTHEST = 1e-3
"""Between an output of the model and of its file, as a share of the largest: measured, 1e-6."""
_TRIED = 3  # pictures at once: not as many as it is traced with
_MAKER = "torch.onnx._internal.exporter"


class _FromPixels(nn.Module):
    """The network, from the pixel values 0 ... 255."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.mean, self.std = model.config.preprocessing.mean, model.config.preprocessing.std

    def forward(self, pictures_BCHW: Float[Tensor, "B C H W"]) -> Tensor:
        outputs: Tensor = self.network((pictures_BCHW - self.mean) / self.std)
        return outputs


def output_name(model: Model) -> str:
    return "embeddings" if model.config.task == "embedding" else "outputs"


def write_onnx(model: Model, path: Path) -> float:
    """Write a model as one ONNX file, whole or not at all; it is compared with the model before it appears.

    The file takes `pictures`, float32 B x C x H x W of the pixel values 0 ... 255, any number at once, brought to the
    model's size, color and pose as `data.pictures.prepare` does it; it gives `embeddings` of unit length, or `outputs`.
    Its metadata have the model's identity, and preprocessing and outputs as JSON.

    Returns:
        The largest difference from the model's outputs, on noise, by onnxruntime.

    Raises:
        MissingExtra: the extra `onnx` is not installed.
        ModelError: the model takes rows; or what onnxruntime makes of the file differs from it.
        StorageError: the file cannot be written.
    """
    if model.config.columns or model.config.committee:
        raise ModelError(f"The model {model.name} takes rows, not pictures.", hint="Export one of pictures.")
    runtime = _runtime()
    config, network = model.config, _FromPixels(model).eval()
    pictures_BCHW = 255 * torch.rand(_TRIED, *config.input_shape, generator=torch.Generator().manual_seed(0))
    with _quietly():
        program: Any = torch.onnx.export(
            network,
            (pictures_BCHW[:2],),
            dynamo=True,
            input_names=[INPUT],
            output_names=[output_name(model)],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    described = {"preprocessing": to_plain(config.preprocessing), "task": config.task, "outputs": config.outputs}
    program.model.metadata_props.update(identity=model.identity, firstsight=json.dumps(described))
    try:
        with appearing_whole(path, private=False) as fresh:
            program.save(fresh)
            with torch.inference_mode():
                expected = network(pictures_BCHW)
            session = runtime.InferenceSession(fresh, providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(None, {INPUT: pictures_BCHW.numpy()})[0])
            apart = float((found - expected).abs().max())
            if not apart <= FARTHEST * max(1.0, float(expected.abs().max())):
                raise ModelError(
                    f"{model.name} gives other outputs as an ONNX file ({apart:.1e} apart).",
                    hint="Install the versions in constraints.txt of torch, onnxscript and onnxruntime.",
                )
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint="Name another file.") from error
    return apart


def _runtime() -> Any:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "An ONNX file needs onnxscript and onnxruntime, which are not installed.", extra="onnx"
        ) from error
    return onnxruntime


@contextmanager
def _quietly() -> Iterator[None]:
    """PyTorch tells its own authors of deprecations, and that torchvision is not there."""
    maker = logging.getLogger(_MAKER)
    before = maker.level
    maker.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        maker.setLevel(before)
