"""Two models side by side: what differs, and how surely."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from firstsight.config import Network
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.errors import UserError
from firstsight.evaluation.comparison import Comparison, compare
from firstsight.evaluation.episodes import evaluate_episodes
from firstsight.evaluation.folds import PairsEvaluation, evaluate_pairs
from firstsight.evaluation.protocol_pages import comparison_table, write_comparison
from firstsight.evaluation.protocols import evaluate
from firstsight.evaluation.retrieval import evaluate_retrieval
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model


class FewPixels(nn.Module):
    """Looks at six pixels only."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.normalize(x_BCHW.flatten(1)[:, :6] + 0.01)


@pytest.fixture(scope="module")
def worse(model: Model) -> Model:
    config = ModelConfig(network=Network(name="custom", embedding_size=6), preprocessing=model.config.preprocessing)
    return make_model(FewPixels(), config, name="<few>")


@pytest.fixture(scope="module")
def pictures(write_identities: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> PictureSet:
    folder = tmp_path_factory.mktemp("compared") / "set"
    return open_pictures(write_identities(folder, {f"p{i:02d}": 4 for i in range(20)}, noise=80))


@pytest.fixture(scope="module")
def comparison(
    model: Model, worse: Model, pictures: PictureSet, tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return compare(evaluate(model, pictures, trials=20), evaluate(worse, pictures, trials=20))


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


def test_other_pictures_choices_or_protocols_cannot_be_compared(
    comparison: Comparison, model: Model, worse: Model, pictures: PictureSet
) -> None:
    fewer = pictures.select(range(40))
    for other in (
        evaluate(worse, fewer, trials=20),
        evaluate(worse, pictures, trials=20, seed=1),
        evaluate(worse, pictures, trials=19),
        evaluate_retrieval(worse, pictures),
    ):
        with pytest.raises(UserError, match="only be compared on the same pictures, trials and seed"):
            compare(comparison.one, other)


def test_listed_pairs_are_compared_pair_by_pair(
    model: Model, worse: Model, pictures: PictureSet, tmp_path: Path
) -> None:
    """Against the same by hand: identities drawn with replacement, the gain in right answers over the pairs drawn."""
    same, different = ([f"p{i:02d} {j} {k}" for i in range(20)] for j, k in ((0, 1), (2, 3)))
    strangers = [f"p{i:02d} {j} p{(i + 7) % 20:02d} {j}" for j in (0, 1) for i in range(20)]
    lines = ["2 20", *same, *strangers[:20], *different, *strangers[20:]]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    pair_list = read_pairs(tmp_path / "pairs.txt", pictures)
    found = compare(*(evaluate_pairs(each, pictures, pair_list) for each in (model, worse)))
    assert isinstance(found.one, PairsEvaluation)
    assert isinstance(found.other, PairsEvaluation)
    assert found.one.folded is not None
    assert found.other.folded is not None
    gained = found.one.folded.correct.numpy().astype(int) - found.other.folded.correct.numpy()
    difference, interval = found.differences["accuracy"]
    assert difference == pytest.approx(gained.mean())
    assert interval.low < difference < interval.high
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(2000):
        count = np.bincount(rng.integers(20, size=20), minlength=20)
        weight = [
            count[int(one[1:3])] * (count[int(other[1:3])] if other.startswith("p") else 1)
            for one, _, other, *_ in map(str.split, lines[1:])
        ]
        shares.append(np.average(gained, weights=weight))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.03)
    assert found.verdict() == "pixels is better."
    table = comparison_table(found)
    assert table.rows[0][0] == "Accuracy"
    assert "Difference of Accuracy, in points" in write_comparison(tmp_path, found, title="", summary="").read_text()


def test_episodes_and_retrieval_are_compared(model: Model, worse: Model, pictures: PictureSet) -> None:
    for found, keys in (
        (compare(*(evaluate_episodes(each, pictures, ways=5, episodes=50) for each in (model, worse))), ["accuracy"]),
        (
            compare(*(evaluate_retrieval(each, pictures) for each in (model, worse))),
            ["accuracy", "r_precision", "map_at_r"],
        ),
    ):
        assert list(found.differences)[: len(keys) + 1] == [*keys, "auc"]
        for key in keys:
            difference, interval = found.differences[key]
            assert difference == pytest.approx(found.one.to_json()[key] - found.other.to_json()[key])
            assert 0 < interval.low < difference < interval.high


def test_the_page_shows_both(comparison: Comparison, tmp_path: Path) -> None:
    page = write_comparison(tmp_path, comparison, title="Two models", summary="Side by side.").read_text("utf-8")
    table = comparison_table(comparison)
    assert table.columns[1:3] == ("pixels", "<few>")
    assert "&lt;few&gt;" in page
    assert "<few>" not in page
    assert f"{100 * comparison.differences['accuracy'][0]:+.1f} (+" in table.rows[0][3]
    assert json.loads((tmp_path / "report.json").read_text()) == comparison.to_json()
