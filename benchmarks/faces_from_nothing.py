"""A network of FaceNet's smallest size, trained from nothing on a few thousand faces, beside raw pixels and LBP.

    python benchmarks/faces_from_nothing.py --data lfw_dev_aligned112.zip --pairs lfw_pairs_dev.txt

It learns from the people of all folds but the last, and calls the pairs of the last one the same or not. The threshold
of each tenth of these pairs is the one that is best on the other nine, for every contestant alike. Intervals are the
bootstrap over people. LBP are histograms of uniform local binary patterns in 7 x 7 cells (Ahonen et al. 2006), compared
by chi-square.
"""

import argparse
import time

import numpy as np
import torch
from glyphs import settings, trained
from numpy.typing import NDArray
from skimage.feature import local_binary_pattern

from firstsight.config import Recipe
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import PairList, read_pairs
from firstsight.evaluation.bounds import percentile_interval
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.folds import folded_accuracy
from firstsight.evaluation.pairs import Pairs, pair_distances, resampled_pairs
from firstsight.functional.curves import auc, roc
from firstsight.recipes import with_flags

CELLS = 7
NNS2 = {
    "network": "nns2", "height": 140, "width": 116, "color": "rgb", "fit": "crop", "identities": 30, "pictures": 4,
    "select": "semihard", "optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05, "augment": 1.0,
    "epochs": 15,
}  # fmt: skip

Distances = NDArray[np.float64]


def by_pixels(faces_NHW: NDArray[np.float64], left_P: list[int], right_P: list[int]) -> Distances:
    """Squared, of gray values brought to mean 0 and variance 1."""
    x_NF = faces_NHW.reshape(len(faces_NHW), -1)
    x_NF = (x_NF - x_NF.mean(1, keepdims=True)) / x_NF.std(1, keepdims=True)
    distance_P: Distances = np.square(x_NF[left_P] - x_NF[right_P]).mean(1)
    return distance_P


def by_patterns(faces_NHW: NDArray[np.float64], left_P: list[int], right_P: list[int]) -> Distances:
    histograms = []
    for face_HW in faces_NHW:
        codes_HW = local_binary_pattern(np.uint8(face_HW), 8, 2, "nri_uniform")
        cells = [cell for rows in np.array_split(codes_HW, CELLS) for cell in np.array_split(rows, CELLS, axis=1)]
        histograms.append(np.concatenate([np.bincount(cell.astype(int).ravel(), minlength=59) for cell in cells]))
    one_PF, other_PF = (np.array(histograms, float)[side] for side in (left_P, right_P))
    distance_P: Distances = (np.square(one_PF - other_PF) / np.maximum(one_PF + other_PF, 1)).sum(1)
    return distance_P


def last_fold(pair_list: PairList) -> tuple[list[int], list[int], list[bool]]:
    chosen = [i for i, fold in enumerate(pair_list.fold) if fold == pair_list.folds - 1]
    left, right = ([side[i] for i in chosen] for side in (pair_list.left, pair_list.right))
    return left, right, [pair_list.same[i] for i in chosen]


def few_of_each(pictures: PictureSet, left_out: set[int], most: int) -> list[int]:
    """The first pictures of everyone who is not left out."""
    counts: dict[int, int] = {}
    chosen = []
    for index, label in enumerate(pictures.labels):
        counts[label] = counts.get(label, 0) + 1
        if label not in left_out and counts[label] <= most:
            chosen.append(index)
    return chosen


def line(name: str, distances: Distances, pairs: tuple[list[int], list[int], list[bool]], labels: list[int]) -> str:
    """Accuracy with its interval over people, and the area under the ROC curve."""
    left_P, right_P, same_P = map(torch.tensor, pairs)
    found = Pairs(left_P, right_P, same_P, torch.from_numpy(distances), torch.tensor(labels), complete=True)
    tenth_P = torch.randperm(len(same_P), generator=torch.Generator().manual_seed(0)) % 10
    correct_P = folded_accuracy(found.distances, same_P, tenth_P).correct
    drawn = resampled_pairs(found, torch.arange(len(same_P)), draws=1000)
    share_R = np.array([weight_P @ correct_P.numpy() / weight_P.sum() for weight_P in drawn if weight_P.any()])
    accuracy = float(correct_P.double().mean())
    share = percentile_interval(accuracy, share_R)
    area = auc(roc(found.distances, same_P))
    return f"{name}: accuracy {accuracy:.1%} ({share.low:.1%} to {share.high:.1%}), AUC {area:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="aligned faces, of which each person has a folder")
    parser.add_argument("--pairs", required=True, help="a list in the format of LFW's pairs.txt")
    parser.add_argument("--most", type=int, default=12, help="pictures of a person to learn from")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    pictures = open_pictures(options.data)
    pairs = last_fold(read_pairs(options.pairs, pictures))
    named = sorted({*pairs[0], *pairs[1]})
    tested = pictures.select(named)
    place = {index: i for i, index in enumerate(named)}
    pairs = [place[i] for i in pairs[0]], [place[i] for i in pairs[1]], pairs[2]
    strangers = {pictures.labels[i] for i in named}
    learned = pictures.select(few_of_each(pictures, strangers, options.most))
    print(f"learned from: {len(learned)} pictures of {len(learned.names)} people")
    print(f"tested on: {len(pairs[2])} pairs of {len(named)} pictures of {len(strangers)} others", flush=True)

    faces_NHW = np.stack([np.asarray(tested.picture(i).convert("L"), float) for i in range(len(tested))])
    for name, contestant in (("raw pixels", by_pixels), ("LBP", by_patterns)):
        print(line(name, contestant(faces_NHW, *pairs[:2]), pairs, list(tested.labels)), flush=True)
    recipe = with_flags(Recipe(), **NNS2 | settings(options.set))
    begun = time.perf_counter()
    model = trained(recipe, learned)
    minutes = (time.perf_counter() - begun) / 60
    x_ND = embed(model, tested).embeddings
    distances = pair_distances(x_ND, torch.tensor(pairs[0]), torch.tensor(pairs[1])).double().numpy()
    name = f"{recipe.network.name}, {recipe.training.epochs} epochs in {minutes:.1f} min"
    print(line(name, distances, pairs, list(tested.labels)))


if __name__ == "__main__":
    main()
