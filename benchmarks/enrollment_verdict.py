"""The verdict at enrollment on real pictures: how many ordinary ones it refuses, how many poor ones it catches.

    python benchmarks/enrollment_verdict.py --data ../shared/data

Ordinary are the pictures as published: faces (AT&T, LFW aligned and not), groceries on the shelf and in the catalogue,
and drawn characters (Omniglot), read with fit = pad at 64 x 64, and the drawings with fit = ink, too. Poor are the same
after a Gaussian blur, in pixels of the 64; an exposure that is so many stops off, in linear light, clipped to 8 bits;
reduced to so many pixels on the longer side; or of one gray. Of each set at most --most pictures are drawn.

With --model, look-alikes as well: the pictures of the set in --people, which the model must not have seen, one of each
identity, are enrolled one after the other, and then one more of each under another name.
"""

import argparse
import collections
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from firstsight.config import Preprocessing
from firstsight.data.files import ZipFiles, pictures_in_zip
from firstsight.data.identities import open_pictures
from firstsight.data.pictures import read_picture
from firstsight.errors import PictureError
from firstsight.models.folder import load_model
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.quality import judge, measure
from firstsight.recognition.recognizer import Recognizer

SIDE = 64
SETS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "faces, AT&T": ("faces/att_faces.zip", lambda name: True),
    "faces, LFW aligned": ("faces/lfw_dev_aligned112.zip", lambda name: True),
    "faces, LFW": ("faces/lfw_dev_original.zip", lambda name: True),
    "groceries, shelf": ("grocery/grocery_dev_128.zip", lambda name: "Iconic" not in name),
    "groceries, catalogue": ("grocery/grocery_dev_128.zip", lambda name: "Iconic" in name),
    "drawings, Omniglot": ("omniglot/images_background.zip", lambda name: True),
}


def pictures(data: Path, name: str, most: int) -> list[Image.Image]:
    path, wanted = SETS[name]
    names = [each for each in pictures_in_zip(data / path) if wanted(each)]
    drawn = random.Random(0).sample(names, min(most, len(names)))
    files = ZipFiles(data / path)
    return [read_picture(files.read(each)) for each in drawn]


def blurred(picture: Image.Image, pixels: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(pixels * max(picture.size) / SIDE))


def exposed(picture: Image.Image, stops: float) -> Image.Image:
    light = (np.asarray(picture, np.float32) / 255) ** 2.2 * 2.0**stops
    return Image.fromarray(np.uint8(np.clip(light, 0, 1) ** (1 / 2.2) * 255 + 0.5))


def reduced(picture: Image.Image, side: float) -> Image.Image:
    scale = side / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


POOR: dict[str, tuple[Callable[[Image.Image, float], Image.Image], tuple[float, ...]]] = {
    "blurred": (blurred, (1, 1.5, 2, 3, 4)),
    "under-exposed": (exposed, (-2, -3, -4, -5)),
    "over-exposed": (exposed, (2, 3, 4, 5)),
    "too small": (reduced, (24, 16, 15, 12)),
    "empty": (lambda picture, gray: Image.new("L", picture.size, int(gray)), (0, 128, 255)),
}


def shares(found: list[Image.Image], preprocessing: Preprocessing) -> tuple[float, dict[str, int]]:
    """How many are refused, and how often for what."""
    refused, kinds = 0, collections.Counter[str]()
    for picture in found:
        doubts = judge(measure(picture, preprocessing)).doubts
        refused += bool(doubts)
        for doubt in doubts:
            kinds[doubt.kind] += 1
    return refused / len(found), kinds


def lines(data: Path, most: int) -> Iterator[str]:
    yield f"| set | as published, refused | of | {' | '.join(POOR)} |"
    yield f"|---|---:|---:|{'---|' * len(POOR)}"
    for name in SETS:
        for fit in ("pad", "ink") if "Omniglot" in name else ("pad",):
            found = pictures(data, name, most)
            seen = Preprocessing(height=SIDE, width=SIDE, color="gray", fit=fit)
            ordinary, kinds = shares(found, seen)
            why = f" ({', '.join(kinds)})" if kinds else ""
            cells = []
            for make, degrees in POOR.values() if fit == "pad" else ():
                caught = [shares([make(picture, degree) for picture in found], seen)[0] for degree in degrees]
                cells.append(", ".join(f"{d:g}: {share:.0%}" for d, share in zip(degrees, caught, strict=True)))
            label = f"{name}, fit = ink" if fit == "ink" else name
            yield f"| {label} | {ordinary:.2%}{why} | {len(found)} | {' | '.join(cells)} |"


def look_alikes(model: str, people: str) -> str:
    """Of one picture each of all identities, and of a second under another name."""
    found = open_pictures(people)
    first = [found.labels.index(label) for label in range(len(found.names))]
    second = [i + 1 for i in first if i + 1 < len(found) and found.labels[i + 1] == found.labels[i]]
    counts = []
    with Gallery("sqlite://") as gallery:
        recognizer = Recognizer(load_model(model), gallery)
        for prefix, chosen in (("", first), ("again ", second)):
            entries = [(f"{prefix}{found.names[found.labels[i]]}", found.read(i)) for i in chosen]
            outcomes = recognizer.enroll_many(entries)
            refused = [each for each in outcomes if isinstance(each, PictureError)]
            warned = [each for each in outcomes if not isinstance(each, PictureError) and each.may_be_confused]
            counts.append(f"{len(refused)} of {len(outcomes)} refused, {len(warned)} warned of")
    return f"identities new to the gallery: {counts[0]}; known ones under another name: {counts[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--model")
    parser.add_argument("--people")
    given = parser.parse_args()
    if given.model and given.people:
        print(look_alikes(given.model, given.people))
        return
    for line in lines(given.data, given.most):
        print(line, flush=True)


if __name__ == "__main__":
    main()
