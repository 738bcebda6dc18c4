"""Random changes: the warp against NumPy and SciPy, and what must hold of every draw."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import BSpline

from firstsight.data.augment import Changes, augment, grown, warp

NONE = Changes(rotation=0.0, scale=0.0, stretch=0.0, shear=0.0, shift=0.0, brightness=0.0, contrast=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 6, channels: int = 1, height: int = 20, width: int = 30) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=generator(9)) * 2 - 1


def theta(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor([rows])


def only(**limits: float) -> Changes:
    return Changes(**{**{name: 0.0 for name in vars(NONE) if name != "flip"}, **limits})


# the warp


def test_the_identity_map_changes_nothing() -> None:
    x = pictures(1, 3)
    assert torch.allclose(warp(x, theta([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])), x, atol=1e-5)


def test_exact_maps_are_exact() -> None:
    x = pictures(1, 2, 16, 16)
    assert torch.allclose(warp(x, theta([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])), x.rot90(-1, (2, 3)), atol=1e-5)
    assert torch.allclose(warp(x, theta([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])), x.flip(3), atol=1e-5)
    moved = warp(x, theta([[1.0, 0.0, 3 * 2 / 16], [0.0, 1.0, 0.0]]))  # what was 3 pixels to the right
    assert torch.allclose(moved[..., :13], x[..., 3:], atol=1e-5)
    assert torch.allclose(moved[..., 13:], x[..., 15:].expand_as(moved[..., 13:]), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_warp_agrees_with_scipy(seed: int) -> None:
    height, width = 20, 30
    x = pictures(1, 1, height, width)
    matrix = torch.eye(2, 3) + 0.3 * torch.randn(2, 3, generator=generator(seed))
    ours = warp(x, matrix[None])[0, 0].numpy()
    # the same map in pixel centers (row, column), in float64
    a = matrix.double().numpy()
    half = np.array([width / 2, height / 2])
    linear = np.diag(half) @ a[:, :2] @ np.diag(1 / half)
    center = half - 0.5
    offset = center + half * a[:, 2] - linear @ center
    swap = np.array([[0, 1], [1, 0]])
    theirs = ndimage.affine_transform(
        x[0, 0].double().numpy(), swap @ linear @ swap, offset=offset[::-1], order=1, mode="nearest"
    )
    assert np.abs(ours - theirs).max() < 2e-4


# random changes


def test_a_seed_repeats_bit_for_bit() -> None:
    x = pictures()
    assert torch.equal(augment(x, generator(4)), augment(x, generator(4)))
    assert not torch.equal(augment(x, generator(4)), augment(x, generator(5)))
    one = generator(4)
    assert not torch.equal(augment(x, one), augment(x, one))


def test_the_pictures_given_stay_as_they_are() -> None:
    x = pictures()
    before = x.clone()
    augment(x, generator())
    assert torch.equal(x, before)


def test_each_picture_gets_its_own_change() -> None:
    x = pictures(1).expand(5, -1, -1, -1)
    changed = augment(x, generator())
    assert min((changed[i] - changed[j]).abs().max() for i in range(5) for j in range(i)) > 0.05


def test_strength_zero_or_no_limits_change_nothing() -> None:
    x = pictures()
    assert augment(x, generator(), strength=0.0) is x
    assert torch.allclose(augment(x, generator(), changes=NONE), x, atol=1e-5)


def test_more_strength_changes_more() -> None:
    x = pictures(64)
    x = torch.nn.functional.avg_pool2d(x, 7, 1, 3)  # smooth, so that far away means different
    change = [(augment(x, generator(), strength=s) - x).abs().mean().item() for s in (0.1, 0.5, 1.0, 2.0)]
    assert change == sorted(change)
    assert change[0] > 0


def test_the_edge_goes_on() -> None:
    x = torch.full((8, 1, 16, 16), 0.7)
    changed = augment(x, generator(), strength=3.0, changes=Changes(brightness=0.0, contrast=0.0))
    assert torch.allclose(changed, x, atol=1e-6)


def blob(height: int, width: int, *, row: float, column: float) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)[None, None]


def centers(x: torch.Tensor) -> torch.Tensor:
    """Row and column of each picture's center of mass."""
    y = (x.sum(dim=(1, 3)) * (torch.arange(x.shape[2]) + 0.5)).sum(1)
    z = (x.sum(dim=(1, 2)) * (torch.arange(x.shape[3]) + 0.5)).sum(1)
    return torch.stack([y, z], 1) / x.sum(dim=(1, 2, 3))[:, None]


def test_a_rotation_is_one_in_pixels_even_where_the_picture_is_not_square() -> None:
    height, width = 40, 80
    x = blob(height, width, row=20, column=52).expand(200, -1, -1, -1)
    away = centers(augment(x, generator(), changes=only(rotation=30.0))) - torch.tensor([height / 2, width / 2])
    assert torch.allclose(away.norm(dim=1), torch.full((200,), 12.0), atol=0.1)
    degrees = torch.atan2(away[:, 0], away[:, 1]) * 180 / math.pi
    assert 25 < degrees.max() <= 30.5
    assert -30.5 <= degrees.min() < -25


def test_a_shift_stays_within_its_share_of_each_side() -> None:
    x = blob(40, 80, row=20, column=40).expand(300, -1, -1, -1)
    away = centers(augment(x, generator(), changes=only(shift=0.1))) - torch.tensor([20.0, 40.0])
    assert torch.allclose(away.abs().amax(dim=0), torch.tensor([4.0, 8.0]), rtol=0.05)


def reach(x: torch.Tensor, changes: Changes) -> torch.Tensor:
    """Where a blob 20 pixels off the center of an 80 x 80 picture comes to lie, in units of those 20 pixels."""
    return (centers(augment(x.expand(300, -1, -1, -1), generator(), changes=changes)) - 40) / 20


@pytest.mark.parametrize("axis", [0, 1])
def test_scale_stretch_and_shear_have_the_limits_they_say(axis: int) -> None:
    x = blob(80, 80, row=60 if axis == 0 else 40, column=60 if axis == 1 else 40)
    scale = reach(x, only(scale=0.2))[:, axis].log()
    assert scale.min().item() == pytest.approx(-0.2, abs=0.01)
    assert scale.max().item() == pytest.approx(0.2, abs=0.01)
    stretch = reach(x, only(stretch=0.4))[:, axis].log()
    assert stretch.abs().max().item() == pytest.approx(0.2, abs=0.01)
    assert reach(x, only(shear=0.3))[:, 1 - axis].abs().max().item() == pytest.approx(0.3 if axis == 0 else 0, abs=0.02)


def test_stretch_keeps_the_area() -> None:
    wide, high = (reach(blob(80, 80, row=r, column=c), only(stretch=0.4)) for r, c in ((40, 60), (60, 40)))
    assert torch.allclose(wide[:, 1] * high[:, 0], torch.ones(300), atol=0.01)


def test_contrast_and_brightness_are_about_the_mean_of_each_picture() -> None:
    x = pictures(400)
    changed = augment(x, generator(), changes=only(contrast=0.4))
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)), atol=1e-5)
    factor = changed.std(dim=(1, 2, 3)) / x.std(dim=(1, 2, 3))
    assert (factor.log().abs().max() - 0.4).abs() < 0.02
    brighter = augment(x, generator(), changes=only(brightness=0.3)) - x
    assert torch.allclose(brighter.amax(dim=(1, 2, 3)), brighter.amin(dim=(1, 2, 3)), atol=1e-4)
    assert (brighter.abs().max() - 0.3).abs() < 0.02


def test_half_of_the_pictures_are_mirrored_and_only_on_request() -> None:
    x = pictures(400)
    mirrored = augment(x, generator(), changes=only(flip=True))
    is_mirrored = ((mirrored - x.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4).sum().item()
    assert ((mirrored - x).abs().amax(dim=(1, 2, 3)) < 1e-4).sum().item() == 400 - is_mirrored
    assert 150 < is_mirrored < 250


def test_a_part_of_a_batch_is_changed_as_in_the_whole() -> None:
    """So that ranks, which see a part each, see the pictures that one process would see."""
    x_BCHW = torch.rand(7, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    strengths = {"elastic": 1.0, "strokes": 2.0}
    whole = augment(x_BCHW, torch.Generator().manual_seed(1), **strengths)
    for part in (slice(0, 3), slice(3, 7), slice(7, 7)):
        found = augment(x_BCHW[part], torch.Generator().manual_seed(1), first=part.start, of=7, **strengths)
        torch.testing.assert_close(found, whole[part])


# bends and strokes


def test_without_bends_and_strokes_nothing_further_is_drawn_and_with_them_all_else_stays() -> None:
    one, other = generator(3), generator(3)
    before = augment(pictures(), one)
    torch.rand(9, 6, generator=other)  # rotation, scale, stretch, shear, two shifts, brightness, contrast, mirror
    assert torch.equal(one.get_state(), other.get_state())
    assert torch.equal(augment(pictures(), generator(3), elastic=0.0, strokes=0.0), before)
    for little in ({"elastic": 1e-6}, {"strokes": 1e-6}):
        torch.testing.assert_close(augment(pictures(), generator(3), **little), before, atol=1e-3, rtol=0)


@pytest.mark.parametrize("asked", [{"elastic": 1.0}, {"strokes": 1.0}, {"elastic": 0.5, "strokes": 2.0}])
def test_bends_and_strokes_need_no_other_change_and_leave_what_was_given(asked: dict[str, float]) -> None:
    x = pictures()
    before = x.clone()
    changed = augment(x, generator(), strength=0.0, **asked)
    assert torch.equal(x, before)
    assert (changed - x).abs().amax(dim=(1, 2, 3)).min() > 0.01
    assert torch.equal(changed, augment(x, generator(), strength=0.0, **asked))
    assert torch.allclose(augment(x, generator(), changes=only(elastic=0.0, strokes=0.0), **asked), x, atol=1e-5)


def coordinates(height: int, width: int) -> torch.Tensor:
    """A picture whose two channels are x and y from -1 to 1, so that a warp shows where it looked."""
    y, x = (torch.arange(size) * (2 / size) + 1 / size - 1 for size in (height, width))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def test_a_bend_is_a_cubic_b_spline() -> None:
    """Against SciPy, with shifts small enough that no place within looks beyond the edge."""
    height, width = 40, 60
    bend = 0.03 * (2 * torch.rand(1, 2, 6, 6, generator=generator()) - 1)
    x = coordinates(height, width)
    found = (warp(x, theta([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), bend) - x)[0, :, 2:-2, 3:-3]
    knots = np.arange(-4, 6) * (2 / 3) - 1 + 2 / 3
    rows, columns = (
        BSpline.design_matrix(at.double().numpy(), knots, 3).toarray() for at in (x[0, 1, 2:-2, 0], x[0, 0, 0, 3:-3])
    )
    for axis in range(2):
        expected = rows @ bend[0, axis].double().numpy() @ columns.T
        assert np.abs(found[axis].numpy() - expected).max() < 1e-4


def test_a_bend_of_strength_one_moves_but_does_not_fold() -> None:
    x = coordinates(48, 48).expand(200, -1, -1, -1)
    bent = augment(x, generator(), strength=0.0, elastic=1.0)
    inner = bent[:, :, 8:-8, 8:-8]
    assert (inner[:, 0].diff(dim=2) > 0).all()
    assert (inner[:, 1].diff(dim=1) > 0).all()
    moved = (bent - x)[:, :, 8:-8, 8:-8].abs()
    assert 0.1 < moved.max() <= 0.2  # of a picture 2 wide: 5 to 10 percent


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_what_grows_to_the_full_grows_as_in_scipy(most: int) -> None:
    x = pictures(2)
    bright = grown(x, torch.tensor([1.0, 1.0]), most=float(most))[0, 0].numpy()
    # SciPy's window of even length too lies half a pixel to the upper left
    assert np.array_equal(bright, ndimage.maximum_filter(x[0, 0].numpy(), most + 1, mode="nearest"))
    dark = grown(x, torch.tensor([-1.0, -1.0]), most=float(most))
    assert torch.equal(dark, -grown(-x, torch.tensor([1.0, 1.0]), most=float(most)))


@pytest.mark.parametrize("most", [0.4, 1.0, 1.7, 3.0])
def test_a_stroke_gains_or_loses_so_many_pixels(most: float) -> None:
    stroke = torch.ones(5, 1, 24, 24)
    stroke[:, :, :, 9:15] = -1.0  # black, 6 wide
    share = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])
    width = ((1 - grown(stroke, share, most=most)) / 2).sum(dim=3)
    assert torch.allclose(width, (6 - share * most)[:, None, None].expand_as(width), atol=1e-4)


def test_strokes_become_thicker_and_thinner_by_a_share_of_the_side() -> None:
    for side in (32, 64):
        stroke = torch.ones(400, 1, side, side)
        stroke[:, :, :, side // 2 - 3 : side // 2 + 3] = -1.0
        changed = augment(stroke, generator(), strokes=1.0, changes=replace(NONE, strokes=1 / 32))
        width = ((1 - changed) / 2).sum(dim=3)[:, 0, side // 2]
        assert width.min().item() == pytest.approx(6 - side / 32, abs=0.02 * side / 32)
        assert width.max().item() == pytest.approx(6 + side / 32, abs=0.02 * side / 32)
