"""Do people grow away from their enrolled pictures? The trend of confirmed genuine distances. N days."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.recognition.ledger_rows import Entry

NEEDED = 10  # days: from there the interval of the slope holds its 95 % (a test)
HORIZON = 90  # days ahead
_REFUSED = 0.1  # the share of tries whose refusal counts as locked out

Advice = Literal["enroll anew", "steady", "too few"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trend:
    """How one person's distance to the enrolled pictures changes before one camera.

    `days` have a confirmed match; the figures are None where they are fewer than `NEEDED`. `distance` (squared L2) is
    the trend line's at the last day, `slope` its change in 30 days with a 95 % interval `low ... high`. `crossing` is
    when one genuine try in ten will be refused, `soonest` the same at the upper end of the interval; None: not at all.
    """

    name: str
    camera: str | None
    days: int
    advice: Advice
    threshold: float | None = None
    distance: float | None = None
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    crossing: date | None = None
    soonest: date | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, dates in ISO 8601."""
        return dataclasses.asdict(self) | {
            "needed_days": NEEDED,
            "crossing": self.crossing.isoformat() if self.crossing else None,
            "soonest": self.soonest.isoformat() if self.soonest else None,
        }


def trend_columns() -> tuple[str, ...]:
    """The keys of `Trend.to_json`."""
    return tuple(Trend(name="", camera=None, days=0, advice="too few").to_json())


def genuine_distance(entry: Entry) -> float | None:
    """The distance of a probe to the person who it was, by an operator's word; None if that is not known.

    It is known for confirmed matches, and for someone whom an operator named who was the nearest or the runner-up:
    refused genuine tries count, else a trend would end below the threshold.
    """
    decision, name = entry.decision, entry.name
    if entry.review is None or name is None:
        return None
    if name == decision.nearest:
        return decision.distance
    return decision.runner_up_distance if name == decision.runner_up else None


def drift(entries: Iterable[Entry], last_enrolled: Mapping[str, datetime], model: str | None) -> list[Trend]:
    """A trend for each person and camera, those to be enrolled anew first, then by name.

    Only distances by `model` count, and only since the person's last enrollment: a new picture is a new beginning.
    `entries` come in the order of their time.
    """
    pairs: dict[tuple[str, str | None], list[tuple[datetime, float]]] = defaultdict(list)
    thresholds: dict[tuple[str, str | None], float] = {}
    for entry in entries:
        distance = genuine_distance(entry)
        begin = last_enrolled.get(entry.name or "")
        if distance is None or begin is None or entry.at < begin or entry.decision.model != model:
            continue
        key = str(entry.name), entry.camera
        pairs[key].append((entry.at, distance))
        thresholds[key] = entry.decision.threshold
    trends = [trend(*key, points, thresholds[key]) for key, points in pairs.items()]
    return sorted(trends, key=lambda t: (t.advice != "enroll anew", t.name, t.camera or ""))


def drifting_cameras(trends: Iterable[Trend]) -> list[str]:
    """Cameras before which most people (of three or more) drift away at once: the camera changed, not they."""
    rises: dict[str, list[bool]] = defaultdict(list)
    for t in trends:
        if t.camera is not None and t.low is not None:
            rises[t.camera].append(t.low > 0)
    return sorted(camera for camera, rising in rises.items() if len(rising) >= 3 and 2 * sum(rising) > len(rising))


def trend(name: str, camera: str | None, points: list[tuple[datetime, float]], threshold: float) -> Trend:
    """The Theil-Sen line (Sen 1968) through the median distance of each day (UTC).

    Tries of one day are alike in light and look, so a day is one point. The line is the median of the slopes of all
    pairs of days: a few odd days do not move it. Locked out is who is refused one time in ten: where the line, plus
    the 90 % quantile of what lies above it, crosses the threshold.
    """
    from scipy.stats import theilslopes

    day_N, distance_N = _daily_medians(points)
    if len(day_N) < NEEDED:
        return Trend(name=name, camera=camera, days=len(day_N), advice="too few", threshold=threshold)
    slope, intercept, low, high = map(float, theilslopes(distance_N, day_N, 0.95))
    center, last = float(np.median(day_N)), float(day_N[-1])
    spread = float(np.quantile(distance_N - intercept - slope * day_N, 1 - _REFUSED))
    room = threshold - spread - (intercept + slope * center)
    crossing, soonest = _crossing(center, room, slope, last), _crossing(center, room, high, last)
    due = crossing <= last or (low > 0 and crossing - last <= HORIZON)
    return Trend(
        name=name,
        camera=camera,
        days=len(day_N),
        advice="enroll anew" if due else "steady",
        threshold=threshold,
        distance=intercept + slope * last,
        slope=30 * slope,
        low=30 * low,
        high=30 * high,
        crossing=_date(points[0][0], crossing),
        soonest=_date(points[0][0], soonest),
    )


def _daily_medians(points: list[tuple[datetime, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Days since the first, and the median distance of each."""
    first = points[0][0].astimezone(UTC).date()
    of_day: dict[int, list[float]] = defaultdict(list)
    for at, distance in points:
        of_day[(at.astimezone(UTC).date() - first).days].append(distance)
    days = sorted(of_day)
    return np.array(days, np.float64), np.array([np.median(of_day[day]) for day in days])


def _crossing(center: float, room: float, slope: float, last: float) -> float:
    """The day on which a line that has `room` left at `center` is through; `last` if it is by then, inf if never."""
    if room - slope * (last - center) <= 0:
        return last
    return center + room / slope if slope > 0 else math.inf


def _date(first: datetime, days: float) -> date | None:
    """None where it is so far away that it says nothing: beyond a century."""
    return first.astimezone(UTC).date() + timedelta(days=math.floor(days)) if days < 36_500 else None
