"""What templates of int8 cost a trained model, beside its fp32 embeddings, on the protocols of `firstsight evaluate`.

    python benchmarks/int8.py --data omniglot/images_background.zip --held-out dev_runs_alphabets.txt

Pictures that the model `glyphs` never saw: random one-shot runs within an alphabet (as benchmarks/glyphs.py draws
them), open set, and the verification of every two pictures. The embeddings, the draws of lots and the code of the
protocols are the same for both; only what is compared differs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from gallery_search import EmbeddingSpace
from glyphs import RUNS, WAYS, runs
from numpy.typing import NDArray
from torch import Tensor

from firstsight.data.identities import open_pictures, split_by_group
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.identification import Draw, Space, TemplateSpace
from firstsight.evaluation.open_set import open_set
from firstsight.evaluation.pairs import picture_pairs
from firstsight.evaluation.probes import Identifications
from firstsight.functional.curves import auc, roc, val_at_far
from firstsight.models.folder import load_model


class EmbeddingProbes:
    """`Probes` without templates, and without decisions: the open-set protocol sets its own thresholds."""

    def __init__(self, _gallery: object, x_ND: Tensor, labels: NDArray[np.int64], _measured: object) -> None:
        self._x_ND, self._labels = x_ND, labels

    def enroll(self, picture_C: NDArray[np.int64]) -> None:
        self._enrolled_C = picture_C
        self._of_label = np.full(self._labels.max() + 1, -1)
        self._of_label[self._labels[picture_C]] = picture_C

    def identify(self, picture_M: NDArray[np.int64], on_done: Callable[[int], None]) -> Identifications:
        cosine_MC = self._x_ND[torch.from_numpy(picture_M)] @ self._x_ND[torch.from_numpy(self._enrolled_C)].T
        nearest_M = cosine_MC.max(1)
        taken_for_M = self._enrolled_C[nearest_M.indices.numpy()]
        distance_M = (2 - 2 * nearest_M.values).clamp(min=0).double().numpy()
        own_M = self._of_label[self._labels[picture_M]]
        on_done(len(picture_M))
        right_M = (taken_for_M == own_M) & (own_M >= 0)
        return Identifications(picture_M, distance_M, right_M, taken_for_M, own_M, np.zeros(len(picture_M), bool))


def one_shot(space: Space, drawn: list[Draw]) -> dict[str, float]:
    found = np.concatenate(space.nearest(drawn, lambda done: None))
    return {f"one-shot, {len(found):,} trials": float((found == np.tile(np.arange(WAYS), len(drawn))).mean())}


def verification(distance_P: Tensor, same_P: Tensor) -> dict[str, float]:
    named = f"{len(same_P):,} pairs"
    figures = {f"VAL at FAR {far}, {named}": val_at_far(distance_P, same_P, far).val for far in (0.01, 0.001)}
    return figures | {f"area under ROC, {named}": auc(roc(distance_P, same_P))}


def identification(x_ND: Tensor, labels_N: Tensor, trials: int) -> dict[str, float]:
    found = open_set(x_ND, labels_N, trials=trials)
    named = f"{len(found.known.picture):,} known, {len(found.unknown.picture):,} strangers"
    return {f"DIR at FPIR {at.target}, {named}": at.dir for at in found.dir_at_fpir if at.dir is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--trials", type=int, default=10, help="of the open set")
    given = parser.parse_args()
    _, pictures = split_by_group(open_pictures(given.data), given.held_out.read_text().split())
    x_ND, labels_N = embed(load_model("glyphs"), pictures).embeddings, torch.tensor(pictures.labels)
    drawn, pairs = runs(pictures, given.runs), picture_pairs(x_ND, labels_N)
    full = EmbeddingSpace(x_ND)
    fp32 = one_shot(full, drawn) | verification(full.distances(pairs.left, pairs.right), pairs.same)
    int8 = one_shot(TemplateSpace(x_ND), drawn) | verification(pairs.distances, pairs.same)
    int8 |= identification(x_ND, labels_N, given.trials)
    with mock.patch("firstsight.evaluation.open_set.Probes", EmbeddingProbes):
        fp32 |= identification(x_ND, labels_N, given.trials)
    print(f"glyphs, {len(labels_N):,} pictures of {len(labels_N.unique())} characters that it never saw, in percent\n")
    print("| what | fp32 | int8 | difference, points |\n|---|---:|---:|---:|")
    for what, figure in fp32.items():
        print(f"| {what} | {100 * figure:.3f} | {100 * int8[what]:.3f} | {100 * (int8[what] - figure):+.3f} |")


if __name__ == "__main__":
    main()
