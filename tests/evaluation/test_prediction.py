"""Figures of predictions against scikit-learn and hand-worked values."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from firstsight.errors import UserError
from firstsight.evaluation.prediction import (
    class_figures,
    classified,
    confusion_section,
    number_figures,
    number_table,
    regressed,
)
from firstsight.evaluation.report import report_page

NAMES = ("ant", "bee", "cow")


def scores(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(0, 3, (count,), generator=generator)
    scores_NO = torch.rand(count, 3, generator=generator)
    scores_NO[torch.arange(count), labels_N] += 0.4
    return scores_NO, labels_N


def test_accuracy_and_confusion_agree_with_scikit_learn() -> None:
    scores_NO, labels_N = scores()
    found = classified(scores_NO, labels_N, NAMES)
    guess = scores_NO.argmax(1).numpy()
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels_N, guess))
    assert 0 < found.accuracy < 1
    np.testing.assert_array_equal(found.confusion_OO, metrics.confusion_matrix(labels_N, guess))
    figures = class_figures(found)
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
    assert figures["error"] == pytest.approx(1 - figures["accuracy"])
    assert figures["examples"] == 60


def test_the_worst_are_those_most_sure_of_a_wrong_class() -> None:
    scores_NO = torch.tensor([[1.0, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 0.2, 0.8], [0.0, 1.0, 0.0]])
    found = classified(scores_NO, torch.tensor([1, 1, 0, 1]), NAMES)
    assert found.worst == ((0, 0), (2, 2), (1, 0)), "sure by 0.9, by 0.8, by 0.2"
    assert found.accuracy == 0.25


def test_a_class_without_examples_is_shown() -> None:
    found = classified(torch.eye(3)[:2], torch.tensor([0, 1]), NAMES)
    page = report_page("t", "s", sections=[confusion_section(found)])
    assert "cow" in page


def test_r2_and_errors_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    true_NO = torch.randn(50, 2, generator=generator)
    predicted_NO = true_NO + 0.3 * torch.randn(50, 2, generator=generator)
    found = regressed(predicted_NO, true_NO, ("x", "y"))
    assert found.r2 == pytest.approx(metrics.r2_score(true_NO, predicted_NO, multioutput="raw_values"))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(true_NO, predicted_NO, multioutput="raw_values"))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(true_NO, predicted_NO, multioutput="raw_values"))
    figures = number_figures(found)
    assert figures["r2"] == pytest.approx(sum(found.r2) / 2)
    assert figures["rmse_y"] == found.rmse[1]


def test_large_numbers_are_written_out() -> None:
    true_NO = torch.tensor([[0.0, 0.0], [200_000.0, 2.0]])
    found = regressed(true_NO + torch.tensor([59_350.4, 0.0123456]), true_NO, ("dollars", "meters"))
    assert [row[2:] for row in number_table(found).rows] == [["59,350", "59,350"], ["0.01235", "0.01235"]]


def test_a_constant_target() -> None:
    true_NO = torch.full((4, 1), 2.0)
    assert regressed(true_NO, true_NO, ("x",)).r2 == (1.0,)
    assert regressed(true_NO + 1, true_NO, ("x",)).r2 == (0.0,)


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(UserError, match="no examples. Give held-out examples with --val"):
        classified(torch.empty(0, 3), torch.empty(0, dtype=torch.int64), NAMES)
    with pytest.raises(UserError, match="no examples"):
        regressed(torch.empty(0, 1), torch.empty(0, 1), ("x",))
