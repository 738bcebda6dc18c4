"""One stream while it is learned: arrivals become examples, each predicted before it is learned."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstsight.config import StreamRecipe
from firstsight.data.arrivals import Row, RowReader
from firstsight.data.streams import Arrival, Offset
from firstsight.errors import DataError
from firstsight.evaluation.prequential import Prequential
from firstsight.training.context import Arrays, RunningStandardization
from firstsight.training.drift import DriftWatch
from firstsight.training.online import Float32s, OnlineLearner, one_hot

FASTER = 10.0
"""How often the rates are raised at a drift where the recipe says so."""
HOPELESS = 100
"""So many arrivals, all refused, are no stream of such records."""

Refuse = Callable[[str, Arrival], None]


class _Waiting(NamedTuple):
    """A row whose label has not come: its inputs, and what was said of it when it arrived."""

    x_I: Float32s
    mixed_O: Float32s
    no_change: int | float | None
    mean: float  # of the numbers before it, in whose standard deviations `mixed_O` is
    std: float


class _Late(NamedTuple):
    """The row of a label that came late, and which of the labels of the batch that is."""

    waiting: _Waiting
    label: int


class Session:
    """Learns arrivals in micro-batches. A row is predicted by what was known when it arrived; rows of one micro-batch
    by the same weights, but each with the labels before it.

    `refuse` hears of each arrival that cannot be used.

    Raises:
        DataError: from `take`: the first 100 arrivals were all refused.
        TrainingError: from `flush`: the loss is not finite.
    """

    def __init__(self, recipe: StreamRecipe, refuse: Refuse) -> None:
        options = recipe.stream
        self.classes = options.task == "classification"
        self.reader = RowReader(options.target, classes=self.classes, features=options.features, id=options.id)
        self.figures = Prequential(options.window, classes=self.classes)
        self.watch = DriftWatch() if options.drift != "ignore" else None
        self.learner: OnlineLearner | None = None
        self.numbers = RunningStandardization(1)
        self.names: list[str] = []
        self.offset: Offset | None = None
        self.arrivals = self.refused = self.drifts = 0
        self.waiting: dict[str, _Waiting] = {}
        self.good: Arrays = {}
        self._recipe = recipe
        self._refuse = refuse
        self._number_of: dict[str, int] = {}
        self._last: int | float | None = None
        self._rows: list[tuple[Row, int, int | None]] = []  # how many labels were known, and which is its own
        self._labels: list[int | float] = []
        self._late: list[_Late] = []

    @property
    def pending(self) -> int:
        """Examples and rows that the next step will have."""
        return max(len(self._rows), len(self._labels))

    def take(self, arrival: Arrival) -> None:
        """Read an arrival; where a step is due, make it."""
        self.arrivals += 1
        try:
            if isinstance(arrival.record, str):
                raise DataError(f"{arrival.record[0].upper()}{arrival.record[1:]}.")
            self._add(self.reader.read(arrival.record))
        except DataError as error:
            self.refused += 1
            self._refuse(error.message, arrival)
            if self.refused == self.arrivals == HOPELESS:
                raise DataError(
                    f"The first {HOPELESS} arrivals were all refused; the last: {error.message}",
                    hint=error.hint or "Name what to learn: --target COLUMN, --features A B C.",
                ) from error
        self.offset = arrival.offset
        if self.pending >= self._recipe.stream.every:
            self.flush()

    def flush(self) -> None:
        """Predict the rows that came, count what was right, and learn: one step."""
        if not self._rows and not self._labels:
            return
        rows, labels, late = self._rows, self._labels, self._late
        self._rows, self._labels, self._late = [], [], []
        if self.learner is None:
            features, outputs = len(self.reader.features), 0 if self.classes else 1
            self.learner = OnlineLearner(
                self._recipe.learner, features=features, outputs=outputs, classes=self.classes
            )  # fmt: skip
        learner = self.learner
        new = self.classes and bool(labels) and labels[-1] == learner.outputs
        mean, std = (float(moment[0]) for moment in self.numbers.moments)
        known_KO = self._targets(labels[:-1] if new else labels)
        before = [self._last, *labels]
        seen, x_BI = None, np.empty((0, 0), np.float32)
        if rows:
            x_BF = np.array([row.x for row, _, _ in rows], np.float64)
            x_BI = learner.context.inputs(x_BF, known_KO, np.array([known for _, known, _ in rows]))
            seen = learner.forward(x_BI)
            said = [_Waiting(x_I, mixed_O, before[known], mean, std) for x_I, mixed_O, (_, known, _) in zip(
                x_BI, seen.mixed_BO, rows, strict=True
            )]  # fmt: skip
            self._park(rows, said)
            late = [*(_Late(row, own) for row, (_, _, own) in zip(said, rows, strict=True) if own is not None), *late]
        else:
            learner.context.note(known_KO)
        self._last = before[-1]
        if new:
            learner.add_output()
            learner.context.note(one_hot([int(labels[-1])], learner.outputs))
        if not late:
            return
        self._score([(row, labels[own]) for row, own in late])
        own_B = [own for _, own in late]
        target_BO = one_hot([int(labels[own]) for own in own_B], learner.outputs) if self.classes else known_KO[own_B]
        if seen is None or new or len(late) != len(rows) or any(own is None for _, _, own in rows):
            seen = learner.forward(_stacked([row.x_I for row, _ in late]))
        learner.learn(target_BO, seen)

    def keep_good(self) -> None:
        """These weights are what a restart goes back to."""
        if self.learner is not None and self._recipe.stream.drift == "restart":
            self.good = {name: array.copy() for name, array in self.learner.arrays().items()}

    def _add(self, row: Row) -> None:
        own = None
        if row.x is None:
            if row.id not in self.waiting:
                self.flush()  # its row may be among those
            if row.id is None or row.id not in self.waiting:
                raise DataError(f"No row waits for the label of {self.reader.id} {row.id}.")
            assert row.label is not None
            self._late.append(_Late(self.waiting.pop(row.id), len(self._labels)))
            self._note(row.label)
            return
        if row.label is None and row.id is not None and row.id in self.waiting:
            raise DataError(f"A row waits for the label of {self.reader.id} {row.id} already.")
        known = len(self._labels)
        if row.label is not None:
            own = known
        self._rows.append((row, known, own))
        if row.label is not None:
            self._note(row.label)

    def _note(self, label: str | float) -> None:
        """A label became known. That of a new class ends the micro-batch: from there on there is an output for it."""
        if not self.classes:
            self._labels.append(float(label))
            return
        number = self._number_of.setdefault(str(label), len(self.names))
        self._labels.append(number)
        if number == len(self.names):
            self.names.append(str(label))
            self.flush()

    def _targets(self, labels: list[int | float]) -> NDArray[Any]:
        """K x O: one-hot classes, or numbers standardized by those up to themselves."""
        assert self.learner is not None
        if self.classes:
            return one_hot([int(label) for label in labels], self.learner.outputs)
        if not labels:
            return np.zeros((0, 1), np.float32)
        return self.numbers.apply(np.array(labels, np.float64)[:, None]).astype(np.float32)

    def _park(self, rows: list[tuple[Row, int, int | None]], said: list[_Waiting]) -> None:
        for (row, _, own), what in zip(rows, said, strict=True):
            if own is None and row.id is not None:
                self.waiting[row.id] = what
        while len(self.waiting) > self._recipe.stream.waiting:
            given_up = next(iter(self.waiting))
            del self.waiting[given_up]
            reason = f"Its label did not come while {self._recipe.stream.waiting:,} other rows waited."
            self.refused += 1
            self._refuse(reason, Arrival(self.offset, {self.reader.id: given_up}))

    def _score(self, found: list[tuple[_Waiting, int | float]]) -> None:
        """Count what was said of rows when they arrived, now that their labels are known."""
        if not self.classes:  # before the first number no-change has nothing to say
            found = [(row, label) for row, label in found if row.no_change is not None]
        if not found:
            return
        score = _class_errors if self.classes else _number_errors
        error_B, no_change_B, loss_B = score([row for row, _ in found], np.array([label for _, label in found]))
        self.figures.add(error_B, no_change_B, loss_B)
        if self.watch is not None and self.watch.add(error_B):
            self.drifts += 1
            self._answer()

    def _answer(self) -> None:
        assert self.learner is not None
        if self._recipe.stream.drift == "faster":
            self.learner.faster(FASTER)
        elif self._recipe.stream.drift == "restart" and self.good:
            self.learner.restore(self.good)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """All that the rest of the stream depends on, after a step: plain values, and arrays."""
        waiting = list(self.waiting.values())
        arrays: Arrays = {"figures.sums": self.figures.sums, "figures.recent": self.figures.recent}
        arrays |= {f"numbers.{name}": value for name, value in vars(self.numbers).items()}
        if self.learner is not None:
            arrays |= {f"learner.{name}": value for name, value in self.learner.arrays().items()}
        if waiting:
            arrays["waiting.x"] = _stacked([row.x_I for row in waiting])
            arrays["waiting.mixed"] = _stacked([row.mixed_O for row in waiting])
        if self.watch is not None:
            arrays["drift.errors"] = self.watch.settle()
        arrays |= {f"good.{name}": value for name, value in self.good.items()}
        header = {
            "offset": self.offset, "arrivals": self.arrivals, "refused": self.refused, "drifts": self.drifts,
            "features": self.reader.features, "names": self.names, "last": self._last, "rows": self.figures.rows,
            "waiting": [[id, len(row.x_I), len(row.mixed_O), *row[2:]] for id, row in self.waiting.items()],
        }  # fmt: skip
        return header, arrays

    def load(self, header: dict[str, Any], arrays: Arrays) -> None:
        """Go on from there."""
        self.offset, self._last = header["offset"], header["last"]
        self.arrivals, self.refused, self.drifts = header["arrivals"], header["refused"], header["drifts"]
        self.reader.features, self.names = tuple(header["features"]), list(header["names"])
        self._number_of = {name: number for number, name in enumerate(self.names)}
        self.figures.rows = header["rows"]
        self.figures.sums, self.figures.recent = arrays["figures.sums"], arrays["figures.recent"]
        for name in vars(self.numbers):
            setattr(self.numbers, name, arrays[f"numbers.{name}"])
        learned = _part(arrays, "learner")
        if learned:
            outputs = learned["last_MKO"].shape[2]
            self.learner = OnlineLearner(
                self._recipe.learner, features=len(self.reader.features), outputs=outputs, classes=self.classes
            )
            self.learner.load(learned)
        for place, (id, inputs, outputs, *rest) in enumerate(header["waiting"]):
            x_I, mixed_O = arrays["waiting.x"][place, :inputs], arrays["waiting.mixed"][place, :outputs]
            self.waiting[id] = _Waiting(x_I, mixed_O, *rest)
        if self.watch is not None:
            self.watch.load(arrays["drift.errors"])
        self.good = _part(arrays, "good")


def _part(arrays: Arrays, part: str) -> Arrays:
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}


def _stacked(rows: list[Float32s]) -> Float32s:
    """Rows under each other; those from before there were so many outputs are filled up."""
    widest = max(map(len, rows))
    if all(len(row) == widest for row in rows):
        return np.stack(rows)
    return np.stack([np.pad(row, (0, widest - len(row))) for row in rows])


def _class_errors(rows: list[_Waiting], label_B: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Error, that of no-change, and loss of each; of a class that was not known then, every guess is wrong."""
    mixed_BO = _stacked([row.mixed_O for row in rows])
    guess_B = mixed_BO.argmax(1) if mixed_BO.shape[1] else np.full(len(rows), -1)
    no_change_B = np.array([-1 if row.no_change is None else row.no_change for row in rows])
    outputs = max(mixed_BO.shape[1], int(label_B.max()) + 1)
    error_BO = np.pad(mixed_BO, ((0, 0), (0, outputs - mixed_BO.shape[1]))) - one_hot(label_B, outputs)
    return guess_B != label_B, no_change_B != label_B, 0.5 * np.square(error_BO).sum(1)


def _number_errors(rows: list[_Waiting], label_B: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    mixed_B, no_change_B, mean_B, std_B = np.array([[row.mixed_O[0], *row[2:]] for row in rows], np.float64).T
    error_B = np.abs(mixed_B * std_B + mean_B - label_B)
    return error_B, np.abs(no_change_B - label_B), 0.5 * np.square(error_B / std_B)
