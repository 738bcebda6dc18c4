"""One stream while it is learned: arrivals become examples, each predicted before it is learned."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.config import StreamRecipe
from firstsight.data.arrivals import Row, RowReader
from firstsight.data.streams import Arrival, Offset
from firstsight.errors import DataError
from firstsight.evaluation.prequential import Prequential, class_errors, number_errors
from firstsight.training.context import Arrays, Floats, RunningStandardization
from firstsight.training.drift import DriftWatch
from firstsight.training.online import OnlineLearner, one_hot
from firstsight.workflows.stream_said import Said, packed, unpacked, with_labels

FASTER = 10.0
"""How often the rates are raised at a drift where the recipe says so."""
HOPELESS = 100
"""So many arrivals, all refused, are no stream of such records."""
MOST_CLASSES = 256
"""The networks grow with the square of how many classes there are: a column in which nothing comes again has none."""

Refuse = Callable[[str, Arrival], None]


class Session:
    """Learns arrivals in micro-batches. A row is predicted by what was known when it arrived; rows of one micro-batch
    by the same weights, but each with the labels before it.

    `refuse` hears of each arrival that cannot be used.

    Raises:
        DataError: from `take`: the first 100 arrivals were all refused; from `require_some`: all were, or none came.
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
        self.waiting: dict[str, Said] = {}  # one row each
        self.good: Arrays = {}
        self._recipe = recipe
        self._refuse = refuse
        self._complaint: DataError | None = None
        self._number_of: dict[str, int] = {}
        self.last = math.nan
        self._rows: list[Row] = []
        self._known: list[int] = []  # how many of the labels were known when each row came
        self._own: list[int | None] = []  # which of the labels is its own
        self._labels: list[int | float] = []
        self._late: list[tuple[Said, int]] = []  # a row of before, and which of the labels is its own

    @property
    def pending(self) -> bool:
        """Whether something came since the last step."""
        return bool(self._rows or self._labels)

    def take(self, arrival: Arrival) -> None:
        """Read an arrival; where a step is due, make it."""
        self.arrivals += 1
        try:
            if isinstance(arrival.record, str):
                raise DataError(f"{arrival.record[0].upper()}{arrival.record[1:]}.")
            self._add(self.reader.read(arrival.record))
        except DataError as error:
            self.refused += 1
            self._refuse(str(error), arrival)
            self._complaint = error
            if self.arrivals == HOPELESS:
                self._refuse_hopeless(f"The first {HOPELESS} arrivals were all refused")
        self.offset = arrival.offset
        every = self._recipe.stream.every
        if len(self._rows) >= every or len(self._labels) >= every:
            self.flush()

    def require_some(self, source: str, hint: str) -> None:
        """Refuse a stream that ended before there was anything to learn from; `hint` says what may arrive."""
        if not self.arrivals:
            raise DataError(f"Nothing arrived from {source}.", hint=hint)
        self._refuse_hopeless(f"All that arrived was refused, {self.arrivals} in all")

    def _refuse_hopeless(self, what: str) -> None:
        if self._complaint and self.refused == self.arrivals:
            raise DataError(
                f"{what}; the last: {self._complaint.message}",
                hint=self._complaint.hint or "Name what to learn: --target COLUMN, --features A B C.",
            ) from self._complaint

    def flush(self) -> None:
        """Predict the rows that came, count what was right, and learn: one step."""
        if not self._rows and not self._labels:
            return
        if self.learner is None:
            self.learner = self._begun(0 if self.classes else 1)
        learner = self.learner
        rows, known, own, labels, late = self._rows, self._known, self._own, self._labels, self._late
        self._rows, self._known, self._own, self._labels, self._late = [], [], [], [], []
        new = self.classes and bool(labels) and labels[-1] == learner.outputs
        before_K = np.array([self.last, *labels], np.float64)
        scale = [0.0, 1.0] if self.classes else [float(moment[0]) for moment in self.numbers.moments]
        known_KO = self._targets(labels[:-1] if new else labels)
        said = seen = None
        if rows:
            x_BF = np.array([row.x for row in rows], np.float64)
            x_BI = learner.context.inputs(x_BF, known_KO, np.array(known))
            seen = learner.forward(x_BI, self._last_of(before_K[known], scale))
            said = Said(x_BI, seen.mixed_BO, before_K[known], np.array([scale] * len(rows)))
            self._park(rows, own, said)
        else:
            learner.context.note(known_KO)
        self.last = float(before_K[-1])
        if new:
            learner.add_output()
            learner.context.note(one_hot([int(labels[-1])], learner.outputs))
        own_B = [label for label in own if label is not None] + [label for _, label in late]
        if not own_B:
            return
        examples = with_labels(said, own, [row for row, _ in late])
        label_B = before_K[1:][own_B]
        self._score(examples, label_B)
        target_BO = one_hot(label_B, learner.outputs) if self.classes else known_KO[own_B]
        if seen is None or new or examples is not said:
            seen = learner.forward(examples.x_BI, self._last_of(examples.no_change_B, scale))
        learner.learn(target_BO, seen)

    def keep_good(self) -> None:
        """These weights are what a restart goes back to."""
        if self.learner is not None and self._recipe.stream.drift == "restart":
            self.good = {name: array.copy() for name, array in self.learner.arrays().items()}

    def _add(self, row: Row) -> None:
        if len(self.names) >= MOST_CLASSES and row.label is not None and str(row.label) not in self._number_of:
            raise DataError(f"The column {self.reader.target} has more than {MOST_CLASSES} classes.")
        if row.x is None:
            if row.id not in self.waiting:
                self.flush()  # its row may be among those
            if row.id is None or row.id not in self.waiting:
                raise DataError(f"No row waits for the label of {self.reader.id} {row.id}.")
            assert row.label is not None
            self._late.append((self.waiting.pop(row.id), len(self._labels)))
            self._note(row.label)
            return
        if row.label is None and row.id is not None and row.id in self.waiting:
            raise DataError(f"A row waits for the label of {self.reader.id} {row.id} already.")
        known = len(self._labels)
        self._rows.append(row)
        self._known.append(known)
        if row.label is None:
            self._own.append(None)
        else:
            self._own.append(known)
            self._note(row.label)

    def _begun(self, outputs: int) -> OnlineLearner:
        return OnlineLearner(
            self._recipe.learner, features=len(self.reader.features), outputs=outputs, classes=self.classes
        )

    def _note(self, label: str | float) -> None:
        """A label became known. That of a new class ends the micro-batch: from there on there is an output for it."""
        if not self.classes:
            self._labels.append(float(label))
            if math.isnan(self.last) and len(self._labels) == 1:  # from there on there is a number to start from
                self.flush()
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
            return one_hot(labels, self.learner.outputs)
        if not labels:
            return np.zeros((0, 1), np.float32)
        return self.numbers.apply(np.array(labels, np.float64)[:, None]).astype(np.float32)

    def _last_of(self, no_change_B: Floats, scale: list[float]) -> Floats | None:
        """What no-change says of numbers, in the units of the outputs."""
        return None if self.classes else np.nan_to_num((no_change_B[:, None] - scale[0]) / scale[1])

    def _park(self, rows: list[Row], own: list[int | None], said: Said) -> None:
        if None not in own:
            return
        for i, row in enumerate(rows):
            if own[i] is None and row.id is not None:
                self.waiting[row.id] = said.rows([i])
        while len(self.waiting) > self._recipe.stream.waiting:
            given_up = next(iter(self.waiting))
            del self.waiting[given_up]
            reason = f"Its label did not come while {self._recipe.stream.waiting:,} other rows waited."
            self.refused += 1
            self._refuse(reason, Arrival(self.offset, {self.reader.id: given_up}))

    def _score(self, examples: Said, label_B: Floats) -> None:
        """Count what was said of rows when they arrived, now that their labels are known."""
        if self.classes:
            errors = class_errors(examples.mixed_BO, examples.no_change_B, label_B.astype(np.int64))
        else:
            told_B = ~np.isnan(examples.no_change_B)  # before the first number no-change has nothing to say
            if not told_B.any():
                return
            told = examples.rows(told_B)
            errors = number_errors(told.mixed_BO[:, 0], told.scale_B2, told.no_change_B, label_B[told_B])
        self.figures.add(*errors)
        error_B = errors[0]
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
        """All that the rest of the stream depends on: plain values, and arrays."""
        arrays: Arrays = {"figures.sums": self.figures.sums, "figures.recent": self.figures.recent}
        arrays |= {f"numbers.{name}": value for name, value in vars(self.numbers).items()}
        if self.learner is not None:
            arrays |= {f"learner.{name}": value for name, value in self.learner.arrays().items()}
        if self.watch is not None:
            arrays["drift.errors"] = self.watch.errors
        arrays |= {f"good.{name}": value for name, value in self.good.items()}
        arrays |= packed("waiting", [*self.waiting.values()]) | packed("late", [row for row, _ in self._late])
        header = {
            "offset": self.offset, "arrivals": self.arrivals, "refused": self.refused, "drifts": self.drifts,
            "features": self.reader.features, "names": self.names, "rows": self.figures.rows,
            "last": None if math.isnan(self.last) else self.last, "waiting": [*self.waiting],
            "step": [self._rows, self._known, self._own, self._labels, [label for _, label in self._late]],
        }  # fmt: skip
        return header, arrays

    def load(self, header: dict[str, Any], arrays: Arrays) -> None:
        """Go on from there."""
        self.offset, self.last = header["offset"], math.nan if header["last"] is None else header["last"]
        self.arrivals, self.refused, self.drifts = header["arrivals"], header["refused"], header["drifts"]
        self.reader.features, self.names = tuple(header["features"]), list(header["names"])
        self._number_of = {name: number for number, name in enumerate(self.names)}
        self.figures.rows = header["rows"]
        self.figures.sums, self.figures.recent = arrays["figures.sums"], arrays["figures.recent"]
        for name in vars(self.numbers):
            setattr(self.numbers, name, arrays[f"numbers.{name}"])
        learned = _part(arrays, "learner")
        if learned:
            self.learner = self._begun(learned["last_MKO"].shape[2])
            self.learner.load(learned)
        self.waiting = dict(zip(header["waiting"], unpacked(_part(arrays, "waiting")), strict=True))
        rows, self._known, self._own, self._labels, late = header["step"]
        self._rows = [Row(*row) for row in rows]
        self._late = [*zip(unpacked(_part(arrays, "late")), late, strict=True)]
        if self.watch is not None:
            self.watch.load(arrays["drift.errors"])
        self.good = _part(arrays, "good")


def _part(arrays: Arrays, part: str) -> Arrays:
    return {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}
