"""One-shot runs in the published layout of Omniglot: `runNN/training`, `runNN/test`, `runNN/class_labels.txt`."""

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from firstsight.data.files import Files, FolderFiles, ZipFiles, pictures_in_folder, pictures_in_zip
from firstsight.data.identities import PictureSet
from firstsight.errors import DataError

ANSWERS = "class_labels.txt"
_LAYOUT = "Expected: runNN/training/*.png, runNN/test/*.png and runNN/class_labels.txt."


@dataclass(frozen=True)
class OneShotRun:
    """Indices of the pictures that are enrolled, one of each class, and of those to be recognized."""

    name: str
    training: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class RunSet:
    """Runs, and the pictures of all of them; a class of one run is an identity of its own: `run01/class15`."""

    pictures: PictureSet
    runs: tuple[OneShotRun, ...]


def open_runs(path: str | Path) -> RunSet:
    """Open a folder or zip of one-shot runs. No picture is decoded.

    A line of class_labels.txt holds a test picture and the training picture of its class.

    Raises:
        DataError: missing, not in this layout, or an answer without its picture or a picture without its answer.
    """
    source = Path(path)
    if not source.exists():
        raise DataError(f"{path} does not exist.", hint="Give a folder or zip of one-shot runs.")
    files, pictures, answers = _folder(source) if source.is_dir() else _zip(source)
    if not answers:
        raise DataError(f"{path} holds no one-shot runs: there is no {ANSWERS} in it.", hint=_LAYOUT)
    paths: list[str] = []
    names: list[str] = []
    labels: list[int] = []
    runs = []
    for listed in sorted(answers):
        folder = str(PurePosixPath(listed).parent)
        pairs = _answers(files, listed, folder, pictures)
        training = sorted({enrolled for _, enrolled in pairs} | _inside(pictures, f"{folder}/training/"))
        name = PurePosixPath(folder).name
        class_of = {enrolled: len(names) + i for i, enrolled in enumerate(training)}
        start = len(paths)
        names += [f"{name}/{PurePosixPath(enrolled).stem}" for enrolled in training]
        paths += [*training, *(test for test, _ in pairs)]
        labels += [*class_of.values(), *(class_of[enrolled] for _, enrolled in pairs)]
        middle = start + len(training)
        runs.append(OneShotRun(name, tuple(range(start, middle)), tuple(range(middle, len(paths)))))
    return RunSet(PictureSet(str(path), tuple(paths), tuple(labels), tuple(names), files), tuple(runs))


def _folder(source: Path) -> tuple[Files, set[str], list[str]]:
    answers = [found.relative_to(source).as_posix() for found in source.rglob(ANSWERS)]
    return FolderFiles(source), set(pictures_in_folder(source)), answers


def _zip(source: Path) -> tuple[Files, set[str], list[str]]:
    pictures = set(pictures_in_zip(source))  # and the zip was found safe
    with zipfile.ZipFile(source) as opened:
        listed = [name for name in opened.namelist() if PurePosixPath(name).name == ANSWERS]
    return ZipFiles(source), pictures, [name for name in listed if not name.startswith("__MACOSX/")]


def _answers(files: Files, listed: str, folder: str, pictures: set[str]) -> list[tuple[str, str]]:
    """(test picture, training picture) of each line, after all test pictures were found to have one answer."""
    where = files.where(listed)
    try:
        lines = files.read(listed).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not text ({error.reason}).", hint=_LAYOUT) from error
    above = PurePosixPath(folder).parent
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = [str(above / cell) for cell in line.split()]
        if len(cells) != 2:
            raise DataError(f"{where}, line {number}: {line.strip()!r} is not two pictures.", hint=_LAYOUT)
        for cell in cells:
            if cell not in pictures:
                raise DataError(f"{where}, line {number}: {files.where(cell)} does not exist.", hint=_LAYOUT)
        pairs.append((cells[0], cells[1]))
    tests = sorted(test for test, _ in pairs)
    present = sorted(_inside(pictures, f"{folder}/test/"))
    if tests != present:
        odd = next(test for test in tests + present if tests.count(test) != present.count(test))
        raise DataError(f"{where} has {tests.count(odd)} answers for {files.where(odd)}, not one.", hint=_LAYOUT)
    return pairs


def _inside(pictures: set[str], folder: str) -> set[str]:
    return {picture for picture in pictures if picture.startswith(folder)}
