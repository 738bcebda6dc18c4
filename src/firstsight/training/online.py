"""Learning from what arrives: SGD on the summed loss, where the number of examples n is never known.

The loss is the plain sum C = ½ Σ ‖L(x) − o‖² (2-1 without n), or the cross-entropy of a softmax, whose gradient at the
outputs is L(x) − o as well. Without n there is no mean to take, so the learning rate η belongs to an example: a batch
of B moves the weights by the sum of B gradients, which to first order in η is what B single examples would have done.
Each weight's rate is η / √(Σ g² so far) (AdaGrad, Duchi et al. 2011), and that sum too is taken over the gradients g of
the single examples, not over those of batches: the steps do not depend on how arrivals fall into batches.

Nobody can tune η on a stream that has not come yet, so several networks learn side by side, with different rates and
different views of a row: the row; its changes as well; the labels before it as well. Beside each goes the slow average
of its weights (Polyak and Juditsky 1992), beside all of them the no-change prediction, that the last label repeats.
What is predicted is their mean, weighted by exp(−recent quadratic loss) (Vovk 1990), or, for numbers, by a power of the
recent absolute error, as their unit must not matter. For numbers, the last network of those that see labels predicts
the change from the last one.

This is not the loop of loop.py: there are no epochs, no plan of batches and no end, the number of outputs grows, and a
step of a hundred microseconds has no room for autograd. The networks of all rates and views are one array, so that
NumPy goes through all of them at once; tests/training/test_online.py holds their gradient against autograd's.

B rows, F features, I inputs, E networks, M members (networks, averages, no-change), H hidden, O outputs.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstsight.config import Learner
from firstsight.errors import TrainingError
from firstsight.model_config import Committee
from firstsight.models.committee import FARTHEST, PER_FEATURE, PER_LABEL, input_count
from firstsight.training.context import Arrays, Context, Floats

Float32s = NDArray[np.float32]
SMOOTH = 1e-2
"""What sums of squared gradients begin with: the first step of a weight is not all of its rate."""
WORST = 4.0
"""Squared error ‖L(x) − o‖² of one example that no longer lowers a member's weight: an outlier condemns nobody."""
SHARPNESS = 0.3
"""Numbers: the weight of a member is its recent mean absolute error to the power of minus this times the rows."""


class Forward(NamedTuple):
    """What the networks made of inputs, kept for the gradient. `output_MBO` ends with the no-change prediction."""

    x_EBI: Float32s
    last_EBK: Float32s
    output_MBO: Float32s
    mixed_BO: Float32s


class OnlineLearner:
    """The committee while it learns. `classes`: its outputs are classes, else numbers in standard deviations.

    Example:
        >>> learner = OnlineLearner(Learner(), features=1, outputs=2, classes=True)
        >>> x_BI = learner.context.inputs(np.array([[0.0], [1.0]]), one_hot([0, 1], 2), np.array([0, 1]))
        >>> learner.learn(one_hot([0, 1], 2), learner.forward(x_BI))
        >>> learner.forward(x_BI).mixed_BO.argmax(1)
        array([0, 1])
    """

    def __init__(self, config: Learner, *, features: int, outputs: int, classes: bool) -> None:
        self.config = config
        self.features = features
        self.classes = classes
        self.softmax = classes and config.loss != "quadratic"
        self.views = _views(features) if config.temporal else _views(features)[:1]
        self.context = Context(features, outputs)
        self.examples = 0
        self.rate_E11 = np.tile(np.array(config.rates, np.float32), len(self.views))[:, None, None]
        networks, inputs = len(self.rate_E11), input_count(features, outputs)
        self.view_EI = self._view(inputs)
        self.hidden_MIH = np.zeros((2 * networks, 0, config.hidden), np.float32)
        self.last_MKO = np.zeros((2 * networks, config.hidden, outputs), np.float32)
        self.hidden_square_EIH = np.zeros((networks, 0, config.hidden), np.float32)
        self.last_square_EKO = np.full((networks, config.hidden, outputs), SMOOTH, np.float32)
        self.change_M = np.zeros(2 * networks + 1, np.float32)
        if config.temporal and not classes:
            self.change_M[[networks - 1, 2 * networks - 1]] = 1
        self.loss_M = np.zeros(2 * networks + 1)
        if not config.temporal:
            self.loss_M[-1] = np.inf
        self._add_inputs(inputs)

    @property
    def outputs(self) -> int:
        return int(self.last_MKO.shape[2])

    @property
    def member_weights(self) -> Floats:
        """How much each member counts."""
        loss_M = self.loss_M
        if not self.classes:  # the unit of a number says nothing about how sure one may be: ratios count
            memory = self.config.memory
            rows = self.examples if memory == 1 else (1 - memory**self.examples) / (1 - memory)
            loss_M = SHARPNESS * (rows or 1) * np.log(loss_M + 1e-9)  # at first all losses are 0, or infinite
        weight_M = np.exp(loss_M.min() - loss_M)
        return np.asarray(weight_M / weight_M.sum())

    def forward(self, x_BI: Float32s, last_BO: Floats | None = None) -> Forward:
        """What is predicted of inputs; those that were made when there were fewer outputs are filled up.

        Args:
            x_BI: the inputs.
            last_BO: of numbers, the one that was known before each row, in the units of the outputs.
        """
        if x_BI.shape[1] < self.view_EI.shape[1]:
            x_BI = np.pad(x_BI, ((0, 0), (0, self.view_EI.shape[1] - x_BI.shape[1])))
        networks, units, count = len(self.view_EI), self.config.hidden, len(x_BI)
        x_EBI = x_BI * self.view_EI[:, None]
        last_2EBK = np.empty((2, networks, count, units + x_BI.shape[1]), np.float32)  # the networks, their averages
        hidden_2EBH = x_EBI @ self.hidden_MIH.reshape(2, networks, -1, units)
        np.maximum(hidden_2EBH, 0, out=last_2EBK[..., :units])
        last_2EBK[..., units:] = x_EBI
        output_MBO = np.empty((2 * networks + 1, count, self.outputs), np.float32)
        np.matmul(last_2EBK.reshape(2 * networks, count, -1), self.last_MKO, out=output_MBO[:-1])
        if self.softmax and self.outputs:
            output_MBO[:-1] = _softmax(output_MBO[:-1])
        first_label = 1 + PER_FEATURE * self.features
        output_MBO[-1] = x_BI[:, first_label::PER_LABEL] if last_BO is None else last_BO
        if not self.classes:
            output_MBO[:-1] += self.change_M[:-1, None, None] * output_MBO[-1]
        weight_M = self.member_weights.astype(np.float32)
        mixed_BO = (weight_M @ output_MBO.reshape(len(weight_M), -1)).reshape(output_MBO.shape[1:])
        return Forward(x_EBI, last_2EBK[0], output_MBO, mixed_BO)

    def learn(self, target_BO: Float32s, seen: Forward) -> None:
        """One step on the summed loss.

        Args:
            target_BO: one-hot classes, or standardized numbers.
            seen: of these examples, by the weights as they are.

        Raises:
            TrainingError: the loss is not finite; the weights are left as they were.
        """
        output_MBO = seen.output_MBO
        if not self.classes:  # as far as targets go: an outlier must not undo what was learned
            output_MBO = output_MBO.clip(-FARTHEST, FARTHEST)
        error_MBO = output_MBO - target_BO
        square_MB = np.einsum("mbo,mbo->mb", error_MBO, error_MBO)
        if not math.isfinite(square_MB.sum()):
            raise TrainingError(
                f"The loss is not finite after {self.examples:,} examples.",
                hint="Lower --rates, or look for broken values in the stream.",
            )
        count = len(target_BO)
        self.loss_M *= self.config.memory**count
        self.loss_M += (np.minimum(square_MB, WORST) if self.classes else np.sqrt(square_MB)).sum(1)
        self._step(seen, error_MBO[: len(self.view_EI)])
        self.examples += count

    def add_output(self) -> None:
        """A class that was not known before: it gets a zero in all that was, and inputs for its own labels."""
        self.context.add_output()
        self._add_output()

    def restore(self, arrays: Arrays) -> None:
        """Go back to earlier weights, but not to what was known of rows and labels then."""
        outputs = self.outputs
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, arrays[name].copy())
        while self.outputs < outputs:
            self._add_output()

    def _add_output(self) -> None:
        self.last_MKO = np.pad(self.last_MKO, ((0, 0), (0, 0), (0, 1)))
        self.last_square_EKO = _padded(self.last_square_EKO, 2, 1)
        self._add_inputs(PER_LABEL)

    def faster(self, times: float) -> None:
        """Raise each weight's rate by forgetting squared gradients; the rates fall again as examples come."""
        self.hidden_square_EIH /= times * times
        self.last_square_EKO /= times * times

    def arrays(self) -> Arrays:
        """Everything that it has learned and remembers."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return own | self.context.arrays() | {"examples": np.array(self.examples)}

    def load(self, arrays: Arrays) -> None:
        """Go on from there, bit for bit."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, arrays[name])
        self.examples = int(arrays["examples"])
        self.context.load(arrays)

    def for_model(self) -> tuple[Committee, Arrays]:
        """The network of models/committee.py that predicts as this does now, as its settings and its buffers."""
        context = self.context
        config = Committee(networks=len(self.view_EI), hidden=self.config.hidden, classes=self.softmax)
        return config, {
            "hidden_MIH": self.hidden_MIH, "last_MKO": self.last_MKO, "view_EI": self.view_EI,
            "weight_M": self.member_weights, "change_M": self.change_M,
            "row_F": context.row_F, "rows_SF": context.rows_SF,
            "labels_OT": context.labels_now, "no_change_O": context.last_label,
        }  # fmt: skip

    def _step(self, seen: Forward, error_EBO: Float32s) -> None:
        networks, units = len(self.view_EI), self.config.hidden
        back_EBH: Float32s = error_EBO @ self.last_MKO[:networks, :units].swapaxes(1, 2)
        back_EBH *= seen.last_EBK[:, :, :units] > 0
        self._move(self.hidden_MIH, self.hidden_square_EIH, seen.x_EBI, back_EBH)
        self._move(self.last_MKO, self.last_square_EKO, seen.last_EBK, error_EBO)

    def _move(self, weights: Float32s, squares: Float32s, input_EBK: Float32s, error_EBO: Float32s) -> None:
        """w <- w − η Σ g / √(Σ g² so far), of weights between these inputs and these errors; then the slow average."""
        input_EKB = input_EBK.swapaxes(1, 2)
        networks, count = len(squares), input_EBK.shape[1]
        squares += np.square(input_EKB) @ np.square(error_EBO)
        step = input_EKB @ error_EBO
        step /= np.sqrt(squares)
        step *= self.rate_E11
        weights[:networks] -= step
        toward = np.subtract(weights[:networks], weights[networks:], out=step)
        toward *= np.float32(1 - self.config.average**count)
        weights[networks:] += toward

    def _add_inputs(self, count: int) -> None:
        """Weights of further inputs, drawn by the seed and by how many there were; all others stay."""
        networks = len(self.rate_E11)
        before = self.hidden_MIH.shape[1]
        self.view_EI = self._view(before + count)
        generator = np.random.default_rng([self.config.seed, before])
        fan_E11 = np.maximum(self.view_EI.sum(1), 1)[:, None, None]
        drawn = generator.normal(size=(networks, count, self.config.hidden)) / np.sqrt(fan_E11)
        if not before:
            drawn[:, 0] = generator.uniform(-0.5, 0.5, size=(networks, self.config.hidden))  # the biases
        more = np.tile(drawn.astype(np.float32), (2, 1, 1))
        self.hidden_MIH = np.concatenate([self.hidden_MIH, more], 1)
        self.hidden_square_EIH = _padded(self.hidden_square_EIH, 1, count)
        self.last_MKO = np.pad(self.last_MKO, ((0, 0), (0, count), (0, 0)))
        self.last_square_EKO = _padded(self.last_square_EKO, 1, count)

    def _view(self, inputs: int) -> Float32s:
        """Which inputs each network sees: a one or a zero."""
        seen = [np.arange(inputs) < (inputs if view is None else view) for view in self.views]
        return np.repeat(np.array(seen, np.float32), len(self.config.rates), axis=0)


def _views(features: int) -> list[int | None]:
    """How many of the inputs each view has: the row, its changes, and all with the labels before it."""
    return [1 + features, 1 + PER_FEATURE * features, None]


def _padded(squares: Float32s, axis: int, count: int) -> Float32s:
    """With the sums of squared gradients of further weights."""
    widths = [(0, count if i == axis else 0) for i in range(squares.ndim)]
    return np.pad(squares, widths, constant_values=SMOOTH)


def _softmax(logit_MBO: Float32s) -> Float32s:
    exp_MBO = np.exp(logit_MBO - logit_MBO.max(2, keepdims=True))
    exp_MBO /= exp_MBO.sum(2, keepdims=True)
    return np.asarray(exp_MBO)


def one_hot(labels_B: Sequence[float] | NDArray[Any], outputs: int) -> Float32s:
    """B x O: a one for each label."""
    return _eye(outputs)[np.asarray(labels_B, np.int64)]


@functools.lru_cache(maxsize=8)
def _eye(outputs: int) -> Float32s:
    return np.eye(outputs, dtype=np.float32)
