"""Lists of picture pairs in the published format of LFW's pairs.txt.

The first line holds the number of folds and of pairs (`10 300`; a single number means one fold). Each fold then has
that many same pairs, `NAME I J`, and as many different ones, `NAME1 I NAME2 J`.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from firstsight.data.identities import PictureSet
from firstsight.errors import DataError

_FORMAT = "Expected: folds and pairs in the first line, then lines of NAME I J or NAME1 I NAME2 J."


@dataclass(frozen=True)
class PairList:
    """Pairs of pictures of a set, by index, none left out.

    A picture that is named but not in the set has the index len(set) + i, where `missing[i]` is its identity and
    number.
    """

    source: str
    left: tuple[int, ...]
    right: tuple[int, ...]
    same: tuple[bool, ...]
    fold: tuple[int, ...]
    missing: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return len(self.same)

    @property
    def folds(self) -> int:
        return max(self.fold) + 1


def read_pairs(path: str | Path, pictures: PictureSet) -> PairList:
    """Read a pairs file and find its pictures.

    Picture I of NAME is the one of that identity whose file name ends in the number I: `NAME/NAME_0004.jpg`,
    `NAME/4.png`.

    Raises:
        DataError: not such a file, or none of its pictures is in the set; the message names the line.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", hint="Give the path of a pairs file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text ({error.reason}).", hint=_FORMAT) from error
    rows = [(number, line.split("\t") if "\t" in line else line.split()) for number, line in enumerate(lines, 1)]
    rows = [(number, [cell.strip() for cell in cells]) for number, cells in rows if any(map(str.strip, cells))]
    folds, pairs = _header(path, rows)
    if len(rows) - 1 != folds * 2 * pairs:
        raise DataError(
            f"{path} announces {folds} x 2 x {pairs} pairs and has {len(rows) - 1}.", hint="Take the file whole."
        )
    place = _Places(path, pictures)
    ends = [_pair(path, number, cells, same=i % (2 * pairs) < pairs) for i, (number, cells) in enumerate(rows[1:])]
    left, right = (tuple(place.of(*pair[side]) for pair in ends) for side in (0, 1))
    if min(left + right) >= len(pictures):
        raise DataError(
            f"{path} names no picture of {pictures.source}; its first pair is {' '.join(rows[1][1])}.",
            hint="Give the pictures that these pairs are of.",
        )
    same = tuple(one[0] == other[0] for one, other in ends)
    fold = tuple(i // (2 * pairs) for i in range(len(ends)))
    return PairList(str(path), left, right, same, fold, tuple(place.missing))


def _header(path: str | Path, rows: list[tuple[int, list[str]]]) -> tuple[int, int]:
    cells = rows[0][1] if rows else []
    if len(cells) not in (1, 2) or not all(cell.isdecimal() and int(cell) for cell in cells):
        raise DataError(f"{path} is not a pairs file: its first line is {' '.join(cells)!r}.", hint=_FORMAT)
    return int(cells[0]) if len(cells) == 2 else 1, int(cells[-1])


def _pair(path: str | Path, number: int, cells: list[str], *, same: bool) -> tuple[tuple[str, int], tuple[str, int]]:
    names, numbers = (cells[:1] * 2, cells[1:]) if same else (cells[::2], cells[1::2])
    right_size = len(cells) == (3 if same else 4)
    if not right_size or not all(map(str.isdecimal, numbers)) or (names[0] == names[1]) != same:
        kind = "same" if same else "different"
        raise DataError(
            f"{path}, line {number}: {' '.join(cells)!r} is not a pair of the {kind} identity.", hint=_FORMAT
        )
    return (names[0], int(numbers[0])), (names[1], int(numbers[1]))


class _Places:
    """Where in a set the picture of a name and a number is."""

    def __init__(self, path: str | Path, pictures: PictureSet) -> None:
        self.missing: dict[tuple[str, int], int] = {}
        self._path = path
        self._pictures = pictures
        self._found: dict[tuple[str, int], list[int]] = {}
        for i, (picture, label) in enumerate(zip(pictures.paths, pictures.labels, strict=True)):
            if digits := re.search(r"\d+$", PurePosixPath(picture).stem):
                self._found.setdefault((pictures.names[label], int(digits[0])), []).append(i)

    def of(self, name: str, number: int) -> int:
        found = self._found.get((name, number), [])
        if len(found) > 1:
            paths = " and ".join(self._pictures.paths[i] for i in found)
            raise DataError(f"{self._path}: {name} {number} can be {paths}.", hint="Number the pictures, each once.")
        return found[0] if found else self.missing.setdefault((name, number), len(self._pictures) + len(self.missing))
