"""What firstsight says about a picture, and on what grounds. Pure: no gallery, no network."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Verdict = Literal["match", "unknown", "different"]


class Match(NamedTuple):
    """An enrolled identity, and the squared L2 distance (0 ... 4) of its nearest template to the probe."""

    name: str
    distance: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict with its evidence. Distances are squared L2, 0 ... 4; `margin` is how much farther the runner-up is.

    `match`: it is `name`. `unknown`: nobody enrolled is near enough, and `name` is None. `different`: it is not
    `name`, whom it claimed to be. `nearest` is the closest identity compared, whatever the verdict.
    """

    decision: Verdict
    name: str | None
    distance: float | None
    threshold: float
    nearest: str | None = None
    runner_up: str | None = None
    runner_up_distance: float | None = None
    model: str = ""
    gallery_size: int = 0

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


def decide_identify(nearest: Sequence[Match], threshold: float, *, model: str = "", gallery_size: int = 0) -> Decision:
    """Who is it? `nearest` holds the closest identities, best first; a distance of `threshold` is still accepted
    (VAL and FAR of the FaceNet paper, section 4, count d ≤ threshold).

    Example:
        >>> decide_identify([Match("ada", 0.4), Match("bob", 1.5)], 1.1).name
        'ada'
        >>> decide_identify([Match("ada", 1.2)], 1.1).decision
        'unknown'
    """
    best = nearest[0] if nearest else None
    second = nearest[1] if len(nearest) > 1 else None
    accepted = best is not None and best.distance <= threshold
    return Decision(
        decision="match" if accepted else "unknown",
        name=best.name if best and accepted else None,
        distance=best.distance if best else None,
        threshold=threshold,
        nearest=best.name if best else None,
        runner_up=second.name if second else None,
        runner_up_distance=second.distance if second else None,
        model=model,
        gallery_size=gallery_size,
    )


def decide_verify(claimed: Match, threshold: float, *, model: str = "", gallery_size: int = 0) -> Decision:
    """Is it the one it claims to be? A distance of `threshold` is still accepted.

    Example:
        >>> decide_verify(Match("ada", 1.2), 1.1).decision
        'different'
    """
    return Decision(
        decision="match" if claimed.distance <= threshold else "different",
        name=claimed.name,
        distance=claimed.distance,
        threshold=threshold,
        nearest=claimed.name,
        model=model,
        gallery_size=gallery_size,
    )
