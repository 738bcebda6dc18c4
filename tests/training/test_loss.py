"""The loss as a part of the recipe: the right one, with its figures, or a sentence why not."""

import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses

from firstsight.config import Recipe
from firstsight.errors import MissingExtra, RecipeError
from firstsight.functional.losses import quadratic_loss
from firstsight.functional.triplets import triplet_loss
from firstsight.recipes import with_flags
from firstsight.training.loss import make_loss


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    x_BD = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    return x_BD, torch.arange(12) % 4


@pytest.mark.parametrize("select", ["all", "semihard"])
def test_the_triplet_loss_obeys_its_settings(select: Any) -> None:
    x_BD, labels_B = batch()
    found = make_loss(with_flags(Recipe(), margin=0.5, select=select, reduction="sum"))(x_BD, labels_B)
    expected = triplet_loss(x_BD, labels_B, margin=0.5, select=select, reduction="sum")
    assert torch.equal(found.value, expected.value)
    assert found.figures["active"] == expected.active.item() > 0
    assert "value" not in found.figures


def test_fallback_and_softplus_are_settings() -> None:
    x_BD, labels_B = batch()
    soft = make_loss(with_flags(Recipe(), select="batch-hard", soft=True))(x_BD, labels_B)
    assert torch.equal(soft.value, triplet_loss(x_BD, labels_B, select="batch-hard", soft=True).value)
    skip = make_loss(with_flags(Recipe(), select="semihard", fallback="skip"))(x_BD, labels_B)
    expected = triplet_loss(x_BD, labels_B, select="semihard", fallback="skip")
    assert skip.figures["considered"] == expected.considered.item()
    assert skip.figures["considered"] < triplet_loss(x_BD, labels_B, select="semihard").considered.item()


def test_auto_is_the_quadratic_loss_where_numbers_are_predicted() -> None:
    output_BO, target_BO = torch.rand(5, 2), torch.rand(5, 2)
    found = make_loss(with_flags(Recipe(), task="regression"))(output_BO, target_BO)
    assert torch.equal(found.value, quadratic_loss(output_BO, target_BO))


@pytest.mark.parametrize("name", ["MultiSimilarityLoss", "NTXentLoss", "ContrastiveLoss"])
def test_a_loss_of_pytorch_metric_learning_by_name(name: str) -> None:
    x_BD, labels_B = batch()
    found = make_loss(with_flags(Recipe(), loss=f"pml:{name}"))(x_BD, labels_B)
    assert torch.equal(found.value, getattr(losses, name)()(x_BD, labels_B))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"loss": "tripplet"}, "There is no loss tripplet. Did you mean triplet?"),
        ({"loss": "cross-entropy"}, "The loss cross-entropy does not fit the task embedding."),
        ({"loss": "triplet", "task": "regression"}, "Add --loss quadratic, or another --task."),
        ({"loss": "pml:NTXentLoss", "task": "regression"}, "does not fit the task regression"),
        ({"loss": "pml:MultiSimilarityLos"}, "has no loss MultiSimilarityLos. Did you mean pml:MultiSimilarityLoss?"),
        ({"loss": "pml:zzz"}, "has no loss zzz. See the losses"),
        ({"loss": "pml:ArcFaceLoss"}, "pml:ArcFaceLoss keeps a vector for each identity"),
    ],
)
def test_a_loss_that_cannot_be_taken(flags: dict[str, str], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        make_loss(with_flags(Recipe(), **flags))
    assert said in str(error.value)


def test_without_the_extra_the_line_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(MissingExtra, match=r'needs pytorch-metric-learning. Type: pip install "firstsight\[losses\]"'):
        make_loss(with_flags(Recipe(), loss="pml:NTXentLoss"))
