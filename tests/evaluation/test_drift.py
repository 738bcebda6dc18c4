"""Trends of confirmed distances: known drifts are found, noise is not, and little evidence says nothing."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from firstsight.evaluation.drift import NEEDED, Trend, drift, drifting_cameras, genuine_distance, trend
from firstsight.recognition.decision import Decision, Match, Rule, decide_identify, decide_verify
from firstsight.recognition.ledger_rows import Entry, Review

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = {"ada": START - timedelta(days=1), "bob": START - timedelta(days=1)}


def reviewed(decision: Decision, name: str | None, day: float = 0, camera: str | None = None) -> Entry:
    at = START + timedelta(days=day)
    said = Review(at, "confirmed" if decision.name == name else "corrected", "match" if name else "unknown", name)
    return Entry(id=1, at=at, kind="identify", decision=decision, camera=camera, reviews=(said,))


def confirmed(name: str, distance: float, day: float, camera: str | None = None, model: str = "m") -> Entry:
    return reviewed(decide_identify([Match(name, distance)], Rule(1.0), model=model), name, day, camera)


def points(distances: list[float], step: float = 1) -> list[tuple[datetime, float]]:
    return [(START + timedelta(days=step * i), distance) for i, distance in enumerate(distances)]


def test_which_distances_are_genuine() -> None:
    seen = decide_identify([Match("ada", 0.4), Match("bob", 0.9)], Rule(1.0))
    refused = decide_verify(Match("ada", 1.2), Rule(1.0))
    said = [reviewed(seen, "ada"), reviewed(refused, "ada"), reviewed(seen, "bob")]
    assert [genuine_distance(entry) for entry in said] == [0.4, 1.2, 0.9]
    unknown = [reviewed(seen, "cyd"), reviewed(seen, None), Entry(id=1, at=START, kind="identify", decision=seen)]
    assert [genuine_distance(entry) for entry in unknown] == [None, None, None]


def test_a_straight_line_is_found_with_the_day_on_which_it_crosses() -> None:
    found = trend("ada", "door", points([0.5 + 0.01 * i for i in range(20)]), 1.0)
    assert [found.slope, found.low, found.high] == pytest.approx([0.3, 0.3, 0.3])
    assert (found.days, found.advice) == (20, "enroll anew")
    assert found.distance == pytest.approx(0.69)
    assert found.crossing in (date(2026, 2, 19), date(2026, 2, 20))  # day 50, to a rounding error


def test_a_few_odd_days_do_not_bend_the_line() -> None:
    distances = [0.5 + 0.01 * i for i in range(20)]
    distances[17] = distances[3] = 3.0
    assert trend("ada", None, points(distances), 9.0).slope == pytest.approx(0.3, abs=0.03)


def test_locked_out_is_who_is_refused_one_time_in_ten() -> None:
    """Of forty days at the threshold's foot two of ten lie above it: no trend, yet due today."""
    distances = [0.8, 0.8, 0.8, 0.8, 1.1] * 8
    found = trend("ada", None, points(distances), 1.0)
    assert (found.slope, found.advice, found.crossing) == (0, "enroll anew", date(2026, 2, 9))
    assert trend("ada", None, points(distances), 1.2).advice == "steady"


def test_what_is_far_ahead_or_falls_is_steady() -> None:
    slow = trend("ada", None, points([0.2 + 0.001 * i for i in range(20)]), 1.0)
    assert (slow.advice, slow.crossing is not None) == ("steady", True)
    falling = trend("ada", None, points([0.9 - 0.01 * i for i in range(20)]), 1.0)
    assert (falling.advice, falling.crossing, falling.soonest) == ("steady", None, None)


def test_too_few_days_say_nothing_however_many_tries_they_hold() -> None:
    tries = [(at + timedelta(minutes=m), d) for at, d in points([0.1 * i for i in range(NEEDED - 1)]) for m in range(9)]
    found = trend("ada", None, tries, 1.0)
    assert (found.advice, found.days, found.slope, found.crossing) == ("too few", NEEDED - 1, None, None)
    assert trend("ada", None, [*tries, (START + timedelta(days=30), 0.9)], 1.0).slope is not None


def test_the_interval_of_the_fewest_days_holds_what_it_says() -> None:
    """95 % of the intervals hold the true slope; 400 of them fall below 92 % once in 300 times."""
    generator = np.random.default_rng(0)
    true = 0.01
    held = 0
    for _ in range(400):
        found = trend("ada", None, points(list(true * np.arange(NEEDED) + generator.normal(0, 0.05, NEEDED))), 9.0)
        held += found.low <= 30 * true <= found.high
    assert held >= 0.92 * 400


def test_people_and_cameras_are_apart_and_the_ones_to_enroll_come_first() -> None:
    days = range(NEEDED)
    entries = [confirmed("ada", 0.3 + 0.001 * (i % 3), i, "door") for i in days]
    entries += [confirmed("ada", 0.3, i, "gate") for i in range(3)]
    entries += [confirmed("bob", 0.5 + 0.04 * i, i, "door") for i in days]
    found = drift(sorted(entries, key=lambda e: e.at), LONG_AGO, "m")
    assert [(t.name, t.camera, t.advice) for t in found] == [
        ("bob", "door", "enroll anew"), ("ada", "door", "steady"), ("ada", "gate", "too few"),
    ]  # fmt: skip


def test_a_new_picture_is_a_new_beginning_and_another_model_another_scale() -> None:
    entries = [confirmed("ada", 0.5 + 0.04 * i, i) for i in range(NEEDED)]
    entries += [confirmed("ada", 0.1, NEEDED + i, model="other") for i in range(5)]
    assert drift(entries, LONG_AGO, "m")[0].days == NEEDED
    assert drift(entries, {"ada": START + timedelta(days=4)}, "m")[0].days == NEEDED - 4
    assert drift(entries, {}, "m") == []


def test_a_camera_before_which_most_people_drift_is_named() -> None:
    def t(camera: str | None, low: float | None) -> Trend:
        return Trend(name="x", camera=camera, days=10, advice="steady", low=low)

    trends = [t("a", 0.1), t("a", 0.1), t("a", -0.1), t("b", 0.1), t("b", 0.1), t("c", 0.1), t("c", -1), t("c", -1)]
    assert drifting_cameras([*trends, t(None, 1), t("a", None)]) == ["a"]
