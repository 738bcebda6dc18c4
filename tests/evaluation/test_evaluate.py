"""A whole evaluation: what it measures, what it says, and that nothing is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from firstsight.data.identities import PictureSet, open_pictures
from firstsight.errors import DataError
from firstsight.evaluation import identification
from firstsight.evaluation.episodes import evaluate_episodes
from firstsight.evaluation.identification import draws, one_shot, recognize
from firstsight.evaluation.open_set import evaluate_open_set
from firstsight.evaluation.pixels import PixelSpace
from firstsight.evaluation.protocols import Evaluation, embed_set, evaluate
from firstsight.evaluation.retrieval import evaluate_retrieval
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer


def index_of(pictures: PictureSet, path: str) -> int:
    return pictures.paths.index(path)


def test_the_figures_are_those_of_the_protocols(evaluation: Evaluation) -> None:
    figures = evaluation.to_json()
    x_ND, labels_N = evaluation.embeddings, evaluation.labels
    known_N = x_ND.isfinite().all(1)
    assert figures["accuracy"] == one_shot(x_ND, labels_N, trials=30).accuracy
    q_ND = quantize(x_ND[known_N])
    left, right = np.triu_indices(len(q_ND), 1)
    same = (labels_N[known_N][left] == labels_N[known_N][right]).numpy()
    unreadable = len(x_ND) - 1  # pairs with the broken picture, all at distance 4; 6 of them are of ada
    distances = np.append(template_distances(q_ND, q_ND).numpy()[left, right], np.full(unreadable, 4.0))
    same = np.append(same, np.arange(unreadable) < 6)
    assert figures["auc"] == pytest.approx(roc_auc_score(same, -distances))
    assert figures["mean_distance_same"] == pytest.approx(distances[same].mean(), rel=1e-5)


def test_the_baseline_knows_the_same_pictures_by_their_pixels(evaluation: Evaluation) -> None:
    pictures = evaluation.pictures
    pixels_NF = torch.full((len(pictures), 64), torch.nan)
    for i in range(len(pictures)):
        if evaluation.readable(i):
            pixels_NF[i] = torch.tensor(np.asarray(pictures.picture(i)).reshape(-1), dtype=torch.float32)
    drawn = draws(evaluation.labels, trials=30, seed=0)
    expected = recognize(PixelSpace(pixels_NF), evaluation.labels, drawn)
    assert evaluation.pixels is not None
    assert evaluation.pixels.accuracy == expected.accuracy
    assert evaluation.to_json()["pixel_accuracy"] == expected.accuracy


def test_to_json_is_flat_and_complete(evaluation: Evaluation) -> None:
    figures = evaluation.to_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    plain = (str, int, float, bool, type(None))
    assert all(isinstance(value, plain) for key, value in figures.items() if key != "skipped_pictures")
    counts = {key: figures[key] for key in ("identities", "pictures", "trials", "ways", "pairs", "skipped")}
    assert counts == {
        "identities": 6, "pictures": 28, "trials": 30, "ways": 6, "pairs": 28 * 27 // 2, "skipped": 1,
    }  # fmt: skip
    assert figures["identifications"] == 30 * (28 - 6)
    assert figures["same_pairs"] + figures["different_pairs"] == figures["pairs"]
    assert figures["error"] == 1 - figures["accuracy"]
    for name in ("accuracy", "pixel_accuracy", "auc", "eer", "val_at_far_1e-1"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["val_at_far_1e-3"] is None
    assert "needs 3,000 comparisons" in figures["val_at_far_1e-3_refused"]


def test_what_cannot_be_read_is_listed_and_counts_as_a_mistake(evaluation: Evaluation) -> None:
    broken = index_of(evaluation.pictures, "ada/broken.png")
    (listed,) = evaluation.to_json()["skipped_pictures"]
    assert listed.startswith("ada/broken.png: is not a picture")
    assert evaluation.one_shot.probed[broken] > 0
    assert evaluation.one_shot.recognized[broken] == evaluation.pixels.recognized[broken] == 0
    assert not evaluation.readable(broken)


def test_embeddings_stand_at_the_places_of_their_pictures(model: Model, pictures: PictureSet) -> None:
    x_ND = embed_set(model, pictures)
    for path in ("ada/0.png", "dan/3.png", "张三/0.png"):
        i = index_of(pictures, path)
        assert torch.equal(x_ND[i], embed_pictures(model, [pictures.read(i)])[0])


def test_what_is_measured_is_what_a_user_gets(evaluation: Evaluation, model: Model) -> None:
    """The worst mistake, made again by hand: enroll the two pictures, identify the probe."""
    worst = evaluation.one_shot.mistakes[0]
    read = evaluation.pictures.read
    with Gallery("sqlite://") as gallery:
        recognizer = Recognizer(model, gallery, threshold=evaluation.operating_point.threshold)
        recognizer.enroll("right", read(worst.right))
        recognizer.enroll("wrong", read(worst.taken_for))
        decision = recognizer.identify(read(worst.probe))
    assert decision.nearest == "wrong"
    assert decision.distance == pytest.approx(worst.distance)
    assert decision.runner_up_distance == pytest.approx(worst.distance_to_right)


@pytest.mark.parametrize(
    ("protocol", "stages"),
    [
        (evaluate, {"Recognizing": 300, "Nearest pixels": 300}),
        (evaluate_episodes, {"Recognizing": 200, "Nearest pixels": 200}),
        (evaluate_retrieval, {"Ranking": 5}),
        (evaluate_open_set, {"Identifying": 400}),
    ],
)
def test_every_stage_is_told_to_its_end(
    model: Model,
    write_identities: Callable[..., Path],
    tmp_path: Path,
    protocol: Callable[..., Any],
    stages: dict[str, int],
) -> None:
    heard: list[tuple[str, int, int]] = []
    pictures = open_pictures(write_identities(tmp_path / "two", {"a": 3, "b": 2}))
    options = {evaluate_retrieval: {}, evaluate_episodes: {"episodes": 100, "ways": 2}}.get(protocol, {"trials": 100})
    protocol(model, pictures, **options, on_progress=lambda *told: heard.append(told))
    assert heard[:6] == [*(("Reading pictures", i, 5) for i in range(1, 6)), ("Embedding", 5, 5)]
    assert {stage: done for stage, done, _ in heard[6:]} == stages, "the last word on each"
    assert {stage: total for stage, _, total in heard[6:]} == stages


@pytest.mark.parametrize("protocol", [evaluate, evaluate_episodes, evaluate_retrieval, evaluate_open_set])
def test_an_embedding_without_direction_is_listed_and_leaves_the_others_alone(
    model: Model, write_identities: Callable[..., Path], tmp_path: Path, protocol: Callable[..., Any]
) -> None:
    """A blank picture has no deviation from its mean: this network makes zeros of it."""
    folder = write_identities(tmp_path / "set", {"a": 3, "b": 3}, noise=1)
    Image.new("L", (8, 8), 255).save(folder / "b" / "9.png")
    options = {"ways": 2} if protocol is evaluate_episodes else {}
    figures = protocol(model, open_pictures(folder), **options).to_json()
    assert figures["skipped_pictures"] == ["b/9.png: its embedding has no direction"]
    assert (figures["accuracy"] or 0) < 1


@pytest.mark.parametrize("counts", [{"a": 5}, {"a": 1, "b": 1}, {"a": 3, "b": 1}])
def test_too_few_identities_are_refused(
    model: Model, write_identities: Callable[..., Path], tmp_path: Path, counts: dict[str, int]
) -> None:
    pictures = open_pictures(write_identities(tmp_path / "few", counts))
    with pytest.raises(DataError, match="2 are needed"):
        evaluate(model, pictures)


def test_of_very_many_pictures_the_trials_are_fewer_unless_asked_for(
    model: Model, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """28 pictures of 6 identities: 6 x 22 comparisons a trial at most."""
    monkeypatch.setattr(identification, "COMPARISONS", 7 * 6 * 22)
    for protocol in (evaluate, evaluate_open_set):
        assert protocol(model, pictures).to_json()["trials"] == 7
        assert protocol(model, pictures, trials=9).to_json()["trials"] == 9
