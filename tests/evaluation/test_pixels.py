"""The baseline without learning: against scikit-learn, and left out where it would take too long."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from firstsight.data.identities import PictureSet
from firstsight.evaluation import pixels as module
from firstsight.evaluation.episodes import evaluate_episodes
from firstsight.evaluation.identification import draws, recognize
from firstsight.evaluation.pages import headlines, write_evaluation
from firstsight.evaluation.pixels import PixelSpace
from firstsight.evaluation.protocol_pages import write_protocol
from firstsight.evaluation.protocols import evaluate
from firstsight.models.folder import Model


def scattered() -> tuple[Tensor, Tensor]:
    """18 vectors of 3 identities, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.tensor([0] * 6 + [1] * 5 + [2] * 7)[torch.randperm(18, generator=generator)]
    return torch.randn(3, 8, generator=generator)[labels_N] + torch.randn(18, 8, generator=generator), labels_N


def test_pixels_answer_as_scikit_learns_nearest_neighbor() -> None:
    x_NF, labels_N = scattered()
    x_NF, labels = 100 * x_NF, labels_N.numpy()
    result = recognize(PixelSpace(x_NF), labels_N, draws(labels_N, trials=15, seed=2))
    right = 0
    for enrolled_C, probes_M in draws(labels_N, trials=15, seed=2):
        nearest = KNeighborsClassifier(1).fit(x_NF[enrolled_C].numpy(), labels[enrolled_C])
        right += (nearest.predict(x_NF[probes_M].numpy()) == labels[probes_M]).sum()
    assert result.accuracy == pytest.approx(right / (15 * 15))
    assert 0.3 < result.accuracy < 0.95


def test_pixels_of_many_pictures_are_compared_lot_by_lot_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    x_NF, labels_N = scattered()
    x_NF[2] = torch.nan
    drawn = draws(labels_N, trials=15, seed=2)
    heard: list[int] = []
    whole = PixelSpace(x_NF).nearest(drawn, heard.append)
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", 7)
    monkeypatch.setattr(module, "WHOLE_MATRIX", 1)
    parts = PixelSpace(x_NF).nearest(drawn, heard.append)
    assert heard == [15] * 15 + [2, 2, 2, 2, 2, 2, 2, 1] * 15, "15 probes against 3 enrolled"
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("whole_matrix", [4096, 1])
def test_what_would_take_too_many_products_is_left_out_and_named(
    model: Model, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_matrix: int
) -> None:
    """28 pictures of 6 identities, 64 pixels each: all with all once, or 6 x 22 in each of 3 trials."""
    products = 64 * (28 * 28 if whole_matrix > 1 else 3 * 6 * 22)
    monkeypatch.setattr(module, "WHOLE_MATRIX", whole_matrix)
    monkeypatch.setattr(module, "PRODUCTS", products)
    assert evaluate(model, pictures, trials=3).pixels is not None
    monkeypatch.setattr(module, "PRODUCTS", products - 1)
    found = evaluate(model, pictures, trials=3)
    figures = found.to_json()
    assert figures["pixel_accuracy"] is None
    assert figures["pixel_accuracy_refused"].startswith("Nearest pixels are left out: they would take more than 10 ")
    assert headlines(found)[0].note.endswith("nearest pixels: left out")
    page = write_evaluation(tmp_path, found, title="", summary="").read_text("utf-8")
    assert figures["pixel_accuracy_refused"] in page


def test_episodes_name_it_too(
    model: Model, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRODUCTS", 0)
    found = evaluate_episodes(model, pictures, ways=3, episodes=5)
    page = write_protocol(tmp_path, found, title="", summary="").read_text("utf-8")
    assert found.to_json()["pixel_accuracy"] is None
    assert found.to_json()["pixel_accuracy_refused"] in page
