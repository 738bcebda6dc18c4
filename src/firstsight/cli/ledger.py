from collections.abc import Iterable, Sequence
from datetime import date, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import App, Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json, print_table
from firstsight.cli.files import write_private
from firstsight.cli.options import Force, GalleryUrl, Json, Model
from firstsight.errors import UserError

if TYPE_CHECKING:
    from firstsight.evaluation.drift import Trend
    from firstsight.recognition.ledger import Ledger
    from firstsight.recognition.ledger_rows import Entry

Number = Annotated[int, Parameter(help="The number of the entry: firstsight ledger shows it.")]
Zone = Annotated[str | None, Parameter(help="Time zone, such as Europe/Berlin; without it that of this machine.")]

_ENTRY = ("id", "time", "kind", "who", "distance", "threshold", "direction", "camera", "review")
_DAY = ("name", "first_in", "last_out", "seen")

ledger = App(name="ledger")


class Export(NamedTuple):
    """Where a report goes that is not for the eye: into a CSV file, `-` for stdout, or as JSON to stdout."""

    csv: str | None
    force: bool
    json: bool


@ledger.default
def show(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    since: Annotated[str | None, Parameter(help="A date or a time: 2026-11-25, or 2026-11-25T08:30.")] = None,
    until: Annotated[str | None, Parameter(help="Before this time, or to the end of this date.")] = None,
    name: Annotated[str | None, Parameter(help="Only the entries of this person.")] = None,
    day: Annotated[date | None, Parameter(help="A report of this date: first in, last out, a line a person.")] = None,
    drift: Annotated[bool, Parameter(help="Who should be enrolled anew, before they are locked out.")] = False,
    debounce: Annotated[float, Parameter(help="Count a person once in so many minutes, per direction.")] = 0,
    zone: Zone = None,
    csv: Annotated[str | None, Parameter(help="CSV file to write; - prints it.", allow_leading_hyphen=True)] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Show what was decided, about whom, when, and on what grounds.

    verify and identify record each decision in the gallery.

    Example: firstsight ledger --since 2026-11-25 --csv -
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.attendance import find_zone, midnight, moment
    from firstsight.recognition.ledger import Ledger

    if bool(day) + drift + bool(since or until) > 1:
        raise UserError("--day, --drift and --since or --until are three reports.", hint="Ask for one of them.")
    if csv is not None and json:
        raise UserError("--csv and --json are two formats.", hint="Ask for one of them.")
    if not debounce >= 0:
        raise UserError(f"--debounce {debounce:g} is no time.", hint="Give minutes, from 0 on.")
    of = find_zone(zone)
    start = midnight(day, of) if day else moment(since, of) if since else None
    end = midnight(day + timedelta(days=1), of) if day else moment(until, of, end=True) if until else None
    to = Export(csv, force, json)
    with open_gallery(model, gallery) as opened:
        held = Ledger(opened)
        entries = held.entries(since=start, until=end, name=name, reviewed=drift)
        if drift:
            _show_drift(entries, held, opened.model_identity, to)
        elif day:
            _show_day(entries, of, debounce, to)
        else:
            _show_entries(entries, of, debounce, held.retention_days, to)
    return 0


@ledger.command(usage="Usage: firstsight ledger confirm [OPTIONS] NUMBER...")
def confirm(number: Number, *more: Number, model: Model = None, gallery: GalleryUrl = None, json: Json = False) -> int:
    """Say, as an operator, that decisions are right.

    Example: firstsight ledger confirm 12 13
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.ledger import Ledger

    with open_gallery(model, gallery) as opened:
        for each in (number, *more):
            _say(Ledger(opened).confirm(each), json)
    return 0


@ledger.command(usage="Usage: firstsight ledger correct [OPTIONS] NUMBER [NAME]")
def correct(
    number: Number,
    name: Annotated[str | None, Parameter(help="Who it was. Left out: nobody who is enrolled.")] = None,
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """Say, as an operator, who it was. The entry stays as it was decided; a row that points at it is added.

    Example: firstsight ledger correct 12 star
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.ledger import Ledger

    with open_gallery(model, gallery) as opened:
        _say(Ledger(opened).correct(number, name), json)
    return 0


@ledger.command
def probe(
    number: Number,
    file: Annotated[Path, Parameter(help="The PNG file to write.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    force: Force = False,
) -> int:
    """Write the picture of an entry, as the network saw it, into a PNG file, if --keep-probes kept it.

    Example: firstsight ledger probe 12 seen.png
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.ledger import Ledger

    with open_gallery(model, gallery) as opened:
        png = Ledger(opened).probe(Ledger(opened).entry(number).id)
    if png is None:
        raise UserError(f"No picture of entry {number} is kept.", hint="Keep them: firstsight identify --keep-probes 7")
    write_private(file, [png], force=force)
    return 0


@ledger.command(usage="Usage: firstsight ledger retention [OPTIONS] [DAYS]")
def retention(
    days: Annotated[int | None, Parameter(help="Days to keep entries; 0 keeps them without end.")] = None,
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """Erase what is older than the retention, after setting it if DAYS are given.

    Example: firstsight ledger retention 30
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.ledger import Ledger

    with open_gallery(model, gallery) as opened:
        held = Ledger(opened)
        erased = held.purge() if days is None else held.set_retention(days)
        if json:
            print_json({"retention_days": held.retention_days, **erased._asdict()})
        else:
            console.print(f"{erased.entries} entries and {erased.probes} probes were erased.")
    return 0


def _say(entry: "Entry", json: bool) -> None:
    if json:
        print_json(entry.to_json(None))
    elif entry.review:
        console.print(f"Entry {entry.id} is {entry.review.kind}: {entry.who}.", markup=False)


def _show_entries(
    entries: Iterable["Entry"], of: tzinfo | None, minutes: float, retention_days: int, to: "Export"
) -> None:
    from firstsight.recognition.attendance import debounced
    from firstsight.recognition.ledger_rows import entry_columns

    entries = debounced(entries, minutes)
    if _exported((entry.to_json(of) for entry in entries), entry_columns(), to):
        return
    rows = [
        entry.to_json(of) | {"who": entry.who, "time": entry.at.astimezone(of).isoformat(timespec="seconds")}
        for entry in entries
    ]
    if not rows:
        console.print("No entries. Each decision is one: firstsight identify PICTURE")
        return
    print_table(_ENTRY, ([_cell(row[column]) for column in _ENTRY] for row in rows))
    kept = f"for {retention_days} days" if retention_days else "without end"
    console.print(f"Entries are kept {kept}: firstsight ledger retention DAYS")


def _show_day(entries: Iterable["Entry"], of: tzinfo | None, minutes: float, to: "Export") -> None:
    from firstsight.recognition.attendance import day_lines

    lines = [line.to_json() for line in day_lines(entries, of, minutes=minutes)]
    if _exported(lines, _DAY, to):
        return
    if not lines:
        console.print("Nobody came or went. It is recorded with: firstsight identify PICTURE --direction in")
        return
    print_table(_DAY, ([_cell(line[column]) for column in _DAY] for line in lines))


def _show_drift(entries: Iterable["Entry"], held: "Ledger", model_identity: str | None, to: "Export") -> None:
    from firstsight.evaluation.drift import drift, drifting_cameras, trend_columns

    trends = drift(entries, held.last_enrolled(), model_identity)
    if _exported((t.to_json() for t in trends), trend_columns(), to):
        return
    if not trends:
        console.print("Drift needs matches that an operator confirmed: firstsight ledger confirm NUMBER")
        return
    head = ("name", "camera", "days", "distance", "threshold", "in 30 days", "refused from", "advice")
    print_table(head, ([_cell(cell) for cell in _trend_cells(t)] for t in trends))
    for camera in drifting_cameras(trends):
        console.print(f"Most people drift before the camera {camera}: check it first.", markup=False)


def _trend_cells(t: "Trend") -> Sequence[Any]:
    from firstsight.evaluation.drift import NEEDED

    if t.slope is None:
        return t.name, t.camera, f"{t.days} of {NEEDED} needed", None, t.threshold, None, None, t.advice
    slope = f"{t.slope:+.3f} ({t.low:+.3f} to {t.high:+.3f})"
    return t.name, t.camera, str(t.days), t.distance, t.threshold, slope, t.to_json()["crossing"], t.advice


def _exported(rows: Iterable[dict[str, Any]], columns: Sequence[str], to: Export) -> bool:
    """Whether another program was served."""
    from firstsight.data.spreadsheet import csv_file, csv_lines

    if to.csv == "-":
        for line in csv_lines(columns, rows):
            print(line, end="")
    elif to.csv is not None:
        write_private(Path(to.csv), csv_file(columns, rows), force=to.force)
        console.print(f"written: {to.csv}", markup=False)
    elif to.json:
        for row in rows:
            print_json(row)
    return to.json or to.csv is not None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
