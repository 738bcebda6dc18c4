"""Reading and preparing one picture: what the file may be, and what the network then gets."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from firstsight.config import Preprocessing
from firstsight.data.pictures import is_gray, prepare, read_picture, to_input
from firstsight.errors import PictureError

KINDS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP")


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def gradient(height: int, width: int, *, bands: int = 3) -> np.ndarray:
    """Smooth 8-bit pixels, different in every band."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * (x * (b + 1) + y * (3 - b)) / 4 for b in range(bands)], axis=-1).astype(np.uint8)


def empty_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def scans(again: int) -> bytes:
    """A progressive JPEG whose last scan comes `again` times more."""
    encoded = saved(Image.fromarray(gradient(50, 50)), "JPEG", progressive=True)
    start = encoded.rindex(b"\xff\xc4")  # its table, then the scan
    return encoded[:-2] + again * encoded[start:-2] + encoded[-2:]


# what a picture file may be


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read(kind: str) -> None:
    pixels = gradient(40, 56)
    picture = read_picture(saved(Image.fromarray(pixels), kind))
    assert (picture.mode, picture.size) == ("RGB", (56, 40))
    difference = np.abs(np.asarray(picture).astype(int) - pixels)
    lossy = {"JPEG": 8, "WEBP": 16, "GIF": 40}  # GIF has 256 colors
    assert difference.max() <= lossy.get(kind, 0)


def test_the_path_is_read_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(saved(Image.new("L", (5, 4), 7), "PNG"))
    assert read_picture(tmp_path / "photo.jpg").getpixel((4, 3)) == 7
    assert read_picture(str(tmp_path / "photo.jpg")).size == (5, 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = gradient(16, 32)
    # the picture as a camera stores it: `stored` is what the EXIF tag turns into `upright`
    undo = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: lambda p: np.rot90(p, 3),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    read = np.asarray(read_picture(saved(stored, kind, exif=exif, **lossless))).astype(int)
    assert read.shape == upright.shape
    assert np.abs(read - upright).max() <= (6 if kind == "JPEG" else 0)


def test_of_damaged_exif_data_none_is_applied() -> None:
    damaged = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 40
    assert read_picture(saved(Image.new("RGB", (6, 4), "red"), "JPEG", exif=damaged)).size == (6, 4)


def test_of_damaged_tiff_tags_none_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.new("RGB", (6, 4), "red"), "TIFF", exif=exif)
    one_short = struct.pack("<HHI", 0x0112, 3, 1)
    assert content.count(one_short) == 1
    assert read_picture(content).size == (4, 6)
    assert read_picture(content.replace(one_short, struct.pack("<HHI", 0x0112, 3, 2**30))).size == (6, 4)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    animated = saved(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    assert read_picture(animated).getpixel((3, 3)) == (255, 0, 0)


def test_a_progressive_jpeg_is_read() -> None:
    assert abs(np.asarray(read_picture(scans(0)), int) - gradient(50, 50)).max() < 12


def test_cmyk_becomes_rgb() -> None:
    read = read_picture(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert read.mode == "RGB"
    assert np.abs(np.asarray(read).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled_not_clipped(kind: str) -> None:
    values = np.linspace(0, 65535, 64 * 4).round().astype(np.uint16).reshape(4, 64)
    read = read_picture(saved(Image.fromarray(values), kind))
    assert read.mode == "L"
    assert np.array_equal(np.asarray(read), np.rint(values / 257.0).astype(np.uint8))


def test_one_bit_becomes_black_and_white() -> None:
    read = read_picture(saved(Image.fromarray(np.eye(8, dtype=bool))))
    assert np.array_equal(np.asarray(read), 255 * np.eye(8, dtype=np.uint8))


def test_a_palette_becomes_its_colors() -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    assert read_picture(saved(picture)).getpixel((0, 0)) == (10, 200, 30)


@pytest.mark.parametrize(
    ("picture", "options", "expected"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), {}, (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 51)), {}, (255, 204, 204)),
        (Image.new("LA", (4, 4), (0, 102)), {}, 153),
        (Image.new("L", (4, 4), 9), {"transparency": 9}, 255),
        (Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 3)}, (255, 255, 255)),
        (Image.new("1", (4, 4), 0), {"transparency": 0}, 255),
        (Image.new("P", (4, 4), 0), {"transparency": bytes([51])}, (204, 204, 204)),
    ],
)
def test_what_is_transparent_becomes_white(
    picture: Image.Image, options: dict[str, object], expected: int | tuple[int, ...]
) -> None:
    assert read_picture(saved(picture, **options)).getpixel((1, 1)) == expected


# what is refused, and in which words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "me.jpg is empty (0 bytes). Replace it or remove it."),
        (b"Dear diary, no picture today.\n", "me.jpg is not a picture that can be read. Give a JPEG, PNG, WebP"),
        (empty_png(20_000, 20_000), "me.jpg is too large: above 40 megapixels. Make it smaller"),
        (empty_png(12_000, 9_000), "me.jpg is too large: 12000 x 9000 pixels, above 40 megapixels."),
        (empty_png(8_000, 5_001), "me.jpg is too large: 8000 x 5001 pixels, above 40 megapixels."),
        (empty_png(65_536, 2), "me.jpg is too large: 65536 x 2 pixels, above 65,535 a side."),
        (scans(200), "me.jpg is a JPEG of too many scans. Save it anew."),
        (empty_png(100, 100), "me.jpg is damaged or truncated ("),
        (saved(Image.fromarray(gradient(50, 50)), "JPEG")[:-200], "me.jpg is damaged or truncated ("),
        (saved(Image.fromarray(gradient(50, 50)), "PNG")[:200], "me.jpg is damaged or truncated ("),
        (saved(Image.new("F", (4, 4)), "TIFF"), "me.jpg has 32 bits a pixel, a range nobody has agreed on. Save it"),
        (saved(Image.new("I", (4, 4)), "TIFF"), "me.jpg has 32 bits a pixel, a range nobody has agreed on. Save it"),
    ],
)
def test_a_bad_picture_is_refused_in_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError) as from_path:
        read_picture(path)
    assert str(from_path.value).startswith(f"{tmp_path}/{message}")
    if content:
        with pytest.raises(PictureError) as from_bytes:
            read_picture(content, name="me.jpg")
        assert str(from_bytes.value).startswith(message)


def test_a_missing_picture_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"gone.png does not exist. Check the path."):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(PictureError, match=r"is a folder, not a picture. Give one picture in it."):
        read_picture(tmp_path)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("GIF", "BMP", "PPM") else {"exif": exif}
    content = bytearray(saved(Image.fromarray(gradient(9, 7)), kind, **options))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(content)) | st.just(len(content)))
    try:
        assert read_picture(bytes(content[:end])).mode in ("L", "RGB")
    except PictureError as error:
        assert error.message.startswith("the picture ")  # noqa: PT017 - both ends are right


def test_threads_read_the_same_pixels() -> None:
    files = [saved(Image.fromarray(gradient(30 + i, 40)), "JPEG", exif=Image.Exif()) for i in range(40)]
    alone = [np.asarray(read_picture(file)) for file in files]
    with ThreadPoolExecutor(8) as pool:
        together = [np.asarray(picture) for picture in pool.map(read_picture, files)]
    assert all(map(np.array_equal, alone, together))


def test_the_limits_of_pillow_stay_as_they_were(recwarn: pytest.WarningsRecorder) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PictureError):
        read_picture(empty_png(20_000, 20_000))
    assert before == Image.MAX_IMAGE_PIXELS
    assert not recwarn


# preparing it for the network


def cubic_weights(size: int, start: float, end: float, length: int) -> np.ndarray:
    """Antialiased bicubic resampling of [start, end) of `length` pixels to `size`, as a size x length matrix.

    The kernel is that of Keys (1981) with a = -0.5.
    """
    scale = (end - start) / size
    support = max(scale, 1.0)
    centers = start + (np.arange(size)[:, None] + 0.5) * scale
    x = np.abs(np.arange(length)[None] + 0.5 - centers) / support
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def resampled(pixels: np.ndarray, height: int, width: int, box: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = box
    rows = cubic_weights(height, top, bottom, pixels.shape[0])
    columns = cubic_weights(width, left, right, pixels.shape[1])
    across = np.einsum("wj,ijc->iwc", columns, pixels.astype(float)).clip(0, 255)  # 8 bits hold no overshoot
    return np.einsum("hi,iwc->chw", rows, across).clip(0, 255)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 50), (90, 120), (8, 8)])
def test_stretch_is_antialiased_bicubic(height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    settings_ = Preprocessing(height=height, width=width, color="rgb", fit="stretch")
    prepared = prepare(Image.fromarray(pixels), settings_)
    expected = resampled(pixels, height, width, (0, 0, 80, 60))
    assert prepared.dtype == torch.uint8
    # rounded to 8 bits after each axis, the second of which weighs the first by up to 1.27 in absolute values
    assert np.abs(prepared.numpy() - expected).max() <= 0.5 * 1.27 + 0.51


def test_crop_keeps_the_center_that_fills_the_input() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    prepared = prepare(Image.fromarray(pixels), Preprocessing(height=20, width=20, color="rgb", fit="crop"))
    assert np.abs(prepared.numpy() - resampled(pixels, 20, 20, (20, 0, 70, 50))).max() <= 1.01
    prepared = prepare(Image.fromarray(pixels), Preprocessing(height=10, width=30, color="rgb", fit="crop"))
    assert np.abs(prepared.numpy() - resampled(pixels, 10, 30, (0, 10, 90, 40))).max() <= 1.01


def test_pad_shows_the_whole_picture_on_the_color_of_its_border() -> None:
    pixels = np.full((20, 40, 3), (200, 150, 100), dtype=np.uint8)
    pixels[4:16, 4:36] = (0, 0, 255)
    pixels[0, 0] = (9, 9, 9)  # one odd corner does not change the median
    prepared = prepare(Image.fromarray(pixels), Preprocessing(height=40, width=40, color="rgb", fit="pad"))
    assert torch.equal(prepared[:, 10:30], torch.from_numpy(pixels).permute(2, 0, 1))
    for row in (0, 9, 30, 39):
        assert prepared[:, row].unique(dim=1).flatten().tolist() == [200, 150, 100]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (1, 1), (3, 700)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_every_shape_fits(size: tuple[int, int], fit: str) -> None:
    picture = Image.new("L", size, 77)
    prepared = prepare(picture, Preprocessing(height=16, width=24, color="gray", fit=fit))
    assert prepared.shape == (1, 16, 24)
    assert prepared.unique().tolist() == [77]


def test_color_is_obeyed() -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert prepare(red, Preprocessing(height=8, width=8, color="gray")).unique().tolist() == [76]  # ITU-R 601 luma
    gray = Image.new("L", (8, 8), 5)
    assert prepare(gray, Preprocessing(height=8, width=8, color="rgb")).shape == (3, 8, 8)
    with pytest.raises(ValueError, match=r"must be resolved"):
        prepare(gray, Preprocessing(color="auto"))


def test_to_input_standardizes_the_pixel_values() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    before = pixels.clone()
    result = to_input(pixels, Preprocessing(mean=100.0, std=50.0))
    assert result.dtype == torch.float32
    assert torch.allclose(result.flatten(), (torch.arange(256) - 100.0) / 50.0)
    assert torch.equal(pixels, before)


def test_is_gray() -> None:
    assert is_gray(Image.new("L", (3, 3), 8))
    assert is_gray(Image.new("RGB", (3, 3), (8, 8, 8)))
    almost = Image.new("RGB", (3, 3), (8, 8, 8))
    almost.putpixel((2, 2), (8, 8, 9))
    assert not is_gray(almost)
