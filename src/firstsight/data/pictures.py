"""One picture: from a file nobody has vetted to the pixels a network takes.

Shapes: B batch, C channels, H height, W width.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.align import find_face, warp
from firstsight.errors import PictureError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 40_000_000
MAX_SIDE = 65_535  # as JPEG has it; a picture of one column and many rows takes 50 bytes a pixel
MAX_BYTES = 256 * 2**20  # an uncompressed picture of MAX_PIXELS with 6 bytes a pixel

_MAX_SCANS = 200  # of a JPEG; progressive ones have 10, and each takes time for the whole picture, however short it is
_START_OF_SCAN = b"\xff\xda"
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: fewer decoders to attack
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(source: str | Path | bytes, *, name: str = "") -> Image.Image:
    """Decode one picture, whatever it claims to be, into 8-bit gray (mode "L") or color (mode "RGB").

    The EXIF orientation is applied. Of an animation the first frame counts. Transparent parts become white.
    16-bit gray is scaled, not clipped. Read are JPEG, PNG, WebP, GIF, BMP, TIFF and PGM/PPM/PBM; the suffix does not
    matter. May be called from several threads.

    Args:
        source: a path, or the bytes of a file.
        name: what messages call the picture; the path by default.

    Raises:
        PictureError: missing, empty, too large (above 40 megapixels or 65,535 pixels a side, known from its header
            before any pixel is decoded), truncated, damaged, made to take long, or not a picture.

    Example:
        >>> read_picture(b"P5 2 1 255 \\x00\\xff").size
        (2, 1)
    """
    where = name or ("the picture" if isinstance(source, bytes) else str(source))
    encoded = source if isinstance(source, bytes) else read_file(Path(source))
    if not encoded:
        raise PictureError(f"{where} is empty (0 bytes).", hint="Replace it or remove it.")
    try:
        with _quiet():
            opened = Image.open(io.BytesIO(encoded), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(where, f"above {MAX_PIXELS // 10**6} megapixels") from error
    except Exception as error:  # what a decoder raises on hostile bytes has no common class
        raise PictureError(
            f"{where} is not a picture that can be read.", hint="Give a JPEG, PNG, WebP, GIF, BMP, TIFF or PGM file."
        ) from error
    with opened:
        size = f"{opened.width} x {opened.height} pixels"
        if opened.width * opened.height > MAX_PIXELS:
            raise _too_large(where, f"{size}, above {MAX_PIXELS // 10**6} megapixels")
        if max(opened.size) > MAX_SIDE:
            raise _too_large(where, f"{size}, above {MAX_SIDE:,} a side")
        if opened.format in ("JPEG", "MPO") and encoded.count(_START_OF_SCAN) > _MAX_SCANS:
            raise PictureError(f"{where} is a JPEG of too many scans.", hint="Save it anew.")
        try:
            return _plain(_upright(_decoded(opened)))
        except PictureError as error:
            raise PictureError(f"{where} {error.message}", hint=error.hint) from error
        except Exception as error:
            raise PictureError(
                f"{where} is damaged or truncated ({str(error) or type(error).__name__}).",
                hint="Replace it or remove it.",
            ) from error


def read_file(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        PictureError: missing, a folder, larger than any picture should be, or unreadable.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(str(path), f"above {MAX_BYTES // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PictureError(f"{path} does not exist.", hint="Check the path.") from error
    except IsADirectoryError as error:
        raise PictureError(f"{path} is a folder, not a picture.", hint="Give one picture in it.") from error
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error


def prepare(picture: Image.Image, preprocessing: Preprocessing, *, name: str = "the picture") -> UInt8[Tensor, "C H W"]:
    """Bring a picture to the size and color of a model's input.

    `fit` says what happens to another shape: "stretch" ignores it; "crop" keeps the center that fills the input;
    "pad" shows the whole picture, centered, on the median color of its outermost pixels (so a drawing on white
    is padded white, a photo inconspicuously). Resizing is bicubic and antialiased. "ink" draws the symbol in the
    picture anew: see `redraw`. Where `align` is "faces", the face nearest to the center is warped to this shape.

    Args:
        picture: mode "L" or "RGB", as `read_picture` gives it.
        preprocessing: with a resolved color ("gray" or "rgb").
        name: what messages call the picture.

    Raises:
        PictureError: it holds no ink where `fit` looks for some. As a blank input, all that is empty would be enrolled
            and recognized as one identity.
        PictureUnfit: it shows no face, or too small a one, where `align` asks for one.
    """
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.color == "auto":
        raise ValueError('color = "auto" must be resolved before pictures are prepared: see resolve_color')
    if not height or not width:
        raise ValueError("A height or width of 0 must be resolved before pictures are prepared: see with_own_size")
    if preprocessing.align == "faces":
        return warp(picture, find_face(picture, "center", preprocessing, name=name), preprocessing)
    if preprocessing.fit == "ink":
        from firstsight.data.ink import redraw  # scipy.ndimage takes a quarter of a second

        try:
            ink_HW = torch.from_numpy(redraw(picture, height=height, width=width))
        except PictureError as error:
            raise PictureError(f"{name} {error.message}", hint=error.hint) from error
        return ink_HW.repeat(preprocessing.channels, 1, 1)
    mode = "L" if preprocessing.color == "gray" else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    if preprocessing.fit == "pad":
        pixels = _padded(picture, height, width)
    elif preprocessing.fit == "crop":
        pixels = _array(_resized(picture, height, width, box=_center(picture, height, width)))
    else:
        pixels = _array(_resized(picture, height, width))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def to_input(pictures_BCHW: UInt8[Tensor, "B C H W"], preprocessing: Preprocessing) -> Float32[Tensor, "B C H W"]:
    """(x - mean) / std of the pixel values 0 ... 255."""
    return pictures_BCHW.to(torch.float32).sub_(preprocessing.mean).div_(preprocessing.std)


def is_gray(picture: Image.Image) -> bool:
    """Whether a picture has no color: mode "L", or red = green = blue in every pixel."""
    if picture.mode == "L":
        return True
    red, green, blue = (np.asarray(band) for band in picture.split())
    return bool((red == green).all() and (green == blue).all())


_filters = threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings about odd metadata from the user: the picture is either read or refused.

    warnings.catch_warnings is not thread-safe, hence the lock, and hence only around the reading of headers.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _too_large(where: str, size: str) -> PictureError:
    return PictureError(f"{where} is too large: {size}.", hint="Make it smaller and try again.")


def _decoded(opened: Image.Image) -> Image.Image:
    """Decode the first frame. A TIFF reads more of its metadata, and warns, while it decodes."""
    with _quiet() if opened.format == "TIFF" else contextlib.nullcontext():
        opened.load()
    return opened


def _upright(opened: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; of damaged EXIF data none is applied."""
    try:
        with _quiet():
            turn = _UPRIGHT.get(opened.getexif().get(_ORIENTATION, 1))
    except Exception:
        turn = None
    return opened if turn is None else opened.transpose(turn)


def _plain(picture: Image.Image) -> Image.Image:
    """To mode "L" or "RGB", 8 bit, on white."""
    if picture.mode in ("L", "RGB") and not picture.has_transparency_data:
        return picture.copy()  # a plain Image, without the file's decoder and metadata
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format != "TIFF"):
        values = np.asarray(picture, dtype=np.float32)  # 0 ... 65535
        return Image.fromarray(np.rint(values / 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise PictureError("has 32 bits a pixel, a range nobody has agreed on.", hint="Save it with 8 or 16 bits.")
    if picture.has_transparency_data:
        gray = picture.mode in ("1", "L", "LA", "La")
        layers = picture.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(white, layers).convert("L" if gray else "RGB")
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _resized(
    picture: Image.Image, height: int, width: int, *, box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    if box is None and picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BICUBIC, box=box)


def _center(picture: Image.Image, height: int, width: int) -> tuple[float, float, float, float]:
    """The largest centered box of the shape height x width."""
    scale = min(picture.width / width, picture.height / height)
    left, top = (picture.width - scale * width) / 2, (picture.height - scale * height) / 2
    return left, top, picture.width - left, picture.height - top


def _padded(picture: Image.Image, height: int, width: int) -> np.ndarray:
    scale = min(width / picture.width, height / picture.height)
    inner_height = min(height, max(1, round(picture.height * scale)))
    inner_width = min(width, max(1, round(picture.width * scale)))
    inner = _array(_resized(picture, inner_height, inner_width))
    if inner.shape[:2] == (height, width):
        return inner
    border = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    pixels = np.empty((height, width, inner.shape[2]), np.uint8)
    pixels[:] = np.median(border, axis=0)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    pixels[top : top + inner_height, left : left + inner_width] = inner
    return pixels


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).reshape(picture.height, picture.width, -1)
