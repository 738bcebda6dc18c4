"""The threshold with a promise: against plain loops, and whether the promise is kept where the truth is known."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from firstsight.errors import UserError
from firstsight.evaluation.bounds import mean_upper_bound
from firstsight.evaluation.calibration import (
    Strangers,
    calibrate,
    genuine_spread,
    met_strangers,
    rank_weights,
    supported_target,
)
from firstsight.evaluation.promise import at_size, group_warnings, promise, promise_lines
from firstsight.functional.quantize import paired_distances, quantize, template_distances
from firstsight.model_config import OperatingPoint

CALIBRATIONS = 200
KEPT = 0.93


def unit(x_ND: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(np.asarray(x_ND, np.float32)))


def strangers_of(x_ND: Tensor) -> Strangers:
    return met_strangers(quantize(x_ND), np.arange(len(x_ND)), np.ones(len(x_ND), bool))


def random_people(count: int, *, size: int = 8, seed: int = 0) -> Tensor:
    return unit(np.random.default_rng(seed).normal(size=(count, size)))


# what is measured


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_rate_is_the_share_over_all_strangers_and_all_galleries(size: int) -> None:
    x_ND = random_people(6, size=3)
    d_NN = template_distances(quantize(x_ND), quantize(x_ND)).numpy()
    for threshold in np.unique(d_NN).tolist():
        let_in = [
            d_NN[stranger, list(gallery)].min() <= threshold
            for stranger in range(6)
            for gallery in itertools.combinations([i for i in range(6) if i != stranger], size)
        ]
        assert strangers_of(x_ND).rate(threshold, size) == pytest.approx(np.mean(let_in))


def test_every_gallery_has_one_nearest() -> None:
    for others, size in [(1, 1), (9, 4), (500, 499), (500, 500)]:
        assert rank_weights(others, size).sum() == pytest.approx(1)
    assert rank_weights(7, 1) == pytest.approx(np.full(7, 1 / 7))
    assert rank_weights(7, 7) == pytest.approx([1, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("target", [0.1, 0.2])
def test_each_threshold_keeps_the_bound_and_no_larger_one_would(target: float) -> None:
    x_ND = random_people(80)
    strangers = strangers_of(x_ND)
    distance_M = np.unique(strangers.distance_SR)
    point = calibrate(x_ND, torch.arange(80), target=target)
    for step in point.steps:
        parts, size = max(1.0, step.size / 40), min(step.size, 40)
        assert step.bound == pytest.approx(parts * mean_upper_bound(strangers.rate(step.threshold, size), 40))
        assert step.bound <= target * (1 + 1e-6)
        larger = float(distance_M[distance_M > step.threshold][0])
        assert parts * mean_upper_bound(strangers.rate(larger, size), 40) > target
    assert (point.identities, point.comparisons) == (80, 80 * 79)
    assert point.accepted == (strangers.distance_SR <= point.threshold).sum() > 0
    assert point.steps[-1].size == int(40 * target / mean_upper_bound(0, 40))


def test_the_threshold_falls_as_the_gallery_grows() -> None:
    thresholds = [
        calibrate(random_people(120), torch.arange(120), target=0.1).at(size).threshold for size in (1, 9, 60)
    ]
    assert thresholds[0] > thresholds[1] > thresholds[2] > 0


def test_more_pictures_of_an_identity_are_no_more_identities() -> None:
    x_ND = random_people(30).repeat_interleave(6, dim=0)
    once, often = calibrate(x_ND[::6], torch.arange(30)), calibrate(x_ND, torch.arange(30).repeat_interleave(6))
    assert once.steps == often.steps
    assert once.identities == often.identities == 30


def test_pictures_that_could_not_be_embedded_are_left_out() -> None:
    x_ND = torch.cat([random_people(30), torch.full((3, 8), torch.nan)])
    assert calibrate(x_ND, torch.arange(33)) == calibrate(x_ND[:30], torch.arange(30))


def test_a_collapsed_model_gets_a_threshold_that_accepts_nothing() -> None:
    point = calibrate(torch.ones(40, 4) / 2, torch.arange(40) % 20)
    assert {step.threshold for step in point.steps} == {-1.0}
    assert point.accepted == 0


def test_two_who_look_the_same_do_not_make_a_large_gallery_know_nobody() -> None:
    """The last threshold that lets anybody in stays, and its bound says what that costs."""
    x_ND = random_people(400)
    x_ND[1] = x_ND[0]
    point = calibrate(x_ND, torch.arange(400), target=0.1)
    last = point.steps[-1]
    assert all(step.threshold > 0 for step in point.steps)
    assert last.bound <= 0.1 < point.at(100 * last.size).bound
    assert point.at(100 * last.size).threshold == last.threshold
    assert "more than the target, as the gallery is too large" in at_size(point, 100 * last.size)


def test_who_knows_nobody_says_so() -> None:
    point = calibrate(torch.ones(40, 4) / 2, torch.arange(40) % 20)
    assert "no threshold keeps the target, so nobody is recognized." in " ".join(promise_lines(point))
    assert at_size(point, 7) == "With 7 templates enrolled, identify knows nobody: no threshold keeps the target."


def test_the_spread_against_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3])
    q_ND = quantize(unit(rng.normal(size=(5, 8))[labels] + 0.3 * rng.normal(size=(14, 8))))
    d_NN = template_distances(q_ND, q_ND).numpy()
    of_identity = []
    for label in (0, 1, 2):  # 3 has two pictures only
        own = np.flatnonzero(labels == label)
        triples = [(e, p, q) for e in own for p in own for q in own if len({e, p, q}) == 3]
        of_identity.append(np.mean([abs(d_NN[e, p] - d_NN[e, q]) for e, p, q in triples]))
    assert genuine_spread(q_ND, labels) == pytest.approx(np.median(of_identity), rel=1e-5)
    assert genuine_spread(q_ND[-2:], labels[-2:]) is None


# what is refused, and what is taken


@pytest.mark.parametrize(
    ("identities", "target"),
    [(9000, 0.001), (5990, 0.001), (598, 0.01), (597, 0.02), (412, 0.02), (118, 0.05), (116, 0.1), (12, 0.5)],
)
def test_auto_takes_the_tightest_round_target_that_the_identities_support(identities: int, target: float) -> None:
    assert supported_target(identities, None) == pytest.approx(target)
    assert supported_target(identities, target) == target


def test_a_target_that_the_identities_cannot_support_is_refused_with_the_number_needed() -> None:
    with pytest.raises(
        UserError, match=r"A rate of 0\.01 needs 598 identities, and there are 597: they support 0\.01 "
    ):
        supported_target(597, 0.01)
    with pytest.raises(
        UserError,
        match=r"needs 59,912 identities, and no more than 6,000 are compared: they support 0\.001 at best\. Give a l",
    ):
        supported_target(70_000, 0.0001)
    with pytest.raises(UserError, match=r"a rate\. Give one above 0 and below 1, or auto"):
        supported_target(597, 0)
    with pytest.raises(UserError, match="two identities or more"):
        calibrate(random_people(3), torch.zeros(3, dtype=torch.int64))


# whether the promise is kept


def even(count: int, rng: np.random.Generator) -> Tensor:
    return unit(rng.normal(size=(count, 8)))


def families(count: int, rng: np.random.Generator) -> Tensor:
    """40 families of look-alikes."""
    center_FD = np.random.default_rng(7).normal(size=(40, 8))
    return unit(center_FD[rng.integers(40, size=count)] + 0.35 * rng.normal(size=(count, 8)))


def skewed(count: int, rng: np.random.Generator) -> Tensor:
    """200 families, some very large, most small."""
    share_F = 1 / np.arange(1, 201)
    center_FD = np.random.default_rng(8).normal(size=(200, 8))
    family = rng.choice(200, size=count, p=share_F / share_F.sum())
    return unit(center_FD[family] + 0.4 * rng.normal(size=(count, 8)))


def resembling(share: float) -> Callable[[int, np.random.Generator], Tensor]:
    """A few who resemble everyone, the worst case: one to one, a rate of twice their share hangs on whether one of
    them is among the calibration data."""

    def people(count: int, rng: np.random.Generator) -> Tensor:
        x_ND = np.sqrt(0.7 / 511) * rng.normal(size=(count, 512))
        x_ND[:, 0] = np.sqrt(0.3)
        x_ND[rng.random(count) < share] = np.eye(512)[0]
        return unit(x_ND)

    return people


def nearest_of_strangers(people: Callable[..., Tensor], size: int) -> np.ndarray:
    """The truth: to the nearest of fresh galleries, sorted."""
    rng = np.random.default_rng(99)
    if size == 1:
        return np.sort(paired_distances(*map(quantize, people(40_000, rng).chunk(2))).numpy())
    found = [template_distances(*map(quantize, (people(100, rng), people(size, rng)))) for _ in range(200)]
    return np.sort(torch.cat([d_SG.min(1).values for d_SG in found]).numpy())


@pytest.mark.parametrize(
    ("people", "sizes"),
    [(even, (1, 10, 60, 110)), (families, (1, 10, 60)), (skewed, (1, 10, 60)), (resembling(0.028), (1,))],
    ids=["even", "families", "skewed", "resembling"],
)
@pytest.mark.parametrize("target", [0.05, 0.1])
def test_the_promise_is_kept_in_93_of_100_calibrations(
    people: Callable[..., Tensor], sizes: tuple[int, ...], target: float
) -> None:
    points = [
        calibrate(people(120, np.random.default_rng(seed)), torch.arange(120), target=target)
        for seed in range(CALIBRATIONS)
    ]
    for size in sizes:
        nearest = nearest_of_strangers(people, size)
        rates = [np.searchsorted(nearest, p.at(size).threshold, side="right") / len(nearest) for p in points]
        kept = np.mean([rate <= max(target, p.at(size).bound) for rate, p in zip(rates, points, strict=True)])
        assert kept >= KEPT, f"{size} enrolled: {kept:.1%}"
        assert np.mean(rates) > 0, "a threshold that lets nobody in keeps any promise"


def test_to_count_each_person_both_as_stranger_and_as_enrolled_would_break_it() -> None:
    """120 people give 60 comparisons that share nobody. Who counts 120 promises half, and fails one time in seven."""
    people = resembling(0.016)
    claimed = mean_upper_bound(0.0, 120)
    nearest = nearest_of_strangers(people, 1)
    kept = []
    for seed in range(CALIBRATIONS):
        strangers = strangers_of(people(120, np.random.default_rng(seed)))
        threshold = np.nextafter(strangers.distance_SR.min(), np.float32(-1))
        kept.append((nearest <= threshold).mean() <= claimed)
    assert np.mean(kept) < KEPT


# groups, and words


def grouped() -> tuple[OperatingPoint, OperatingPoint]:
    """200 people, of which every fourth is of the group `like`, and these resemble each other; and without groups."""
    rng = np.random.default_rng(5)
    x_ND = rng.normal(size=(200, 8))
    groups = ["like" if i % 4 == 0 else "other" for i in range(200)]
    x_ND[::4] = x_ND[0] + 0.35 * x_ND[::4]
    labels_N = torch.arange(200)
    return calibrate(unit(x_ND), labels_N, target=0.1, groups=groups), calibrate(unit(x_ND), labels_N, target=0.1)


def test_a_group_of_look_alikes_is_told_from_the_others() -> None:
    point, without = grouped()
    assert point.steps == without.steps
    assert [(rate.group, rate.identities, rate.size) for rate in point.groups] == [
        ("like", 50, 1), ("like", 50, 100), ("other", 150, 1), ("other", 150, 100),
    ]  # fmt: skip
    for rate in point.groups:
        assert rate.low <= rate.rate <= rate.bound <= rate.high
    like, other = point.groups[0], point.groups[2]
    assert like.rate > other.rate
    # the groups together are everyone
    assert (50 * like.rate + 150 * other.rate) / 200 == pytest.approx(point.accepted / point.comparisons)
    (warning,) = (line for line in group_warnings(point) if "group like" in line)
    assert warning.startswith("Warning: for the group like the bound is ") or "more often than promised" in warning
    assert list(group_warnings(without)) == []


def test_a_group_of_which_nobody_is_compared_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many identities some are drawn: of a group of one, mostly nobody."""
    monkeypatch.setattr("firstsight.evaluation.calibration.MOST_IDENTITIES", 40)
    x_ND, found = random_people(120), set()
    for alone in range(12):
        groups = ["alone" if i == alone else "other" for i in range(120)]
        found.add(tuple({rate.group for rate in calibrate(x_ND, torch.arange(120), groups=groups).groups}))
    assert found == {("other",), ("alone", "other")} or found == {("other",), ("other", "alone")}


def test_pictures_of_one_identity_may_be_of_two_groups() -> None:
    """A camera that shows everyone alike: strangers before it pass, the same people before the other do not."""
    clear_ND = random_people(60)
    blurred_ND = unit((clear_ND + 20 * clear_ND[:1]).numpy())
    x_ND, labels_N = torch.cat([clear_ND, blurred_ND]), torch.arange(60).repeat(2)
    point = calibrate(x_ND, labels_N, target=0.2, groups=["clear"] * 60 + ["blurred"] * 60)
    rates = {(rate.group, rate.size): rate for rate in point.groups}
    assert rates["blurred", 1].identities == rates["clear", 1].identities == 60
    assert rates["blurred", 30].rate > rates["clear", 30].rate


def test_the_promise_in_words() -> None:
    point = calibrate(random_people(120).repeat_interleave(3, dim=0), torch.arange(120).repeat_interleave(3))
    assert promise(point) == (
        "At most 1 stranger in 20 is let in, 95 % sure, from 120 identities that were compared with each other: one to "
        "one, and one to many with up to 61 templates enrolled."
    )
    lines = list(promise_lines(point))
    assert "To promise 1 stranger in 50, bring 298 identities." in lines
    assert "at most 1 stranger in" in at_size(point, 10)
    assert "up to 24.4 % of strangers may be let in: more than the target" in at_size(point, 300)
    few = calibrate(random_people(6), torch.arange(6))
    assert promise(few).startswith("6 identities are too few to promise anything")
    assert any(line.startswith("Nobody has three pictures") for line in promise_lines(few))
