"""Products known from ONE catalogue picture: shelf photos as probes, products held out of training.

    python benchmarks/groceries.py recipes/groceries.toml --data grocery_dev_128.zip --folds 5

Takes the Grocery Store Dataset as published. The products are divided into folds; each fold is held out once, while
the network learns from the catalogue pictures and shelf photos of the others. Then every catalogue picture is enrolled
and the shelf photos of the products held out are identified: among the products held out, and among all of them. Beside
it stands the nearest catalogue picture by bare pixels. Intervals are over products.
"""

import argparse
import collections
import csv
import io
import itertools
import zipfile
from pathlib import Path

import numpy as np
from glyphs import settings, trained
from numpy.typing import NDArray

from firstsight.data.files import ZipFiles
from firstsight.data.identities import PictureSet
from firstsight.evaluation.bounds import share_interval
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.identification import Space, TemplateSpace
from firstsight.evaluation.pixels import PixelSpace
from firstsight.recipes import read_recipe, with_flags


def open_groceries(path: str) -> PictureSet:
    """Every product with its catalogue picture and its shelf photos of train.txt and val.txt."""
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("classes.csv").decode())))
        lines = [
            line for listed in ("train.txt", "val.txt") for line in archive.read(listed).decode().split("\n") if line
        ]
        stored = set(archive.namelist())
    names = tuple(row["Class Name (str)"] for row in rows)
    pictures = [(row["Iconic Image Path (str)"].lstrip("/"), int(row["Class ID (int)"])) for row in rows]
    pictures += [(photo, int(label)) for photo, label, _ in (line.split(", ") for line in lines if line)]
    if missing := [photo for photo, _ in pictures if photo not in stored]:
        raise SystemExit(f"{path} lacks {len(missing)} pictures that it lists: {missing[0]} …")
    paths, labels = zip(*pictures, strict=True)
    return PictureSet(source=path, paths=paths, labels=labels, names=names, files=ZipFiles(Path(path)))


def recognized(
    space: Space, labels_N: NDArray[np.int64], enrolled_C: NDArray[np.int64], probes_M: NDArray[np.int64]
) -> NDArray[np.bool_]:
    (found_M,) = space.nearest([(enrolled_C, probes_M)], lambda done: None)
    correct_M: NDArray[np.bool_] = (found_M >= 0) & (labels_N[enrolled_C][found_M] == labels_N[probes_M])
    return correct_M


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    recipe = with_flags(read_recipe(options.recipe), **settings(options.set))
    pictures = open_groceries(options.data)
    products = len(pictures.names)
    labels_N = np.array(pictures.labels)
    shelf_N = np.arange(len(pictures)) >= products  # the catalogue comes first, in the order of the labels
    fold_I = np.random.default_rng(recipe.training.seed).permutation(products) % options.folds
    right: dict[tuple[str, str], NDArray[np.bool_]] = collections.defaultdict(lambda: np.zeros(len(pictures), bool))
    for fold in range(options.folds):
        held_out_N = fold_I[labels_N] == fold
        model = trained(recipe, pictures.select(np.flatnonzero(~held_out_N)))
        embedded = embed(model, pictures)
        galleries = {"products held out": np.flatnonzero(fold_I == fold), "all products": np.arange(products)}
        probes_M = np.flatnonzero(held_out_N & shelf_N)
        spaces: dict[str, Space] = {
            "firstsight": TemplateSpace(embedded.embeddings), "nearest pixels": PixelSpace(embedded.as_pixels())
        }  # fmt: skip
        for (who, space), (among, enrolled_C) in itertools.product(spaces.items(), galleries.items()):
            right[who, among][probes_M] = recognized(space, labels_N, enrolled_C, probes_M)
        print(f"fold {fold + 1}: {(fold_I == fold).sum()} products, {len(probes_M)} photos", flush=True)
    for (who, among), right_N in right.items():
        share = share_interval(
            right_N[shelf_N].astype(int), np.ones(shelf_N.sum(), int), labels_N[shelf_N], unit="products"
        )
        print(
            f"{who}, among {among}: {right_N[shelf_N].mean():.1%} ({share.low:.1%} to {share.high:.1%}, {share.method})"
        )


if __name__ == "__main__":
    main()
