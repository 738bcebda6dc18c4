"""Strangers at the door: against a plain loop, and examples worked by hand."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from firstsight.data.identities import PictureSet
from firstsight.errors import UserError
from firstsight.evaluation.open_set import evaluate_open_set, open_set
from firstsight.functional.quantize import quantize, template_distances
from firstsight.model_config import OperatingPoint, Step
from firstsight.models.folder import Model, set_operating_point


def clusters(identities: int, pictures: int, *, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(identities).repeat_interleave(pictures)
    x_ND = torch.randn(identities, 8, generator=generator)[labels_N]
    x_ND = x_ND + spread * torch.randn(len(labels_N), 8, generator=generator)
    return torch.nn.functional.normalize(x_ND), labels_N


def test_identities_far_apart_are_told_from_strangers_without_error() -> None:
    found = open_set(torch.eye(8).repeat_interleave(4, dim=0), torch.arange(8).repeat_interleave(4), threshold=0.5)
    assert (found.dir, found.fpir) == (1.0, 0.0)
    assert found.gallery_size == 4
    assert len(found.known.right) == 100 * 4 * 3
    assert len(found.unknown.right) == 100 * 4 * 4
    assert found.dir_interval is not None
    assert found.fpir_interval is not None
    assert found.dir_interval.low < 1
    assert found.fpir_interval.high > 0


def test_every_identity_is_known_in_some_trials_and_a_stranger_in_others() -> None:
    x_ND, labels_N = clusters(6, 3, spread=0.1)
    found = open_set(x_ND, labels_N, trials=40)
    labels = labels_N.numpy()
    assert set(labels[found.known.picture]) == set(labels[found.unknown.picture]) == set(range(6))


def test_the_nearest_distance_and_the_rates_against_a_plain_loop() -> None:
    x_ND, labels_N = clusters(20, 5, spread=0.7)
    found = open_set(x_ND, labels_N, trials=1, threshold=0.4, fpirs=(0.1, 0.07))
    labels = labels_N.numpy()
    d_NN = template_distances(quantize(x_ND), quantize(x_ND)).numpy()
    known = set(labels[found.known.picture])
    enrolled = [i for i in range(100) if labels[i] in known and i not in found.known.picture]
    assert len(enrolled) == found.gallery_size == 10
    nearest = {probe: min(enrolled, key=lambda i: d_NN[probe, i]) for probe in range(100)}
    for probes in (found.known, found.unknown):
        for probe, distance, right in zip(probes.picture, probes.distance, probes.right, strict=True):
            assert distance == d_NN[probe, nearest[probe]]
            assert right == (labels[nearest[probe]] == labels[probe])
    assert found.dir == np.mean(found.known.right & (found.known.distance <= 0.4))
    assert found.fpir == np.mean(found.unknown.distance <= 0.4)
    assert 0 < found.fpir < 1
    right = [*(found.known.right & (found.known.distance <= 0.4)), *(found.unknown.distance > 0.4)]
    assert found.accuracy == pytest.approx(np.mean(right))
    assert found.accuracy_interval is not None
    assert found.accuracy_interval.low < found.accuracy < found.accuracy_interval.high
    known_pairs = {(probe, own) for probe, own in zip(found.known.picture, found.known.own, strict=True)}
    assert known_pairs == {(i, e) for i in found.known.picture for e in enrolled if labels[e] == labels[i]}
    strangers = {(probe, nearest[probe]) for probe in found.unknown.picture.tolist()}
    assert known_pairs | strangers == set(zip(found.met.left.tolist(), found.met.right.tolist(), strict=True))
    for mistake in found.mistakes:
        assert mistake.taken_for == nearest[mistake.probe]
        assert labels[mistake.right] == labels[mistake.probe] != labels[mistake.taken_for]
    assert len(found.mistakes) == (~found.known.right).sum() > 3
    distances = np.unique(np.append(found.known.distance, found.unknown.distance))
    for point in found.dir_at_fpir:
        threshold = max(t for t in distances if (found.unknown.distance <= t).mean() <= point.target)
        assert point.threshold == threshold
        assert point.dir == np.mean(found.known.right & (found.known.distance <= threshold))
        assert point.fpir == np.mean(found.unknown.distance <= threshold) <= point.target
        assert point.interval is not None
        assert point.interval.low < point.dir < point.interval.high


def test_the_curve_passes_through_the_points() -> None:
    found = open_set(*clusters(20, 5, spread=0.7), trials=3, fpirs=(0.1,))
    fpir, dir_ = found.curve()
    (point,) = found.dir_at_fpir
    assert np.all(np.diff(fpir) > 0)
    assert np.all(np.diff(dir_) >= 0)
    assert dir_[fpir <= 0.1][-1] <= point.dir <= dir_[fpir > 0.1][0]


def test_a_wrong_name_is_no_detection_however_near() -> None:
    """Two identities at one place, enrolled together: the nearest is the first, so the second is never detected."""
    x_ND = torch.eye(4)[[0, 0, 0, 0, 1, 1, 2, 2]]
    found = open_set(x_ND, torch.arange(4).repeat_interleave(2), trials=60, threshold=0.1)
    labels = found.known.picture // 2
    together = [t for t in range(0, len(labels), 2) if set(labels[t : t + 2]) == {0, 1}]
    assert together
    for t in together:
        assert found.known.right[t : t + 2].tolist() == [True, False]
    strangers = np.isin(found.unknown.picture // 2, (0, 1))
    assert found.unknown.accepted[strangers].any(), "0 is a stranger who looks like 1 when only 1 is enrolled"
    assert not found.unknown.accepted[~strangers].any()


def test_what_could_not_be_embedded_is_detected_by_nobody_and_alarms_nobody() -> None:
    x_ND = torch.eye(4).repeat_interleave(3, dim=0)
    x_ND[0] = torch.nan
    found = open_set(x_ND, torch.arange(4).repeat_interleave(3), trials=60, threshold=0.5)
    for probes in (found.known, found.unknown):
        broken = probes.picture == 0
        assert broken.any()
        assert set(probes.distance[broken]) == {4.0}
        assert not (probes.right | probes.accepted)[broken].any()
    assert found.fpir == 0
    assert found.dir is not None
    assert found.dir < 1


def test_a_rate_that_the_strangers_cannot_support_is_refused() -> None:
    """10 identities of 20 pictures, of which 10 count: 100 probes of strangers support 3 in 100."""
    found = open_set(*clusters(10, 20, spread=0.5), trials=30, fpirs=(0.03, 0.02))
    supported, refused = found.dir_at_fpir
    assert supported.dir is not None
    assert refused.dir is None
    assert refused.refused == (
        "FPIR 2e-2 needs 150 probes of strangers, and there are 100, of one stranger at most 10 counted: the "
        "tightest FPIR is 0.03."
    )


def test_only_strangers_that_were_probed_count_as_evidence() -> None:
    """One trial of 10 identities of 20 pictures has 5 strangers: 50 probes count, which support 6 in 100."""
    found = open_set(*clusters(10, 20, spread=0.5), trials=1, fpirs=(0.06, 0.05))
    assert [point.refused == "" for point in found.dir_at_fpir] == [True, False]


def test_where_nobody_enrolled_is_probed_more_trials_are_asked_for() -> None:
    labels_N = torch.tensor([0, 0, *range(1, 40)])
    with pytest.raises(UserError, match="Nobody who was enrolled has another picture .* Give more --trials"):
        open_set(torch.eye(41), labels_N, trials=1, seed=2)


def test_without_a_threshold_there_are_no_decisions_to_count() -> None:
    found = open_set(*clusters(4, 3, spread=0.5), trials=2)
    assert found.dir is found.fpir is found.dir_interval is found.threshold is None


def test_a_set_is_measured_at_the_models_own_threshold(model: Model, pictures: PictureSet) -> None:
    point = OperatingPoint(threshold=0.6, target=0.01, accepted=0, comparisons=300, identities=30)
    figures = evaluate_open_set(set_operating_point(model, point), pictures, trials=10).to_json()
    assert figures["threshold"] == 0.6
    for name in ("dir", "fpir"):
        assert 0 <= figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"] <= 1
    assert (figures["trials"], figures["gallery_size"], figures["skipped"]) == (10, 3, 1)
    assert figures["known_identifications"] + figures["unknown_identifications"] == 10 * (28 - 3)
    assert "needs 3,000 probes of strangers" in figures["dir_at_fpir_1e-3_refused"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    without = evaluate_open_set(model, pictures, trials=2).to_json()
    assert "dir" not in without
    assert (without["accuracy"], without["error"]) == (None, None)
    assert without["accuracy_refused"].startswith("The model has no threshold of its own")


def stepped(threshold: float, *, bound: float = 0.1, spread: float | None = None) -> OperatingPoint:
    """One that takes `threshold` for five and more."""
    steps = (Step(size=4, threshold=2.0, bound=0.1), Step(size=100, threshold=threshold, bound=bound))
    return OperatingPoint(
        threshold=2.0, target=0.1, accepted=0, comparisons=90, identities=90, steps=steps, spread=spread
    )


def test_decisions_are_taken_by_the_rule_for_as_many_as_are_enrolled() -> None:
    people = clusters(20, 3, spread=0.5)
    by_hand = open_set(*people, trials=5, threshold=0.25)
    moved = open_set(*people, trials=5, threshold=stepped(0.25))
    assert (moved.dir, moved.fpir, moved.threshold) == (by_hand.dir, by_hand.fpir, 0.25)
    assert open_set(*people, trials=5, threshold=2.0).fpir != moved.fpir
    assert (by_hand.promise, by_hand.verdict()) == (None, None)


def test_an_ambiguous_answer_names_nobody() -> None:
    found = open_set(*clusters(20, 3, spread=0.5), trials=5, threshold=stepped(4.0, spread=4.0))
    assert (found.dir, found.fpir) == (0, 0)


@pytest.mark.parametrize(
    ("threshold", "bound", "said"),
    [(0.0, 0.1, "kept"), (4.0, 0.9, "broken"), (4.0, 1.0, None)],
)
def test_the_promise_is_held_against_what_happened(threshold: float, bound: float, said: str | None) -> None:
    found = open_set(*clusters(40, 3, spread=0.5), trials=20, threshold=stepped(threshold, bound=bound))
    assert found.verdict() == said
    assert found.promise == (bound if said else None)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_too_few_identities_are_refused(labels: list[int]) -> None:
    with pytest.raises(UserError, match="Strangers cannot be told from the enrolled on"):
        open_set(torch.eye(3), torch.tensor(labels))
