import dataclasses
import json
import math

import pytest

from firstsight.model_config import OperatingPoint, Step
from firstsight.recognition.decision import Decision, Match, Rule, decide_identify, decide_verify, rule_of

JUST_ABOVE = math.nextafter(1.1, 2)


@pytest.mark.parametrize(("distance", "accepted"), [(0.0, True), (1.1, True), (JUST_ABOVE, False), (math.nan, False)])
def test_a_distance_of_the_threshold_is_accepted_and_the_next_number_is_not(distance: float, accepted: bool) -> None:
    identified = decide_identify([Match("ada", distance)], Rule(1.1))
    verified = decide_verify(Match("ada", distance), Rule(1.1))
    assert (identified.accepted, verified.accepted) == (accepted, accepted)
    assert identified.decision == ("match" if accepted else "unknown")
    assert verified.decision == ("match" if accepted else "different")


def test_an_unknown_has_no_name_but_its_nearest_is_told() -> None:
    decision = decide_identify(
        [Match("ada", 1.25), Match("bob", 1.5)], Rule(1.0, 0.9, 0.05, "c"), model="m", gallery_size=7
    )
    assert decision == Decision(
        decision="unknown",
        name=None,
        distance=1.25,
        threshold=1.0,
        nearest="ada",
        runner_up="bob",
        runner_up_distance=1.5,
        bound=0.05,
        model="m",
        calibration="c",
        gallery_size=7,
    )
    assert decision.margin == 0.25


@pytest.mark.parametrize(("margin", "verdict"), [(0.25, "match"), (0.125, "ambiguous"), (0.0, "ambiguous")])
def test_two_closer_than_the_spread_of_one_are_ambiguous(margin: float, verdict: str) -> None:
    decision = decide_identify([Match("ada", 0.5), Match("bob", 0.5 + margin)], Rule(1.0, spread=0.25))
    assert (decision.decision, decision.accepted) == (verdict, verdict == "match")
    assert (decision.name, decision.nearest, decision.runner_up) == (
        "ada" if verdict == "match" else None,
        "ada",
        "bob",
    )


def test_unknown_goes_before_ambiguous_and_one_alone_is_never_ambiguous() -> None:
    rule = Rule(1.0, spread=0.5)
    assert decide_identify([Match("ada", 1.25), Match("bob", 1.25)], rule).decision == "unknown"
    assert decide_identify([Match("ada", 0.5)], rule).decision == "match"


def test_the_rule_of_a_calibration_moves_with_the_size() -> None:
    steps = (Step(size=1, threshold=1.0, bound=0.05), Step(size=10, threshold=0.5, bound=0.04))
    point = OperatingPoint(
        threshold=1.0, target=0.05, accepted=1, comparisons=90, identities=10, steps=steps, spread=0.1
    )
    assert [rule_of(point, size).threshold for size in (0, 1, 2, 10, 11)] == [1.0, 1.0, 0.5, 0.5, 0.5]
    assert [rule_of(point, size).bound for size in (1, 10, 50, 1000)] == pytest.approx([0.05, 0.04, 0.2, 1.0])
    assert rule_of(point, 1) == Rule(1.0, 0.1, 0.05, point.version)
    assert point.version != dataclasses.replace(point, data="others").version
    assert rule_of(0.7, 50) == Rule(0.7)


def test_nobody_is_known_to_an_empty_gallery() -> None:
    decision = decide_identify([], Rule(4.0))
    assert (decision.decision, decision.name, decision.distance, decision.margin) == ("unknown", None, None, None)


def test_the_claimed_name_stays_in_a_no() -> None:
    decision = decide_verify(Match("ada", 2.0), Rule(1.0))
    assert (decision.decision, decision.name, decision.runner_up) == ("different", "ada", None)


def test_json_is_flat_and_complete() -> None:
    plain = json.loads(
        json.dumps(decide_identify([Match("ada", 0.5), Match("bob", 0.75)], Rule(1.0, 0.25, 0.1, "c")).to_json())
    )
    assert plain == {
        "decision": "match",
        "name": "ada",
        "distance": 0.5,
        "threshold": 1.0,
        "nearest": "ada",
        "runner_up": "bob",
        "runner_up_distance": 0.75,
        "bound": 0.1,
        "model": "",
        "calibration": "c",
        "gallery_size": 0,
        "margin": 0.25,
        "reason": "",
        "boxes": [],
    }
