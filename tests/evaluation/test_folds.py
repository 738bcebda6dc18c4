"""Accuracy over folds: against a search over every threshold, scikit-learn, and an example worked by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.errors import PictureError, UserError
from firstsight.evaluation.folds import best_threshold, evaluate_pairs, folded_accuracy
from firstsight.evaluation.protocol_pages import write_protocol
from firstsight.functional.quantize import quantize, template_distances
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model, set_operating_point
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer

some_pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.5]), st.booleans()), min_size=1, max_size=30)


@given(some_pairs)
def test_no_threshold_calls_more_pairs_right_than_the_best(drawn: list[tuple[float, bool]]) -> None:
    distance_P = np.array([distance for distance, _ in drawn])
    same_P = np.array([same for _, same in drawn])
    threshold = best_threshold(torch.tensor(distance_P), torch.tensor(same_P))
    accuracies = [accuracy_score(same_P, distance_P <= t) for t in (-1, 0, 0.25, 0.5, 1, 3.5)]
    assert accuracy_score(same_P, distance_P <= threshold) == max(accuracies)


def test_of_equally_good_thresholds_the_middle_is_taken() -> None:
    """All same pairs below 1, all different above 3: the gap's middle. Then three gaps of equal worth: the second."""
    one = best_threshold(torch.tensor([0.5, 1.0, 3.0, 4.0]), torch.tensor([True, True, False, False]))
    assert one == 2.0
    distances, same = [1.0, 2.0, 3.0, 4.0, 5.0], [True, False, True, False, True]
    assert best_threshold(torch.tensor(distances), torch.tensor(same)) == 3.5


def test_accuracy_over_folds_worked_by_hand() -> None:
    """Fold 0 is told apart at 1.5, fold 1 at 2.5: each is measured at the other's threshold.

    Fold 0 at 2.5: its different pair at 2 is wrong: 3 of 4. Fold 1 at 1.5: its same pair at 2 is wrong: 3 of 4. Fold 2
    at what is best on both (1.5 and 2.5 are equally good): both of its pairs are right.
    """
    distances = torch.tensor([1.0, 1.0, 2.0, 4.0, 1.0, 2.0, 3.0, 4.0, 0.5, 3.5])
    same = torch.tensor([True, True, False, False, True, True, False, False, True, False])
    fold = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    far = distances.clone()
    found = folded_accuracy(far, same, fold)
    assert found.fold_accuracies == (0.75, 0.75, 1.0)
    assert found.accuracy == pytest.approx(2.5 / 3)
    assert found.standard_error == pytest.approx(np.std([0.75, 0.75, 1.0], ddof=1) / np.sqrt(3))
    assert found.correct.tolist() == [True, True, False, True, True, False, True, True, True, True]


def test_the_threshold_of_a_fold_does_not_depend_on_its_own_pairs() -> None:
    distances, fold = torch.tensor([0.1, 0.9, 0.1, 0.9]), torch.tensor([0, 0, 1, 1])
    same = torch.tensor([True, False, True, False])
    turned = torch.tensor([False, True, True, False])
    one, other = folded_accuracy(distances, same, fold), folded_accuracy(distances, turned, fold)
    assert one.thresholds[0] == other.thresholds[0]
    assert (one.fold_accuracies[0], other.fold_accuracies[0]) == (1.0, 0.0)


def test_one_fold_is_refused() -> None:
    with pytest.raises(UserError, match="One fold gives no honest accuracy"):
        folded_accuracy(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), torch.tensor([0, 0]))


def test_of_one_fold_the_rates_are_given_and_the_accuracy_is_refused(
    model: Model, people: PictureSet, tmp_path: Path
) -> None:
    (tmp_path / "pairs.txt").write_text("2\nada 0 1\ncleo 0 2\nada 0 bo 0\nbo 1 cleo 1\n")
    found = evaluate_pairs(model, people, read_pairs(tmp_path / "pairs.txt", people))
    figures = found.to_json()
    assert (figures["accuracy"], figures["error"], figures["folds"]) == (None, None, 1)
    assert figures["accuracy_refused"].startswith("One fold gives no honest accuracy")
    assert figures["auc"] == pytest.approx(
        roc_auc_score(found.verification.pairs.same, -found.verification.pairs.distances)
    )
    page = write_protocol(tmp_path / "out", found, title="", summary="").read_text("utf-8")
    assert "One fold gives no honest accuracy" in page


def test_what_the_models_own_threshold_accepts_is_what_verify_accepts(
    model: Model, people: PictureSet, tmp_path: Path
) -> None:
    """Every listed pair again by hand: enroll one picture, verify the other. Unreadable ones are never accepted."""
    (tmp_path / "pairs.txt").write_text(PAIRS)
    point = OperatingPoint(threshold=1.3, target=0.1, accepted=0, comparisons=30, identities=9)
    found = evaluate_pairs(set_operating_point(model, point), people, read_pairs(tmp_path / "pairs.txt", people))
    pairs, own = found.verification.pairs, found.verification.own
    assert own is not None
    accepted = []
    for left, right in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
        with Gallery("sqlite://") as gallery:
            recognizer = Recognizer(found.model, gallery)
            try:
                recognizer.enroll("left", found.pictures.read(left))
                accepted.append(recognizer.verify("left", found.pictures.read(right)).accepted)
            except (PictureError, IndexError):  # broken, or not in the set
                accepted.append(False)
    assert 0 < sum(accepted) < len(accepted)
    same = pairs.same.tolist()
    assert own.val == pytest.approx(np.mean([yes for yes, is_same in zip(accepted, same, strict=True) if is_same]))
    assert own.far == pytest.approx(np.mean([yes for yes, is_same in zip(accepted, same, strict=True) if not is_same]))
    figures = found.to_json()
    assert figures["model_threshold"] == 1.3
    for name, value in (("val", own.val), ("far", own.far)):
        key = f"{name}_at_model_threshold"
        assert figures[f"{key}_low"] <= figures[key] == value <= figures[f"{key}_high"]


@pytest.fixture
def people(tmp_path: Path, write_identities: Callable[..., Path]) -> PictureSet:
    folder = write_identities(tmp_path / "people", {"ada": 3, "bo": 3, "cleo": 3, "never named": 3}, noise=90)
    (folder / "bo" / "2.png").write_bytes(b"broken")
    return open_pictures(folder)


PAIRS = """2\t2
ada\t0\t1
bo\t0\t2
ada\t0\tbo\t0
bo\t2\tcleo\t1
cleo\t0\t2
ada\t1\t7
ada\t2\tcleo\t2
dan\t1\tcleo\t0
"""


def test_pairs_are_measured_in_full_on_the_real_templates(model: Model, people: PictureSet, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(PAIRS)
    found = evaluate_pairs(model, people, read_pairs(tmp_path / "pairs.txt", people))
    pairs = found.verification.pairs

    def distance(one: str, other: str) -> float:
        x_2D = embed_pictures(model, [people.read(people.paths.index(f"{path}.png")) for path in (one, other)])
        return float(template_distances(quantize(x_2D), quantize(x_2D))[0, 1])

    expected = [
        distance("ada/0", "ada/1"), 4.0, distance("ada/0", "bo/0"), 4.0,
        distance("cleo/0", "cleo/2"), 4.0, distance("ada/2", "cleo/2"), 4.0,
    ]  # fmt: skip
    assert pairs.distances.tolist() == pytest.approx(expected)
    figures = found.to_json()
    assert figures["auc"] == pytest.approx(roc_auc_score(pairs.same, -pairs.distances))
    assert figures["accuracy"] == found.folded.accuracy
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert figures["unembedded"] == [
        "bo/0.png | bo/2.png", "bo/2.png | cleo/1.png", "ada/1.png | ada 7", "dan 1 | cleo/0.png",
    ]  # fmt: skip
    counts = {key: figures[key] for key in ("folds", "pairs", "same_pairs", "identities", "missing_pictures")}
    assert counts == {"folds": 2, "pairs": 8, "same_pairs": 4, "identities": 4, "missing_pictures": 2}
    assert figures["pictures"] == 8, "only pictures that are named are read"
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
