"""From records of a stream to rows of numbers with a label: each that does not fit is refused with its reason."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from firstsight.data.rows import decimal_hint
from firstsight.errors import DataError


class Row(NamedTuple):
    """What one arrival says: features in the order of the columns (NaN: an empty cell), or None where only a label
    came; a class, a number, or None where the label comes later; and the id that joins the two."""

    x: list[float] | None
    label: str | float | None
    id: str | None


class RowReader:
    """Reads records of the same columns. Where `features` names none, the first record does: all but target and id.

    Raises:
        DataError: from `read`: a column is missing or new, or a cell is not what it should be. Its message says which.
    """

    def __init__(self, target: str, *, classes: bool, features: Sequence[str] = (), id: str = "") -> None:
        self.target, self.id, self.classes = target, id, classes
        self.features = tuple(features)
        self._chosen = bool(features)  # other columns do not matter then
        self._own = {target, id} - {""}

    def numbers(self, record: dict[str, Any]) -> list[float]:
        """The features alone, whatever else is there."""
        missing = next((name for name in self.features if name not in record), None)
        if missing is not None:
            raise DataError(f"The column {missing} is missing.")
        return [_number(name, record[name]) for name in self.features]

    def read(self, record: dict[str, Any]) -> Row:
        """All that the record says."""
        if not self.features:
            self._settle(record)
        label = self._label(record.get(self.target))
        number = _text(record.get(self.id)) if self.id else None
        x: list[float] | None
        try:
            x = [*map(float, map(record.__getitem__, self.features))]
        except (KeyError, ValueError, TypeError):
            x = self._carefully(record, late=label is not None and number is not None)
        if self.target not in record and number is None:
            raise DataError(f"The column {self.target} is missing.")
        if not self._chosen and len(record) > len(self.features) + sum(name in record for name in self._own):
            known = {*self.features, *self._own}
            raise DataError(f"The column {next(name for name in record if name not in known)} is new.")
        if label is None and number is None and self.id:
            raise DataError(f"It has neither {self.target} nor {self.id}.")
        return Row(x, label, number)

    def _settle(self, record: dict[str, Any]) -> None:
        if self.target not in record and not self.id:
            raise DataError(f"The column {self.target} is missing.", hint=f"It has {', '.join(map(str, record))}.")
        names = tuple(name for name in record if name not in self._own)
        if not names:
            raise DataError("There is no column to predict from.")
        for name in names:
            _number(name, record[name])
        self.features = names

    def _carefully(self, record: dict[str, Any], *, late: bool) -> list[float] | None:
        cells = [record.get(name) for name in self.features]
        if late and all(cell is None or cell == "" for cell in cells):
            return None
        return self.numbers(record)

    def _label(self, cell: Any) -> str | float | None:
        if cell is None or cell == "":
            return None
        if self.classes:
            return _text(cell)
        number = _number(self.target, cell)
        if not math.isfinite(number):
            raise DataError(f"The column {self.target} is {cell!r}, not a finite number.")
        return number


def _text(cell: Any) -> str | None:
    """A class or an id: 1, 1.0 and "1" are the same; NaN is none."""
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        cell = int(cell) if cell.is_integer() else cell
    return str(cell).strip() or None if cell is not None else None


def _number(name: str, cell: Any) -> float:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    try:
        return float(cell)
    except (ValueError, TypeError) as error:
        raise DataError(f"The column {name} is {cell!r}, not a number.", hint=decimal_hint(str(cell))) from error
