"""Pictures and who is on them: a folder, zip or CSV manifest of identities."""

import csv
import difflib
import hashlib
import random
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from firstsight.data.files import Files, FolderFiles, ZipFiles, pictures_in_folder, pictures_in_zip, readable
from firstsight.data.pictures import read_picture
from firstsight.errors import DataError

_LAYOUT = "Put the pictures of each identity in a folder of its own: NAME/*.jpg (or png, pgm, …)."


@dataclass(frozen=True)
class PictureSet:
    """Pictures, each with its identity: picture i is `paths[i]` and shows `names[labels[i]]`.

    Every name has at least one picture. Picklable, readable from several threads.
    """

    source: str
    """Folder, zip or manifest, as the user wrote it."""
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    files: Files = field(repr=False, compare=False)
    groups: tuple[str, ...] = field(default=(), repr=False)
    """The group of each picture (a camera, an age band, an alphabet); empty where there are none."""

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        """The bytes of one picture's file.

        Raises:
            PictureError: gone or damaged since the set was opened.
        """
        return self.files.read(self.paths[index])

    def picture(self, index: int) -> Image.Image:
        """One picture, decoded as `read_picture` does."""
        return read_picture(self.read(index), name=self.where(index))

    def where(self, index: int) -> str:
        """What messages call one picture."""
        return self.files.where(self.paths[index])

    def select(self, indices: Iterable[int]) -> "PictureSet":
        """The set of these pictures, in this order, and of the identities that they show."""
        kept = list(indices)
        present = sorted({self.labels[i] for i in kept})
        renumbered = {label: number for number, label in enumerate(present)}
        return PictureSet(
            source=self.source,
            paths=tuple(self.paths[i] for i in kept),
            labels=tuple(renumbered[self.labels[i]] for i in kept),
            names=tuple(self.names[label] for label in present),
            files=self.files,
            groups=tuple(self.groups[i] for i in kept) if self.groups else (),
        )


def open_pictures(path: str | Path) -> PictureSet:
    """Open a folder or zip of identity folders, or a CSV manifest. No picture is decoded.

    - Folder, zip: `NAME/*.jpg`; the names of nested folders are joined (`Greek/character01`). Top folders that all
      pictures share (`lfw/NAME/…`) are left out of the names. Hidden files, `__MACOSX`, files without a picture's
      suffix, and pictures beside the identity folders are passed over.
    - Manifest: a CSV file with the columns `path` (relative to the manifest), `label`, and `group` where there are
      groups; others are passed over.

    Without a column `group`, the identities GROUP/NAME are of the group GROUP.

    Identities and pictures come in natural order (`s2` before `s10`), the same on every machine.

    Raises:
        DataError: missing, empty, without identity folders, damaged or unsafe; the message names what and where.
    """
    source = Path(path)
    if source.is_dir():
        return _from_folders(source, pictures_in_folder(source))
    if not source.exists():
        raise DataError(f"{path} does not exist.", hint="Give a folder, zip or CSV manifest of pictures.")
    if source.suffix.lower() == ".csv":
        return _from_manifest(source)
    if source.suffix.lower() == ".zip" or zipfile.is_zipfile(source):
        return _from_folders(source, pictures_in_zip(source))
    raise DataError(f"{path} is neither a folder, a zip nor a CSV manifest.", hint=_LAYOUT)


def listing_digest(pictures: PictureSet) -> str:
    """SHA-256 (hex) of the paths inside a set and the sizes of the files: the same wherever it lies, as a folder or as
    a zip. Pictures edited so that none changes its size are not noticed."""
    listed = "\n".join(f"{path} {pictures.files.size(path)}" for path in sorted(pictures.paths))
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def split_by_identity(pictures: PictureSet, holdout: float, seed: int) -> tuple[PictureSet, PictureSet]:
    """Hold out a share of the identities, with all their pictures: (train, val).

    At least two identities go to each side, drawn at random from `seed`. Identities with one picture and those with
    more are split in the same proportion, so both sides have pairs to learn from or to measure. A share of 0 holds
    out nothing.

    Raises:
        DataError: fewer than four identities.
    """
    if holdout == 0:
        return pictures, pictures.select(())
    total = len(pictures.names)
    if total < 4:
        raise DataError(
            f"{pictures.source} has {_count(total, 'identity')}: too few to hold some out.",
            hint="Give 4 or more, or held-out identities of their own with --val.",
        )
    counts = [0] * total
    for label in pictures.labels:
        counts[label] += 1
    order = list(range(total))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda label: counts[label] == 1)  # stable: those with several pictures first
    held_out = _every_nth(order, min(max(2, round(holdout * total)), total - 2))
    train = [i for i, label in enumerate(pictures.labels) if label not in held_out]
    val = [i for i, label in enumerate(pictures.labels) if label in held_out]
    return pictures.select(train), pictures.select(val)


def group_of(name: str) -> str:
    """The group of an identity GROUP/NAME: an alphabet, a camera; empty where it has none.

    Example:
        >>> group_of("Greek/alpha")
        'Greek'
    """
    return name.rpartition("/")[0]


def split_by_group(pictures: PictureSet, groups: Sequence[str]) -> tuple[PictureSet, PictureSet]:
    """Hold out the identities GROUP/NAME of some groups: (train, val).

    Raises:
        DataError: there is no such group, or no other.
    """
    groups_of_names = [group_of(name) for name in pictures.names]
    for group in groups:
        if group not in groups_of_names:
            near = difflib.get_close_matches(group, groups_of_names, n=1)
            known = ", ".join(sorted(set(groups_of_names) - {""}))
            if not known:
                hint = "It has none: put the identities of a group into a folder of its own, GROUP/NAME/*.jpg"
            else:
                hint = f"Did you mean {near[0]}?" if near else f"Groups: {known}."
            raise DataError(f"{pictures.source} has no group {group}.", hint=hint)
    if not set(groups_of_names) - set(groups):
        raise DataError(f"All groups of {pictures.source} are held out.", hint="Leave some to learn from.")
    parts: tuple[list[int], list[int]] = ([], [])
    for i, label in enumerate(pictures.labels):
        parts[groups_of_names[label] in groups].append(i)
    return pictures.select(parts[0]), pictures.select(parts[1])


def pictures_of_each(pictures: PictureSet) -> list[list[int]]:
    """The pictures of each identity, by number and in their order."""
    own: list[list[int]] = [[] for _ in pictures.names]
    for i, label in enumerate(pictures.labels):
        own[label].append(i)
    return own


def few_pictures(pictures: PictureSet, count: int, *, each: int) -> PictureSet:
    """At most `count` pictures to try something out on: identity after identity, of those with two pictures or more,
    the first `each` of each, or fewer where they would leave no room for a second identity."""
    each = min(each, count // 2)
    chosen: list[int] = []
    for own in pictures_of_each(pictures):
        hand = own[: min(each, count - len(chosen))]
        if len(hand) > 1:
            chosen += hand
    return pictures.select(chosen)


def require_identities(pictures: PictureSet, at_least: int, *, with_pictures: int = 1) -> None:
    """Refuse a set with too few identities to learn or measure from.

    Raises:
        DataError: fewer than `at_least` identities have `with_pictures` pictures or more.
    """
    counts = [0] * len(pictures.names)
    for label in pictures.labels:
        counts[label] += 1
    found = sum(count >= with_pictures for count in counts)
    if found < at_least:
        several, hint = "", _LAYOUT
        if with_pictures > 1:
            several = f" with {with_pictures} pictures or more"
            hint = f"Put {with_pictures} pictures or more of each identity into its folder: NAME/*.jpg"
        are = "is" if at_least == 1 else "are"
        raise DataError(
            f"{pictures.source} has {_count(found, 'identity')}{several}, and {at_least} {are} needed.", hint=hint
        )


def find_pictures(path: str | Path) -> list[Path]:
    """The pictures to identify: one file, or all pictures of a folder, flat or nested, in natural order.

    Raises:
        DataError: missing, or a folder without pictures.
    """
    source = Path(path)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{path} does not exist.", hint="Give a picture or a folder of pictures.")
    found = sorted(pictures_in_folder(source), key=natural)
    if not found:
        raise DataError(f"{path} holds no pictures.", hint="Give a picture or a folder of pictures.")
    return [source / name for name in found]


def _from_folders(source: Path, found: list[str]) -> PictureSet:
    if not found:
        raise DataError(f"{source} holds no pictures.", hint=_LAYOUT)
    inside = [path for path in found if "/" in path]
    if not inside:
        raise DataError(f"{source} holds {_count(len(found), 'picture')} but no identity folders.", hint=_LAYOUT)
    prefix = _shared_top(inside)
    paths = [path.removeprefix(prefix) for path in inside]
    files: Files = FolderFiles(source / prefix) if source.is_dir() else ZipFiles(source, prefix)
    names = [readable(path.rpartition("/")[0]) for path in paths]
    return _labeled(source, [(name, path, group_of(name)) for name, path in zip(names, paths, strict=True)], files)


def _shared_top(paths: list[str]) -> str:
    """The folders that all paths start with, as far as an identity folder remains below them."""
    folders = [path.split("/")[:-1] for path in paths]
    depth = 0
    while len({tuple(parts[: depth + 1]) for parts in folders}) == 1 and all(len(p) > depth + 1 for p in folders):
        depth += 1
    return "".join(f"{part}/" for part in folders[0][:depth])


def _from_manifest(source: Path) -> PictureSet:
    try:
        with source.open(encoding="utf-8-sig", newline="") as opened:
            labeled = _manifest_rows(source, csv.DictReader(opened, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{source} is not CSV text ({error}).", hint="Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.") from error
    if not labeled:
        raise DataError(f"{source} lists no pictures.", hint="Add rows of path,label.")
    return _labeled(source, labeled, FolderFiles(source.parent))


def _manifest_rows(source: Path, rows: "csv.DictReader[str]") -> list[tuple[str, str, str]]:
    missing = [column for column in ("path", "label") if column not in (rows.fieldnames or ())]
    if missing:
        raise DataError(f"{source} has no column {missing[0]!r}.", hint="Its first line must name path and label.")
    line_of: dict[str, int] = {}
    labeled = []
    grouped = "group" in (rows.fieldnames or ())
    for row in rows:
        line = rows.line_num
        path, label = (row["path"] or "").strip(), (row["label"] or "").strip()
        if not path or not label:
            raise DataError(f"{source}, line {line}: {'label' if path else 'path'} is empty.", hint="Fill it in.")
        if path in line_of:
            raise DataError(f"{source}, line {line}: {path} is listed in line {line_of[path]} already.")
        if not (source.parent / path).is_file():
            raise DataError(
                f"{source}, line {line}: {path} does not exist.", hint="Paths are relative to the manifest."
            )
        line_of[path] = line
        labeled.append((label, path, (row["group"] or "").strip() if grouped else group_of(label)))
    return labeled


def _labeled(source: Path, labeled: list[tuple[str, str, str]], files: Files) -> PictureSet:
    names = sorted({label for label, _, _ in labeled}, key=natural)
    number = {name: i for i, name in enumerate(names)}
    ordered = sorted(labeled, key=lambda row: (number[row[0]], natural(row[1])))
    return PictureSet(
        source=str(source),
        paths=tuple(path for _, path, _ in ordered),
        labels=tuple(number[label] for label, _, _ in ordered),
        names=tuple(names),
        files=files,
        groups=tuple(group for _, _, group in ordered) if any(group for _, _, group in ordered) else (),
    )


def _every_nth(order: list[int], count: int) -> set[int]:
    """`count` elements at equal distances, from the first on."""
    return {order[i * len(order) // count] for i in range(count)}


def natural(text: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts whole numbers by value (the shorter is the smaller), and texts that are then alike by themselves."""
    parts = [(part.lstrip("0"), i % 2) for i, part in enumerate(re.split(r"(\d+)", text))]
    return [(len(part) if is_number else 0, part) for part, is_number in parts], text


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"{'only ' if noun == 'identity' else ''}1 {noun}"
    return f"{number} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"
