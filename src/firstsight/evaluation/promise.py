"""What a calibration promises, in words. Its grounds are in docs/promise.md."""

import math
from collections.abc import Iterator

from firstsight.evaluation.bounds import trials_needed
from firstsight.evaluation.calibration import MOST_IDENTITIES, NOTHING, ROUND_TARGETS
from firstsight.evaluation.report import Table
from firstsight.evaluation.sections import percent
from firstsight.model_config import GroupRate, OperatingPoint

GROUP_COLUMNS = ("group", "identities", "templates", "strangers let in", "95 % interval", "bound")


def one_in(rate: float) -> str:
    """A rate, rounded up, as people say it.

    Example:
        >>> one_in(0.0072)
        '1 stranger in 138'
    """
    return f"1 stranger in {math.floor(1 / rate * (1 + 1e-9)):,}"


def promise(point: OperatingPoint) -> str:
    """The promise in one sentence, and how far it reaches."""
    evidence = f"95 % sure, from {point.identities:,} identities that were compared with each other"
    if not point.steps:
        return "Nothing was measured that a promise could rest on."
    if point.target >= 1 - 1e-9 or point.identities < 10:
        return (
            f"{point.identities} identities are too few to promise anything: not even without an error among them "
            f"would the rate be known to be below {percent(point.target)}."
        )
    return (
        f"At most {one_in(point.target)} is let in, {evidence}: one to one, and one to many with up to "
        f"{point.steps[-1].size:,} templates enrolled."
    )


def promise_lines(point: OperatingPoint) -> Iterator[str]:
    """The promise, its thresholds, and what would tighten it: a sentence a line."""
    yield promise(point)
    if point.steps and point.steps[0].threshold == NOTHING:
        yield "Strangers are as near as can be to others: no threshold keeps the target, so nobody is recognized."
    elif point.steps:
        first, last = point.steps[0], point.steps[-1]
        yield (
            f"Two pictures are the same up to a squared distance of {first.threshold:.3f}; the threshold falls as the "
            f"gallery grows, to {last.threshold:.3f} at {last.size:,} templates, and rises as it shrinks."
        )
    tighter = next((target for target in ROUND_TARGETS if target < point.target * (1 - 1e-9)), None)
    if tighter and 2 * trials_needed(tighter) <= MOST_IDENTITIES:
        yield f"To promise {one_in(tighter)}, bring {2 * trials_needed(tighter):,} identities."
    if point.spread is None:
        yield "Nobody has three pictures, so how much one identity varies is not known: no answer is called ambiguous."
    else:
        yield (
            f"Two names closer than {point.spread:.3f} are ambiguous: so much do distances of one identity differ from "
            "picture to picture."
        )


def at_size(point: OperatingPoint, templates: int) -> str:
    """What holds for a gallery as it is now."""
    step = point.at(templates)
    if step.threshold == NOTHING:
        return f"With {templates:,} templates enrolled, identify knows nobody: no threshold keeps the target."
    kept = step.bound <= point.target * (1 + 1e-9)
    said = f"With {templates:,} templates enrolled, identify takes the threshold {step.threshold:.3f}"
    if kept:
        return f"{said}: at most {one_in(step.bound)} is let in."
    return (
        f"{said}, at which up to {percent(step.bound)} of strangers may be let in: more than the target, as the "
        "gallery is too large for the evidence. Bring more identities."
    )


def by_hand(threshold: float) -> str:
    """What holds where somebody gave the threshold.

    Example:
        >>> by_hand(1.1)
        'The threshold 1.100 was given by hand: nothing is promised about strangers.'
    """
    return f"The threshold {threshold:.3f} was given by hand: nothing is promised about strangers."


def group_table(point: OperatingPoint) -> Table:
    """How strangers of each group fare."""
    rows = [
        [
            group.group,
            f"{group.identities:,}",
            f"{group.size:,}",
            percent(group.rate),
            f"{percent(group.low)} to {percent(group.high)}",
            percent(group.bound),
        ]
        for group in point.groups
    ]
    return Table("Strangers of each group", "", GROUP_COLUMNS, rows)


def group_warnings(point: OperatingPoint) -> Iterator[str]:
    """Whom the promise does not cover, group by group, at the worse of the sizes measured."""
    worst: dict[str, GroupRate] = {}
    for group in point.groups:
        if group.group not in worst or group.bound > worst[group.group].bound:
            worst[group.group] = group
    for group in worst.values():
        if group.low > point.target:
            yield (
                f"Warning: strangers of the group {group.group} are let in more often than promised: "
                f"{percent(group.rate)} ({percent(group.low)} to {percent(group.high)}), with {group.size} templates."
            )
        elif group.bound > point.target * (1 + 1e-9):
            needed = 2 * trials_needed(point.target)
            why = f"({needed:,} or more are needed)" if group.identities < needed else "with so many let in"
            yield (
                f"Warning: for the group {group.group} the bound is {percent(group.bound)}, above the target of "
                f"{percent(point.target)}: {group.identities} identities are too few to promise it for this group "
                f"alone {why}."
            )
