"""Who came and went: from the entries of the ledger to days. Pure: no database."""

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from firstsight.errors import UserError
from firstsight.recognition.ledger_rows import Entry


@dataclasses.dataclass(frozen=True)
class DayLine:
    """One person on one day. Times are those of the zone asked for; None: no entry in this direction."""

    name: str
    first_in: datetime | None
    last_out: datetime | None
    seen: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601."""
        return dataclasses.asdict(self) | {
            "first_in": self.first_in.isoformat(timespec="seconds") if self.first_in else None,
            "last_out": self.last_out.isoformat(timespec="seconds") if self.last_out else None,
        }


def midnight(day: date, zone: tzinfo | None) -> datetime:
    """When a day begins in a zone (None: that of this machine). Days of 23 and 25 hours come out right.

    Example:
    >>> berlin = find_zone("Europe/Berlin")
    >>> begin, end = (midnight(date(2026, 3, day), berlin).astimezone(UTC) for day in (29, 30))
    >>> (end - begin).total_seconds() / 3600
    23.0
    """
    start = datetime.combine(day, time())
    return start.replace(tzinfo=zone) if zone else start.astimezone()


def find_zone(name: str | None) -> tzinfo | None:
    """A time zone by its name; None: that of this machine. Raises UserError: there is none of this name."""
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UserError(f"There is no time zone {name}.", hint="Give a name such as Europe/Berlin.") from error


def moment(text: str, zone: tzinfo | None, *, end: bool = False) -> datetime:
    """A date or a time in ISO 8601, of `zone` if it names none. A date alone is its midnight, or with `end` the next.

    Raises:
        UserError: it is neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
        if not 1970 <= parsed.year <= 9000:
            raise ValueError("out of range")
    except ValueError as error:
        raise UserError(f"{text} is not a time.", hint="Give 2026-11-25, or 2026-11-25T08:30.") from error
    if len(text) == len("2026-11-25"):
        return midnight(parsed.date() + timedelta(days=end), zone)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone) if zone else parsed.astimezone()


def debounced(entries: Iterable[Entry], minutes: float) -> Iterator[Entry]:
    """Leave out a person's matches within `minutes` after the last one that was left in, per direction.

    `entries` come in the order of their time. In, out, and no direction are three directions. The first match always
    stays in; what is left out starts no new wait, so who stands before the camera for an hour is seen every `minutes`.
    Strangers, and who has been forgotten, cannot be told apart: all their entries stay in.
    """
    wait = timedelta(minutes=minutes)
    last: dict[tuple[str, str | None], datetime] = {}
    for entry in entries:
        if entry.name is not None:
            key = entry.name, entry.direction
            if key in last and entry.at - last[key] < wait:
                continue
            last[key] = entry.at
        yield entry


def day_lines(entries: Iterable[Entry], zone: tzinfo | None = UTC, *, minutes: float = 0) -> list[DayLine]:
    """A line for each person who was recognized, by name: the first time in, the last time out, how often in all.

    What operators corrected counts as corrected. `minutes` debounces how often, not the times.
    """
    entries = [entry for entry in entries if entry.name is not None]
    first_in: dict[str, datetime] = {}
    last_out: dict[str, datetime] = {}
    seen: dict[str, int] = {}
    for entry in entries:
        name = str(entry.name)
        if entry.direction == "in":
            first_in.setdefault(name, entry.at.astimezone(zone))
        elif entry.direction == "out":
            last_out[name] = entry.at.astimezone(zone)
    for entry in debounced(entries, minutes):
        seen[str(entry.name)] = seen.get(str(entry.name), 0) + 1
    return [DayLine(name, first_in.get(name), last_out.get(name), seen[name]) for name in sorted(seen)]
