import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from firstsight.cli.console import err, print_json, progress, say
from firstsight.cli.console import out as console
from firstsight.cli.encrypt import encrypt
from firstsight.cli.files import write_private
from firstsight.cli.index import index
from firstsight.cli.options import Anyway, Device, Force, GalleryUrl, Json, Model, Seeing
from firstsight.errors import UserError
from firstsight.workflows.progress import stage

if TYPE_CHECKING:
    from firstsight.recognition.people import Refusal

gallery = App(
    name="gallery",
    help="See who is enrolled, enroll many, back up and move.\n\nExample: firstsight gallery list",
)
gallery.command(encrypt)
gallery.command(index)


@gallery.command(name="list")
def list_names(*, model: Model = None, gallery: GalleryUrl = None, json: Json = False) -> int:
    """List who is enrolled, from how many pictures, and since when; with --json also with what consent notes.

    Example: firstsight gallery list
    """
    from firstsight.cli.recognizer import open_gallery

    with open_gallery(model, gallery) as opened:
        for name, enrollments in opened.enrollments():
            if json:
                print_json({"name": name, "enrollments": [enrollment.to_json() for enrollment in enrollments]})
            else:
                several = f"{len(enrollments)} pictures, " if len(enrollments) > 1 else ""
                since = enrollments[0].enrolled_at
                console.print(f"{name}  ({several}since {since:%Y-%m-%d %H:%M} UTC)", markup=False)
        if not json and not len(opened):
            err.print(f"Nobody is enrolled in {opened.where}: firstsight enroll NAME PICTURE", markup=False)
    return 0


@gallery.command
def enroll(
    people: Annotated[Path, Parameter(help="A CSV file with the columns name and picture.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    anyway: Anyway = False,
    refused: Annotated[
        Path | None, Parameter(help="A CSV file to write whoever was refused into: name, picture, line, reason.")
    ] = None,
    seeing: Seeing | None = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Enroll everyone on a list.

    Paths of pictures are relative to the list. Who is enrolled already is passed over: after an interruption the same
    command goes on with the rest. Exit code 3 where the verdict on a picture had doubts, 2 where one cannot be used;
    all others are enrolled.

    Example: firstsight gallery enroll people.csv --model runs/mine --refused refused.csv
    """
    from firstsight.cli.recognizer import open_recognizer
    from firstsight.recognition.people import enroll_people

    if refused is not None:
        _refuse_place(refused, people)
    opened = open_recognizer(model, gallery, device=device, make=True, seeing=seeing)
    with opened as recognizer, progress(quiet=json) as shown:
        found = enroll_people(recognizer, people, anyway=anyway, on_progress=stage(shown, "Enrolling"))
        where, size = recognizer.gallery.where, len(recognizer.gallery)
    if json:
        print_json({"gallery": where, "gallery_size": size, **found.to_json()})
    else:
        for each in found.refused:
            name = each.name or "(no name)"
            err.print(f"{people}, line {each.line}: {name}: {each.reason}", style="red", markup=False)
        counts = f"{found.enrolled} enrolled, {found.known} were already, {len(found.refused)} lines refused"
        console.print(f"{counts} ({size} in {where}).", markup=False)
    if refused is not None:
        _write_refused(refused, people.parent, found.refused)
    return 2 if any(refusal.unusable for refusal in found.refused) else 3 if found.refused else 0


@gallery.command
def reenroll(
    *,
    model: Annotated[str, Parameter(help="The new model: a model folder or a run folder.")],
    gallery: Annotated[str, Parameter(name="--gallery", help="The gallery to move to it.")],
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Move a gallery to another model: the pictures in it are embedded anew, all or none.

    Example: firstsight gallery reenroll --model runs/new --gallery friends.sqlite
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.models.device import pick_device
    from firstsight.models.folder import load_model
    from firstsight.recognition.reenroll import reenroll

    with open_gallery(None, gallery) as opened, progress(quiet=json) as shown:
        new = load_model(model, device=str(pick_device(device)))
        made = reenroll(opened, new, on_progress=stage(shown, "Embedding"))
        if json:
            print_json({"gallery": opened.where, "model_identity": new.identity, "templates": made})
        elif made:
            console.print(f"{made} templates of {len(opened)} identities are now by {model}.", markup=False)
        else:
            console.print(f"All templates are by {model} already.", markup=False)
    return 0


@gallery.command
def backup(
    out: Annotated[Path, Parameter(help="The file to write.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Copy a gallery into one file, while others use it.

    Example: firstsight gallery backup monday.sqlite
    """
    from firstsight.cli.recognizer import gallery_of
    from firstsight.recognition.backup import backup

    with progress(quiet=json) as shown:
        size = backup(gallery_of(model, gallery), out, force=force, on_progress=stage(shown, "Copying pages"))
    say(f"{size} identities are in {out}.", {"backup": str(out), "identities": size}, json=json)
    return 0


@gallery.command
def restore(
    file: Annotated[Path, Parameter(help="A backup.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Put a backup in the place of a gallery, which no other program may have open.

    Example: firstsight gallery restore monday.sqlite
    """
    from firstsight.cli.recognizer import gallery_of, model_of
    from firstsight.recognition.backup import restore

    where, of = gallery_of(model, gallery), model_of(model, gallery)
    with progress(quiet=json) as shown:
        restored = restore(file, where, force=force, model=of, on_progress=stage(shown, "Copying pages"))
    say(f"{restored.identities} identities are in {where}.", {"gallery": str(where), **restored._asdict()}, json=json)
    for name in restored.back:
        text = f"{name} was forgotten after this backup was made, and is back. To forget again: firstsight forget"
        err.print(f"{text} {shlex.quote(name)}", style="yellow", markup=False)
    return 0


@gallery.command(name="export")
def export_(
    out: Annotated[Path, Parameter(help="The file of JSON lines to write.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    pictures: Annotated[bool, Parameter(help="With the pictures, as PNG.")] = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write a gallery as JSON lines: names, templates, times, and the model's identity.

    Example: firstsight gallery export friends.jsonl --pictures
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.recognition.transfer import export_lines

    with open_gallery(model, gallery) as opened, progress(quiet=json) as shown:
        moved = export_lines(opened, out, pictures=pictures, force=force, on_progress=stage(shown, "Exporting"))
    text = f"{moved.templates} templates of {moved.identities} identities are in {out}."
    say(text, {"file": str(out), **moved._asdict()}, json=json)
    return 0


@gallery.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="What firstsight gallery export has written.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """Enroll everyone whom an exported file holds, all or none.

    Example: firstsight gallery import friends.jsonl
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.models.folder import DEFAULT_MODEL, address, find_model, read_config
    from firstsight.recognition.transfer import import_lines

    wanted = model if gallery else model or DEFAULT_MODEL
    known = (read_config(find_model(wanted)).identity, address(wanted)) if wanted else None
    with open_gallery(model, gallery, make=True) as opened, progress(quiet=json) as shown:
        moved = import_lines(file, opened, model=known, on_progress=stage(shown, "Importing"))
        where = opened.where
    text = f"{moved.templates} templates of {moved.identities} identities are new in {where}."
    say(text, {"gallery": where, **moved._asdict()}, json=json)
    return 0


def _refuse_place(refused: Path, people: Path) -> None:
    """Before hours of enrolling, not after."""
    if refused.resolve() == people.resolve():
        raise UserError(f"{refused} is the list itself.", hint="Name another file for whoever is refused.")
    if refused.is_dir() or not refused.absolute().parent.is_dir():
        raise UserError(f"{refused} cannot be written: its folder is missing, or it is one.", hint="Name a file.")


def _write_refused(path: Path, folder: Path, refused: "tuple[Refusal, ...]") -> None:
    """As another list, to be mended and enrolled: paths as they are found from where the command was typed."""
    from firstsight.data.spreadsheet import csv_file

    rows = (
        {**asdict(each), "picture": str((folder / each.picture).resolve()) if each.picture else ""} for each in refused
    )
    write_private(path, csv_file(("name", "picture", "line", "reason"), rows), force=True)
