"""What firstsight says about a picture, and on what grounds. Pure: no gallery, no network."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from firstsight.errors import Box, GalleryError, PictureUnfit, Unfit
from firstsight.model_config import OperatingPoint

Answer = Literal["match", "unknown", "ambiguous", "different", Unfit]


class Match(NamedTuple):
    """An enrolled identity, and the squared L2 distance (0 ... 4) of its nearest template to the probe."""

    name: str
    distance: float


@dataclasses.dataclass(frozen=True)
class Rule:
    """By what to decide: `threshold` and `spread` are squared L2 distances.

    `bound` is the one-sided 95 % upper bound of the share of strangers who pass (docs/promise.md), of the calibration
    that `calibration` names; None where the threshold was given by hand.
    """

    threshold: float
    spread: float = 0.0
    bound: float | None = None
    calibration: str = ""


def refuse_threshold(threshold: float | None) -> None:
    """Raises GalleryError: one was given by hand that is no squared L2 distance of unit vectors."""
    if threshold is not None and not 0 <= threshold <= 4:
        raise GalleryError(f"The threshold {threshold} is not a squared distance.", hint="Give one from 0 to 4.")


def never_measured(model: str) -> GalleryError:
    """What is said where no threshold was given, and none was measured for the model of this name."""
    return GalleryError(
        f"The model {model} has no operating point: where 'the same' ends was never measured.",
        hint=f"Measure it: firstsight calibrate --model {model} --data PEOPLE; or give a threshold (0 to 4).",
    )


def rule_of(measured: OperatingPoint | float, size: int) -> Rule:
    """The rule for a comparison with `size` templates: of a calibration, or of a threshold given by hand.

    Example:
        >>> rule_of(1.1, 300)
        Rule(threshold=1.1, spread=0.0, bound=None, calibration='')
    """
    if not isinstance(measured, OperatingPoint):
        return Rule(measured)
    step = measured.at(size)
    return Rule(step.threshold, measured.spread or 0.0, step.bound, measured.version)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict with its evidence. Distances are squared L2, 0 ... 4; `margin` is how much farther the runner-up is.

    `match`: it is `name`. `unknown`: nobody enrolled is near enough, and `name` is None. `ambiguous`: two are near, and
    `margin` is less than one identity's own distances differ by from picture to picture; `name` is None. `different`:
    it is not `name`, whom it claimed to be. `no face`, `several faces`, `too small`, `vetoed`: nothing was compared,
    for the `reason` given; `name` is whom it claimed to be, and `boxes` say where faces lie. `nearest` is the closest
    identity compared, whatever the verdict. `bound` is the one-sided 95 % upper bound of the share of strangers who
    would pass here, `calibration` names its evidence. `gallery_size` is how many identities are enrolled; the threshold
    goes by how many templates were compared, and a name may have several.
    """

    decision: Answer
    name: str | None
    distance: float | None
    threshold: float
    nearest: str | None = None
    runner_up: str | None = None
    runner_up_distance: float | None = None
    bound: float | None = None
    model: str = ""
    calibration: str = ""
    gallery_size: int = 0
    reason: str = ""
    boxes: tuple[Box, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.decision == "match"

    @property
    def margin(self) -> float | None:
        if self.distance is None or self.runner_up_distance is None:
            return None
        return self.runner_up_distance - self.distance

    def to_json(self) -> dict[str, Any]:
        """A flat dict of plain values."""
        return {**dataclasses.asdict(self), "margin": self.margin}


def decide_identify(nearest: Sequence[Match], rule: Rule, *, model: str = "", gallery_size: int = 0) -> Decision:
    """Who is it? `nearest` holds the closest identities, best first; a distance of the threshold is still accepted
    (VAL and FAR of the FaceNet paper, section 4, count d ≤ threshold), a margin of the spread is still clear.

    Example:
        >>> decide_identify([Match("ada", 0.4), Match("bob", 1.5)], Rule(1.1)).name
        'ada'
        >>> decide_identify([Match("ada", 1.2)], Rule(1.1)).decision
        'unknown'
        >>> decide_identify([Match("ada", 0.4), Match("bob", 0.5)], Rule(1.1, spread=0.2)).decision
        'ambiguous'
    """
    best = nearest[0] if nearest else None
    second = nearest[1] if len(nearest) > 1 else None
    verdict: Answer = "match" if best is not None and best.distance <= rule.threshold else "unknown"
    if verdict == "match" and best and second and second.distance - best.distance < rule.spread:
        verdict = "ambiguous"
    return Decision(
        decision=verdict,
        name=best.name if best and verdict == "match" else None,
        distance=best.distance if best else None,
        threshold=rule.threshold,
        nearest=best.name if best else None,
        runner_up=second.name if second else None,
        runner_up_distance=second.distance if second else None,
        bound=rule.bound,
        model=model,
        calibration=rule.calibration,
        gallery_size=gallery_size,
    )


def decide_verify(claimed: Match, rule: Rule, *, model: str = "", gallery_size: int = 0) -> Decision:
    """Is it the one it claims to be? A distance of the threshold is still accepted.

    Example:
        >>> decide_verify(Match("ada", 1.2), Rule(1.1)).decision
        'different'
    """
    return Decision(
        decision="match" if claimed.distance <= rule.threshold else "different",
        name=claimed.name,
        distance=claimed.distance,
        threshold=rule.threshold,
        nearest=claimed.name,
        bound=rule.bound,
        model=model,
        calibration=rule.calibration,
        gallery_size=gallery_size,
    )


def decide_unfit(
    unfit: PictureUnfit, rule: Rule, *, claim: str | None = None, model: str = "", gallery_size: int = 0
) -> Decision:
    """Nobody was compared: the picture does not show one thing that could be.

    Example:
        >>> decide_unfit(PictureUnfit("No face."), Rule(1.1)).decision
        'no face'
    """
    return Decision(
        decision=unfit.answer,
        name=claim,
        distance=None,
        threshold=rule.threshold,
        bound=rule.bound,
        model=model,
        calibration=rule.calibration,
        gallery_size=gallery_size,
        reason=unfit.reason,
        boxes=unfit.boxes,
    )
