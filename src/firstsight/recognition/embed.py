"""From pictures to embeddings. B pictures, C channels, H height, W width, D embedding."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.pictures import prepare, read_picture, to_input
from firstsight.models.folder import Model

Picture = str | Path | bytes | Image.Image | UInt8[Tensor, "C H W"]
"""A path, the bytes of a file, a Pillow image, or a crop: pixels that `prepare` has brought to the model's size."""


def decoded(picture: Picture) -> Image.Image | UInt8[Tensor, "C H W"]:
    """A picture as it was given, in 8-bit gray or color; a crop stays one.

    Raises:
        PictureError: it cannot be read.
    """
    return picture if isinstance(picture, Tensor | Image.Image) else read_picture(picture)


def crop(picture: Picture, preprocessing: Preprocessing, *, name: str = "") -> UInt8[Tensor, "C H W"]:
    """The pixels of a picture as the network sees them; `name` is what messages call it, the path by default.

    Raises:
        PictureError: it cannot be read, or holds nothing that the preprocessing looks for.
    """
    pixels = decoded(picture)
    return pixels if isinstance(pixels, Tensor) else prepare(pixels, preprocessing, name=name or called(picture))


def called(picture: Picture) -> str:
    """What messages call a picture."""
    return str(picture) if isinstance(picture, str | Path) else "the picture"


def embed_pictures(model: Model, pictures: Sequence[Picture], *, batch_size: int = 64) -> Float[Tensor, "B D"]:
    """Unit embeddings, float32 on the CPU, computed on the model's device.

    Raises:
        PictureError: one of them cannot be read.
    """
    preprocessing = model.config.preprocessing
    parts = [torch.empty(0, model.config.network.embedding_size)]
    for start in range(0, len(pictures), batch_size):
        crops_BCHW = torch.stack([crop(picture, preprocessing) for picture in pictures[start : start + batch_size]])
        with torch.inference_mode():
            parts.append(model.network(to_input(crops_BCHW.to(model.device), preprocessing)).float().cpu())
    return torch.cat(parts[1:] or parts)


def to_png(crop_CHW: UInt8[Tensor, "C H W"]) -> bytes:
    """A crop of 1 or 3 channels as PNG, without loss: reading it back gives the same embedding."""
    pixels = crop_CHW.squeeze(0) if len(crop_CHW) == 1 else crop_CHW.permute(1, 2, 0)
    with io.BytesIO() as file:
        Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG")
        return file.getvalue()
