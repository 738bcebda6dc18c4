"""Figures: that they show the data they are given."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.metrics import roc_curve
from torch import Tensor

from firstsight.evaluation import cloud, plots, sheets


def test_drawing_leaves_no_global_state_behind() -> None:
    """Neither pyplot, which keeps every figure alive, nor changed settings."""
    code = """
import sys, matplotlib
from firstsight.evaluation.plots import training_curves
from firstsight.evaluation.report import svg

def settings():  # to ask for the backend would import pyplot
    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}

before = settings()
svg(training_curves([2.0, 1.0], [1.0, 0.5]), alt="", prefix="")
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_curves_show_every_update_and_a_running_mean() -> None:
    loss_U = np.linspace(1, 0, 90) + np.tile([0.1, -0.1], 45)
    upper, lower = plots.training_curves(loss_U, np.linspace(1, 0, 90)).axes
    raw, smooth = (line.get_ydata() for line in upper.lines)
    np.testing.assert_array_equal(raw, loss_U)
    assert np.abs(np.diff(smooth)[5:-5]).max() < 0.05 < np.abs(np.diff(raw)).min()
    assert smooth[45] == pytest.approx(loss_U[42:49].mean())
    assert (upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()) == ("Loss", "Active triplets", "Update")


def test_a_long_roc_curve_is_thinned_but_not_moved() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(200_000) < 0.5
    far, val, _ = roc_curve(same, rng.normal(size=200_000) + 1.5 * same, drop_intermediate=False)
    axes = plots.roc({"Embedding": (far, val), "Pixels": ([0, 1], [0, 1])}).axes[0]
    drawn_far, drawn_val = axes.lines[0].get_data()
    assert len(drawn_far) <= 600
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"Embedding", "Pixels", "Chance"}
    for target in (1e-3, 1e-2, 0.1, 0.5):
        expected = val[far <= target][-1]
        assert drawn_val[np.searchsorted(drawn_far, target, "right") - 1] == pytest.approx(expected, abs=0.01)


def test_the_histogram_shows_shares_and_the_threshold() -> None:
    axes = plots.distance_histogram([1, 3, 0], [0, 10, 30], [0, 1, 2, 3], threshold=1.25).axes[0]
    filled = [patch.get_data().values.tolist() for patch in axes.patches]
    assert filled[0] == [0.25, 0.75, 0]
    assert filled[2] == [0, 0.25, 0.75]
    assert axes.lines[0].get_xdata()[0] == 1.25
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "Threshold 1.25"


def test_the_principal_plane_is_that_of_scikit_learn(embeddings: tuple[Tensor, Tensor]) -> None:
    x_ND = embeddings[0].numpy()
    np.testing.assert_allclose(np.abs(cloud.principal_plane(x_ND)), np.abs(PCA(2).fit_transform(x_ND)), atol=1e-5)


def test_the_embedding_names_its_identities_and_marks_the_triplet(embeddings: tuple[Tensor, Tensor]) -> None:
    x_ND, labels_N = embeddings[0].numpy(), embeddings[1].numpy()
    names = ["zero", "one", "two", "three"]
    figure = cloud.embedding({"Before": -x_ND, "After": x_ND}, labels_N, names, unseen=["two"], triplet=(0, 1, 35))
    before, after = figure.axes
    assert (before.get_title(loc="left"), after.get_title(loc="left")) == ("Before", "After")
    flat_N2 = cloud.principal_plane(x_ND)
    np.testing.assert_allclose(after.lines[0].get_xydata(), flat_N2[[0, 1]])
    np.testing.assert_allclose(after.lines[1].get_xydata(), flat_N2[[0, 35]])
    assert [text.get_text() for text in after.texts] == [*names, "a", "p", "n"]
    colors = [to_hex(cloud.get_facecolor()[0]) for cloud in after.collections]
    assert colors == [color.lower() for color in (plots.BASELINE, plots.BASELINE, plots.COLORS[0], plots.BASELINE)]
    assert sum(len(cloud.get_offsets()) for cloud in after.collections) == 40


def test_the_telling_triplet_was_wrong_before_and_is_right_after(embeddings: tuple[Tensor, Tensor]) -> None:
    labels_N = embeddings[1].numpy()
    before_ND = np.random.default_rng(0).normal(size=(40, 8))
    after_ND = np.eye(4)[labels_N] + 0.01 * before_ND[:, :4]
    anchor, positive, negative = cloud.telling_triplet(before_ND, after_ND, labels_N)
    assert anchor != positive
    assert labels_N[anchor] == labels_N[positive] != labels_N[negative]
    for x_ND, order in ((before_ND, 1), (after_ND, -1)):
        flat_N2 = cloud.principal_plane(x_ND)
        to_positive, to_negative = (np.linalg.norm(flat_N2[anchor] - flat_N2[i]) for i in (positive, negative))
        assert order * (to_positive - to_negative) > 0


def test_sheets_show_the_pictures_enlarged_by_whole_pixels() -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    photo = np.zeros((200, 100, 3), np.uint8)
    figure = sheets.picture_sheet([[picture, photo], [picture]], [["seven", "a name that is too long to stand"], ["9"]])
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [image.shape for image in shown] == [(160, 160), (200, 100, 3), (160, 160)]
    np.testing.assert_array_equal(shown[0][::20, ::20], picture)
    assert [axes.get_title() for axes in figure.axes] == ["seven", "a name …o stand", "9", ""]


@pytest.mark.parametrize(("heads", "lines"), [(("Probe", "Taken for", "Is"), 3), (("One", "Other"), 2)])
def test_compared_pictures_stand_under_their_heads(heads: tuple[str, ...], lines: int) -> None:
    row = (np.zeros((8, 8), np.uint8),) * len(heads)
    figure = sheets.compared_sheet(heads, [row] * 5, [heads] * 5)
    abreast = 2 if lines == 3 else 3
    assert sum(len(axes.images) for axes in figure.axes) == 5 * len(heads)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == list(heads) * abreast
    assert len(figure.axes) == lines * ((len(heads) + 1) * abreast - 1)


def test_the_det_curve_of_normal_distances_is_a_straight_line() -> None:
    """Same pairs around 0, different ones around 2, both of deviation 1: FRR + FAR quantiles add up to -2."""
    rng = np.random.default_rng(0)
    same = rng.random(400_000) < 0.5
    far, val, _ = roc_curve(same, -rng.normal(size=400_000) - 2 * ~same, drop_intermediate=False)
    axes = plots.det({"Embedding": (far, val)}).axes[0]
    x, y = axes.lines[0].get_data()
    middle = (x > norm.ppf(0.003)) & (y > norm.ppf(0.003))
    assert middle.sum() > 100
    np.testing.assert_allclose((x + y)[middle], -2, atol=0.05)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01 %", "0.1 %", "1 %", "5 %", "20 %", "50 %"]
    assert axes.get_xticks()[2] == pytest.approx(norm.ppf(0.01))


def test_the_det_curve_of_a_weak_model_is_seen() -> None:
    far = np.linspace(0, 1, 101)
    axes = plots.det({"Embedding": (far, far**2)}).axes[0]
    x, y = axes.lines[0].get_data()
    assert ((x < axes.get_xlim()[1]) & (y < axes.get_ylim()[1])).mean() > 0.8
    assert axes.get_xticklabels()[-1].get_text() == "99 %"


def test_settings_come_back_after_an_error() -> None:
    before = matplotlib.rcParams["font.size"]
    with pytest.raises(ValueError, match="x and y"):
        plots.roc({"broken": ([0, 1], [1])})
    assert matplotlib.rcParams["font.size"] == before
