"""Two models side by side: what differs, and how surely."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor, nn

from firstsight.config import ModelConfig, Network
from firstsight.data.identities import open_pictures
from firstsight.errors import UserError
from firstsight.evaluation.comparison import Comparison, compare
from firstsight.evaluation.protocol_pages import comparison_table, write_comparison
from firstsight.evaluation.protocols import evaluate
from firstsight.models.folder import Model, make_model


class FewPixels(nn.Module):
    """Looks at six pixels only."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.normalize(x_BCHW.flatten(1)[:, :6] + 0.01)


@pytest.fixture(scope="module")
def comparison(
    model: Model, write_identities: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    folder = tmp_path_factory.mktemp("compared")
    pictures = open_pictures(write_identities(folder / "set", {f"p{i:02d}": 4 for i in range(20)}, noise=80))
    config = ModelConfig(network=Network(name="custom", embedding_size=6), preprocessing=model.config.preprocessing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTSIGHT_CACHE", str(folder / "cache"))
        worse = evaluate(make_model(FewPixels(), config, name="<few>"), pictures, trials=20)
        return compare(evaluate(model, pictures, trials=20), worse)


def test_differences_are_those_of_the_figures(comparison: Comparison) -> None:
    figures = comparison.to_json()
    for key in ("accuracy", "auc", "eer", "val_at_far_1e-1", "val_at_far_1e-2"):
        difference = comparison.one.to_json()[key] - comparison.other.to_json()[key]
        assert figures[f"{key}_difference"] == pytest.approx(difference)
        assert figures[f"{key}_difference_low"] < difference < figures[f"{key}_difference_high"]
        assert figures[f"against_{key}"] == comparison.other.to_json()[key]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_better_model_is_named_and_the_sign_follows_the_order(comparison: Comparison) -> None:
    assert comparison.verdict() == "pixels is better."
    turned = compare(comparison.other, comparison.one)
    assert turned.verdict() == "pixels is better."
    assert turned.differences["auc"][0] == -comparison.differences["auc"][0]


def test_a_model_does_not_differ_from_itself(comparison: Comparison) -> None:
    """Both meet the same identities in each resampling: with draws of their own, the interval would have width."""
    same = compare(comparison.one, comparison.one)
    assert {(difference, interval.low, interval.high) for difference, interval in same.differences.values()} == {
        (0, 0, 0)
    }
    assert same.verdict() == "These pictures do not tell which is better."


def test_other_pictures_or_choices_cannot_be_compared(comparison: Comparison) -> None:
    fewer = comparison.one.pictures.select(range(40))
    for other in (replace(comparison.other, pictures=fewer), replace(comparison.other, seed=1)):
        with pytest.raises(UserError, match="only be compared on the same pictures, trials and seed"):
            compare(comparison.one, other)


def test_the_page_shows_both(comparison: Comparison, tmp_path: Path) -> None:
    page = write_comparison(tmp_path, comparison, title="Two models", summary="Side by side.").read_text("utf-8")
    table = comparison_table(comparison)
    assert table.columns[1:3] == ("pixels", "<few>")
    assert "&lt;few&gt;" in page
    assert "<few>" not in page
    assert f"{100 * comparison.differences['accuracy'][0]:+.1f} (+" in table.rows[0][3]
    assert json.loads((tmp_path / "report.json").read_text()) == comparison.to_json()
