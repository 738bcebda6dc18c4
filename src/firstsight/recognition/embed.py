"""From pictures to embeddings. B pictures, C channels, H height, W width, D embedding."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.align import Which, find_face, warp
from firstsight.data.pictures import prepare, read_picture, to_input
from firstsight.errors import Box, PictureUnfit
from firstsight.models.folder import Model

PIXELS_AT_ONCE = 2**16
"""Of the network's input, on a CPU. Layers of larger batches take fresh memory from the system each time: SFace needs
1.6 times as long for a face among 32 as among 4."""
Picture = str | Path | bytes | Image.Image | UInt8[Tensor, "C H W"]
"""A path, the bytes of a file, a Pillow image, or a crop: pixels that `prepare` has brought to the model's size."""

Check = Callable[[Image.Image, Box | None], str | None]
"""Looks at a picture before anybody is looked for in it, and may veto it: where a test for liveness goes.

It is given the picture, upright, and where the face lies that would be compared (None for a model that looks for none).
It says why the picture must not count, in words that follow its name ("does not move"), or None.
"""


def decoded(picture: Picture) -> Image.Image | UInt8[Tensor, "C H W"]:
    """A picture as it was given, in 8-bit gray or color; a crop stays one.

    Raises:
        PictureError: it cannot be read.
    """
    return picture if isinstance(picture, Tensor | Image.Image) else read_picture(picture)


def crop(
    picture: Picture,
    preprocessing: Preprocessing,
    *,
    name: str = "",
    which: Which = "center",
    check: Check | None = None,
) -> UInt8[Tensor, "C H W"]:
    """The pixels of a picture as the network sees them. What is a crop already is given back, and not checked.

    Args:
        picture: any form of one.
        preprocessing: the model's.
        name: what messages call the picture, the path by default.
        which: of several faces, for a model that looks for them.
        check: hears of the picture first.

    Raises:
        PictureError: it cannot be read, or holds nothing that the preprocessing looks for.
        PictureUnfit: there is not one face to compare, or `check` vetoes.
    """
    pixels, name = decoded(picture), name or called(picture)
    if isinstance(pixels, Tensor):
        return pixels
    face = find_face(pixels, which, preprocessing, name=name) if preprocessing.align == "faces" else None
    if check is not None and (reason := check(pixels, face.box if face else None)):
        boxes = (face.box,) if face else ()
        raise PictureUnfit.because(name, reason.rstrip("."), hint="Take another.", answer="vetoed", boxes=boxes)
    return warp(pixels, face, preprocessing) if face else prepare(pixels, preprocessing, name=name)


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
    if model.device.type == "cpu":
        batch_size = max(1, min(batch_size, PIXELS_AT_ONCE // (preprocessing.height * preprocessing.width)))
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
