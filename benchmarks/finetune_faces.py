"""The model faces, fine-tuned to dark and blurred pictures, and measured on people whom the run never saw.

    python benchmarks/finetune_faces.py recipes/finetune-faces.toml --data lfw_dev_aligned112.zip

Every aligned picture of people with two or more is darkened, blurred and given the noise of a cheap camera. The people
are divided into three parts: to learn from, to stop early on, and, seen by nothing in the run, to be measured. Printed
are the figures before and after on these last, with the intervals of the differences over people.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from glyphs import settings
from PIL import Image, ImageFilter

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.evaluation.comparison import compare
from firstsight.evaluation.protocol_pages import comparison_table
from firstsight.evaluation.protocols import Evaluation, evaluate
from firstsight.models.folder import Model, load_model, set_align
from firstsight.recipes import read_recipe, with_flags
from firstsight.workflows.train_run import train

LIGHT, NOISE = 0.15, 4.0
"""Share of the light that is left; standard deviation of the noise in levels of 256."""


def degraded(picture: Image.Image, blur: float, rng: np.random.Generator) -> Image.Image:
    """As a cheap camera sees it at night: out of focus, dark, and noisy."""
    soft = picture.convert("RGB").filter(ImageFilter.GaussianBlur(blur * rng.uniform(0.8, 1.2)))
    pixels_HWC = np.asarray(soft, np.float32) * (LIGHT * rng.uniform(0.7, 1.3))
    noisy_HWC = pixels_HWC + rng.normal(scale=NOISE, size=pixels_HWC.shape)
    return Image.fromarray(np.uint8(noisy_HWC.clip(0, 255)))


def write_parts(pictures: PictureSet, people: list[int], each: int, blur: float, folder: Path) -> list[Path]:
    """Identity folders of the first `each` degraded pictures of people, in as many parts as `people` counts."""
    rng = np.random.default_rng(0)
    by_person: dict[int, list[int]] = {}
    for index, label in enumerate(pictures.labels):
        by_person.setdefault(label, []).append(index)
    several = [label for label, indices in by_person.items() if len(indices) > 1]
    order = [several[i] for i in rng.permutation(len(several))]
    parts = []
    for number, count in enumerate(people):
        part, order = order[:count], order[count:]
        parts.append(folder / ("learn", "stop", "measure")[number])
        for label in part:
            place = parts[-1] / pictures.names[label]
            place.mkdir(parents=True)
            for index in by_person[label][:each]:
                degraded(pictures.picture(index), blur, rng).save(place / f"{index}.png")
    return parts


def measured(model: Model, pictures: PictureSet) -> Evaluation:
    return evaluate(set_align(model, "none"), pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True, help="aligned faces, of which each person has a folder")
    parser.add_argument("--people", nargs=3, type=int, default=[300, 100, 276], metavar=("LEARN", "STOP", "MEASURE"))
    parser.add_argument("--each", type=int, default=3, help="pictures of a person, at most")
    parser.add_argument("--blur", type=float, default=2.5, help="standard deviation in pixels")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learn, stop, measure = write_parts(
            open_pictures(options.data), options.people, options.each, options.blur, folder
        )
        recipe = with_flags(
            read_recipe(options.recipe), data=str(learn), val=str(stop), align="none", **settings(options.set)
        )
        begun = time.perf_counter()
        run = train(recipe, out=folder / "run", on_warning=print)
        print(f"{time.perf_counter() - begun:.0f} s")
        for row in run.updates:
            if "held_out" in row:
                print(f"epoch {row['epoch']}: AUC on the people to stop on {row['held_out']:.4f}")
        print(run.kept)
        pictures = open_pictures(measure)
        table = comparison_table(
            compare(measured(run.model, pictures), measured(load_model(recipe.start.model), pictures))
        )
        print(f"{len(pictures)} pictures of {len(pictures.names)} people whom the run never saw")
        for cells in (table.columns, *table.rows):
            print(" | ".join(cells))


if __name__ == "__main__":
    main()
