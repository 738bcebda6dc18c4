import json
import math

import pytest

from firstsight.recognition.decision import Decision, Match, decide_identify, decide_verify

JUST_ABOVE = math.nextafter(1.1, 2)


@pytest.mark.parametrize(("distance", "accepted"), [(0.0, True), (1.1, True), (JUST_ABOVE, False), (math.nan, False)])
def test_a_distance_of_the_threshold_is_accepted_and_the_next_number_is_not(distance: float, accepted: bool) -> None:
    identified = decide_identify([Match("ada", distance)], 1.1)
    verified = decide_verify(Match("ada", distance), 1.1)
    assert (identified.accepted, verified.accepted) == (accepted, accepted)
    assert identified.decision == ("match" if accepted else "unknown")
    assert verified.decision == ("match" if accepted else "different")


def test_an_unknown_has_no_name_but_its_nearest_is_told() -> None:
    decision = decide_identify([Match("ada", 1.25), Match("bob", 1.5)], 1.0, model="m", gallery_size=7)
    assert decision == Decision(
        decision="unknown",
        name=None,
        distance=1.25,
        threshold=1.0,
        nearest="ada",
        runner_up="bob",
        runner_up_distance=1.5,
        model="m",
        gallery_size=7,
    )
    assert decision.margin == 0.25


def test_nobody_is_known_to_an_empty_gallery() -> None:
    decision = decide_identify([], 4.0)
    assert (decision.decision, decision.name, decision.distance, decision.margin) == ("unknown", None, None, None)


def test_the_claimed_name_stays_in_a_no() -> None:
    decision = decide_verify(Match("ada", 2.0), 1.0)
    assert (decision.decision, decision.name, decision.runner_up) == ("different", "ada", None)


def test_json_is_flat_and_complete() -> None:
    plain = json.loads(json.dumps(decide_identify([Match("ada", 0.5), Match("bob", 0.75)], 1.0).to_json()))
    assert plain == {
        "decision": "match",
        "name": "ada",
        "distance": 0.5,
        "threshold": 1.0,
        "nearest": "ada",
        "runner_up": "bob",
        "runner_up_distance": 0.75,
        "model": "",
        "gallery_size": 0,
        "margin": 0.25,
    }
