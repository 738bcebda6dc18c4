"""Two models side by side, on the same pictures."""

from dataclasses import dataclass
from typing import Any

from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, cluster_bootstrap, percentile_interval
from firstsight.evaluation.embedded import far_name, with_interval
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.verification import resampled_rates


@dataclass(frozen=True, eq=False)
class Comparison:
    """`differences` holds, for a key of `Evaluation.to_json`, the figure of one less that of the other.

    Its interval is that of the difference: both models meet the same identities in each resampling, so it is narrower
    than the two intervals let fear.
    """

    one: Evaluation
    other: Evaluation
    differences: dict[str, tuple[float, Interval]]

    def verdict(self) -> str:
        """Which model recognizes better, if the interval of the difference leaves no doubt."""
        _, interval = self.differences["accuracy"]
        if interval.low > 0:
            return f"{self.one.model.name} is better."
        if interval.high < 0:
            return f"{self.other.model.name} is better."
        return "These pictures do not tell which is better."

    def to_json(self) -> dict[str, Any]:
        """One flat dict: the figures of one, those of the other as `against_...`, and the differences."""
        figures = self.one.to_json() | {f"against_{key}": value for key, value in self.other.to_json().items()}
        for key, (difference, interval) in self.differences.items():
            figures |= with_interval(f"{key}_difference", difference, interval)
        return figures


def compare(one: Evaluation, other: Evaluation) -> Comparison:
    """Set two evaluations side by side.

    Raises:
        UserError: they are not of the same pictures and random choices.
    """
    found, against = one.one_shot, other.one_shot
    if (one.pictures.paths, one.pictures.labels, found.trials, one.seed) != (
        other.pictures.paths, other.pictures.labels, against.trials, other.seed,
    ):  # fmt: skip
        raise UserError(
            "Two evaluations can only be compared on the same pictures, trials and seed.",
            hint="Evaluate both models with the same --data, --trials and --seed.",
        )
    interval = cluster_bootstrap(found.recognized - against.recognized, found.probed, one.labels.numpy())
    differences = {"accuracy": (found.accuracy - against.accuracy, interval)}
    fars = [point.target for point in one.verification.val_at_far if point.val is not None]
    keys = ["auc", "average_precision", "eer", *(f"val_at_far_{far_name(far)}" for far in fars)]
    auc_R, precision_R, eer_R, val_RF = (
        mine - theirs
        for mine, theirs in zip(
            resampled_rates(one.verification.pairs, fars), resampled_rates(other.verification.pairs, fars), strict=True
        )
    )
    figures, others = one.to_json(), other.to_json()
    for key, difference_R in zip(keys, [auc_R, precision_R, eer_R, *val_RF.T], strict=True):
        difference = figures[key] - others[key]
        differences[key] = difference, percentile_interval(difference, difference_R)
    return Comparison(one, other, differences)
