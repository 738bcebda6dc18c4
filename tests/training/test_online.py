"""The learner of streams: its step against autograd's, its sums against plain ones, and what may not depend on chance.

B rows, F features, I inputs, E networks, K inputs of the last layer, O outputs, M members.
"""

from typing import Any

import numpy as np
import pytest
import torch

from firstsight.config import Learner
from firstsight.models.committee import CommitteeNetwork
from firstsight.training.context import Context
from firstsight.training.online import OnlineLearner, one_hot

ROWS = 600


def rows_and_classes(count: int = ROWS, seed: int = 0) -> tuple[Any, Any]:
    """Three features, two of which say of which of three classes a row is."""
    generator = np.random.default_rng(seed)
    x_BF = generator.normal(size=(count, 3)) * [1.0, 40.0, 0.01] + [0.0, -300.0, 5.0]
    label_B = (x_BF[:, 0] > 0).astype(int) + ((x_BF[:, 0] > 0) & (x_BF[:, 1] > -300))
    return x_BF, label_B


def learn(every: int, *, count: int = ROWS, **flags: Any) -> OnlineLearner:
    """A learner of three classes after so many rows, learned in steps of `every`."""
    learner = OnlineLearner(Learner(**flags), features=3, outputs=3, classes=True)
    x_BF, label_B = rows_and_classes(count)
    for start in range(0, count, every):
        step = slice(start, min(start + every, count))
        target_BO = one_hot(label_B[step], 3)
        x_BI = learner.context.inputs(x_BF[step], target_BO, np.arange(len(target_BO)))
        learner.learn(target_BO, learner.forward(x_BI))
    return learner


@pytest.mark.parametrize("loss", ["quadratic", "cross-entropy"])
def test_a_step_is_that_of_autograd(loss: Any) -> None:
    """w − η Σ g / √(Σ g²), with the gradient g of each example's loss by autograd, in every network."""
    learner = learn(8, count=40, loss=loss)
    networks = len(learner.view_EI)
    before = {name: array.copy() for name, array in learner.arrays().items()}
    x_BF, label_B = rows_and_classes(9, seed=1)
    target_BO = one_hot(label_B, 3)
    x_BI = learner.context.inputs(x_BF, target_BO, np.arange(9))
    learner.learn(target_BO, learner.forward(x_BI))
    for e in range(networks):
        weights = [torch.tensor(before[name][e], requires_grad=True) for name in ("hidden_MIH", "last_MKO")]
        squares = [torch.tensor(before[name][e]) for name in ("hidden_square_EIH", "last_square_EKO")]
        sums = [torch.zeros_like(weight) for weight in weights]
        for x_I, target_O in zip(torch.tensor(x_BI * before["view_EI"][e]), torch.tensor(target_BO), strict=True):
            output_O = torch.cat([torch.relu(x_I @ weights[0]), x_I]) @ weights[1]
            value = (
                0.5 * (output_O - target_O).square().sum()
                if loss == "quadratic"
                else torch.nn.functional.cross_entropy(output_O, target_O)
            )
            for total, square, gradient in zip(sums, squares, torch.autograd.grad(value, weights), strict=True):
                total += gradient
                square += gradient.square()
        rate = learner.rate_E11[e, 0, 0]
        for weight, total, square, name in zip(weights, sums, squares, ("hidden_MIH", "last_MKO"), strict=True):
            expected = weight - rate * total / square.sqrt()
            torch.testing.assert_close(torch.tensor(learner.arrays()[name][e]), expected.detach(), atol=2e-6, rtol=1e-5)


def test_to_first_order_steps_do_not_depend_on_how_arrivals_fall_into_batches() -> None:
    """From the same weights, 64 examples move them alike one by one, by 8, by 32 and at once: what the ways differ by,
    in relation to their length, falls with the rate. Steps of the mean would be 8, 32 and 64 times shorter."""
    warm = learn(8, count=512, rates=(0.1,), average=0.0).arrays()
    x_BF, label_B = rows_and_classes(64, seed=7)

    def way(every: int, rate: float) -> Any:
        learner = OnlineLearner(Learner(rates=(rate,), average=0.0), features=3, outputs=3, classes=True)
        learner.load({name: array.copy() for name, array in warm.items()} | {"rate_E11": learner.rate_E11})
        for start in range(0, 64, every):
            target_BO = one_hot(label_B[start : start + every], 3)
            x_BI = learner.context.inputs(x_BF[start : start + every], target_BO, np.arange(every))
            learner.learn(target_BO, learner.forward(x_BI))
        return learner.last_MKO - warm["last_MKO"]

    def difference(every: int, rate: float) -> float:
        one_by_one = way(1, rate)
        return float(np.linalg.norm(way(every, rate) - one_by_one) / np.linalg.norm(one_by_one))

    for every in (8, 32, 64):
        assert difference(every, 0.0125) < min(0.15, difference(every, 0.1) / 2)


@pytest.mark.parametrize("sizes", [[1] * 12, [5, 7], [12]])
def test_running_statistics_and_memories_are_plain_sums_whatever_the_batches(sizes: list[int]) -> None:
    x_BF, label_B = rows_and_classes(12)
    x_BF[3, 1] = np.nan
    target_BO = one_hot(label_B, 3)
    context, found, start = Context(3, 3), [], 0
    for size in sizes:
        step = slice(start, start + size)
        found.append(context.inputs(x_BF[step], target_BO[step], np.arange(size)))
        start += size
    x_BI = np.concatenate(found)
    row_F, means = np.zeros(3), np.zeros((2, 3))
    for i in range(12):
        so_far = x_BF[: i + 1]
        std_F = np.nanstd(so_far, axis=0)
        z_F = np.nan_to_num((x_BF[i] - np.nanmean(so_far, axis=0)) / np.where(std_F > 0, std_F, 1))
        np.testing.assert_allclose(x_BI[i, :4], [1, *z_F], atol=1e-5)
        np.testing.assert_allclose(x_BI[i, 4:7], z_F - row_F, atol=1e-5)
        np.testing.assert_allclose(x_BI[i, 7:13], np.concatenate([z_F - means[0], z_F - means[1]]), atol=1e-5)
        row_F = z_F
        means = np.stack([0.9 * means[0] + 0.1 * z_F, 0.98 * means[1] + 0.02 * z_F])
        last, one_before = (target_BO[i - lag] if i >= lag else np.zeros(3) for lag in (1, 2))
        slow = [sum(((1 - r) * r ** (i - 1 - j) * target_BO[j] for j in range(i)), np.zeros(3)) for r in (0.8, 0.98)]
        np.testing.assert_allclose(x_BI[i, 13:], np.stack([last, one_before, *slow], axis=1).ravel(), atol=1e-5)


def test_memories_go_on_within_a_large_step() -> None:
    x_BF, label_B = rows_and_classes(700)
    target_BO = one_hot(label_B, 3)
    whole, parts = Context(3, 3), Context(3, 3)
    at_once = whole.inputs(x_BF, target_BO, np.arange(700))
    in_parts = [parts.inputs(x_BF[i : i + 50], target_BO[i : i + 50], np.arange(50)) for i in range(0, 700, 50)]
    np.testing.assert_allclose(at_once, np.concatenate(in_parts), atol=1e-5)


@pytest.mark.parametrize("config", [Learner(memory=1.0), Learner(temporal=False), Learner(memory=1.0, temporal=False)])
def test_members_count_something_from_the_first_number_on(config: Learner) -> None:
    rng = np.random.default_rng(0)
    x_BF = rng.normal(size=(64, 2))
    target_BO = (x_BF @ [[1.0], [-2.0]]).astype(np.float32)
    learner = OnlineLearner(config, features=2, outputs=1, classes=False)
    for i in range(0, 64, 8):
        assert learner.member_weights.sum() == pytest.approx(1)
        x_BI = learner.context.inputs(x_BF[i : i + 8], target_BO[i : i + 8], np.arange(8))
        learner.learn(target_BO[i : i + 8], learner.forward(x_BI))
    assert (learner.member_weights >= 0).all()
    assert config.temporal or learner.member_weights[-1] == 0, "the no-change prediction is of the temporal model"


def test_a_label_is_not_seen_before_it_is_known() -> None:
    """Rows that arrive before any of the labels of their batch see none of them."""
    x_BF, label_B = rows_and_classes(6)
    late, blind = Context(3, 3), Context(3, 3)
    known = late.inputs(x_BF, one_hot(label_B, 3), np.zeros(6, int))
    np.testing.assert_array_equal(known, blind.inputs(x_BF, one_hot([], 3), np.zeros(6, int)))
    assert late.last_label[label_B[-1]] == 1


def test_constants_and_cells_without_a_number_are_the_mean() -> None:
    context = Context(3, 0)
    x_BF = np.array([[1e9 + 0.1, np.nan, np.inf], [1e9 + 0.1, np.nan, 1e200], [1e9 + 0.1, 7.0, np.nan]])
    assert not context.inputs(x_BF, np.zeros((0, 0)), np.zeros(3, int))[:, 1:4].any()
    mean_F, std_F = context.standard.moments
    np.testing.assert_allclose(mean_F, [1e9 + 0.1, 7, 0])
    np.testing.assert_array_equal(std_F, 1)


def test_a_new_class_changes_nothing_of_what_was_learned() -> None:
    learner = learn(8, loss="quadratic", temporal=False)
    x_BF, _ = rows_and_classes(5, seed=2)
    x_BI = learner.context.inputs(x_BF, one_hot([], 3), np.zeros(5, int))
    before = learner.forward(x_BI).mixed_BO
    learner.add_output()
    after = learner.forward(x_BI)
    np.testing.assert_allclose(after.mixed_BO[:, :3], before, atol=1e-6)
    assert not after.mixed_BO[:, 3].any()
    for _ in range(200):
        learner.learn(one_hot([3] * 5, 4), learner.forward(x_BI))
    assert (learner.forward(x_BI).mixed_BO.argmax(1) == 3).all()


def test_it_goes_on_from_its_arrays_bit_for_bit() -> None:
    whole = learn(8, count=80)
    x_BF, label_B = rows_and_classes(80)
    again = OnlineLearner(Learner(), features=3, outputs=3, classes=True)
    again.load({name: array.copy() for name, array in learn(8, count=40).arrays().items()})
    for start in range(40, 80, 8):
        target_BO = one_hot(label_B[start : start + 8], 3)
        x_BI = again.context.inputs(x_BF[start : start + 8], target_BO, np.arange(8))
        again.learn(target_BO, again.forward(x_BI))
    expected = whole.arrays()
    assert again.arrays().keys() == expected.keys()
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("loss", ["quadratic", "cross-entropy"])
def test_the_saved_network_says_what_the_learner_would_say_of_the_next_row(loss: Any) -> None:
    learner = learn(8, loss=loss)
    config, buffers = learner.for_model()
    network = CommitteeNetwork(config, 3, 3)
    network.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in buffers.items()})
    mean_F, std_F = learner.context.standard.moments
    row_F = np.array([0.3, -280.0, 5.001])
    said = network(torch.tensor((row_F - mean_F) / std_F, dtype=torch.float32)[None])
    expected = learner.forward(learner.context.inputs(row_F[None], one_hot([], 3), np.zeros(1, int))).mixed_BO
    # the learner's statistics have that row in them already
    torch.testing.assert_close(said, torch.tensor(expected), atol=5e-3, rtol=0)


def test_the_saved_network_says_of_numbers_what_the_learner_would() -> None:
    """One of its networks says the change from the last number."""
    generator = np.random.default_rng(1)
    learner = OnlineLearner(Learner(), features=2, outputs=1, classes=False)
    last_11 = np.zeros((1, 1))
    for _ in range(60):
        row_F = generator.normal(size=2)
        target_11 = np.array([[row_F[0] + 0.9 * last_11[0, 0]]], np.float32)
        learner.learn(
            target_11, learner.forward(learner.context.inputs(row_F[None], target_11, np.zeros(1, int)), last_11)
        )
        last_11 = target_11.astype(np.float64)
    assert learner.change_M.sum() == 2
    config, buffers = learner.for_model()
    network = CommitteeNetwork(config, 2, 1)
    network.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in buffers.items()})
    mean_F, std_F = learner.context.standard.moments
    row_F = np.array([0.4, -0.2])
    said = network(torch.tensor((row_F - mean_F) / std_F, dtype=torch.float32)[None])
    x_BI = learner.context.inputs(row_F[None], np.zeros((0, 1)), np.zeros(1, int))
    torch.testing.assert_close(said, torch.tensor(learner.forward(x_BI, last_11).mixed_BO), atol=2e-2, rtol=0)


def test_labels_in_runs_are_learned_as_runs() -> None:
    """Where rows say nothing and labels stay, it soon says the last label again, and not without its memory."""

    def right(temporal: bool) -> float:
        learner = OnlineLearner(Learner(temporal=temporal), features=1, outputs=2, classes=True)
        generator = np.random.default_rng(3)
        label, hits = 0, 0
        for _ in range(600):
            label = int(label ^ (generator.random() < 0.1))
            x_BI = learner.context.inputs(generator.normal(size=(1, 1)), one_hot([label], 2), np.zeros(1, int))
            seen = learner.forward(x_BI)
            hits += int(seen.mixed_BO[0].argmax() == label)
            learner.learn(one_hot([label], 2), seen)
        return hits / 600

    assert right(True) > 0.85
    assert right(False) < 0.75
