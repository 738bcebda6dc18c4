"""Symbols put together from parts of others: whose parts, how many, and that each is one symbol drawn several times."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import draw_symbol
from PIL import Image, ImageDraw
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.cache import Packed, packed_pictures
from firstsight.data.composed import Layout, Part, drawing_pairs, new_layout, put_together, with_composed
from firstsight.data.files import MemoryFiles
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.errors import DataError, PictureError
from firstsight.places import cache_folder

INK = Preprocessing(height=32, width=32, color="gray", fit="ink")
CROSS = np.array([[0.0, 5], [1, 5], [9, 5], [10, 5], [5, 0], [5, 1], [5, 9], [5, 10]]) * 8
"""A plus: rows and columns of points."""
BAR = np.array([[0.0, 7], [20, 7], [40, 7], [80, 7]])


def write_symbols(folder: Path, counts: list[int]) -> PictureSet:
    """Symbols of two alphabets in turn, so many drawings of each, with pens and sizes of their own."""
    for symbol, count in enumerate(counts):
        home = folder / f"alphabet{symbol % 2}" / f"symbol{symbol}"
        home.mkdir(parents=True)
        for drawing in range(count):
            draw_symbol(symbol, pen=4.0 + drawing, scale=1 - drawing / 10).save(home / f"{drawing}.png")
    return open_pictures(folder)


@pytest.fixture
def symbols(tmp_path: Path) -> Packed:
    return packed_pictures(write_symbols(tmp_path, [5] * 6), INK)


def composed(
    packed: Packed, count: int = 12, seed: int = 0, preprocessing: Preprocessing = INK
) -> tuple[Tensor, Tensor]:
    return with_composed(packed, preprocessing, count=count, seed=seed)


def exactly(*parts: Part, stretch: float = 0.0) -> Layout:
    one, other = (part._replace(jitter=0.0) for part in parts)
    return Layout((one, other), stretch)


def test_parts_lie_where_the_layout_says() -> None:
    beside = exactly(Part((0, 0, 1, 0.4)), Part((0.5, 0.5, 0.5, 0.5)))
    cross, bar = put_together(CROSS, BAR, beside, np.random.default_rng(0))
    assert np.allclose([cross.min(0), cross.max(0)], [[0, 0], [1, 0.4]])
    assert np.allclose([bar.min(0), bar.max(0)], [[0.5, 0.75], [1, 0.75]]), "a bar stays one, in the middle"


def test_halves_are_of_one_each() -> None:
    halves = exactly(Part((0, 0, 1, 1), (0, 0, 1, 0.3)), Part((0, 0, 1, 1), (0, 0.3, 1, 1)))
    cross, bar = put_together(CROSS, BAR, halves, np.random.default_rng(0))
    assert np.allclose(cross, [[0.5, 0], [0.5, 0.1]])
    assert np.allclose(bar, [[0, 0.5], [0.25, 0.5], [0.5, 0.5], [1, 0.5]])


def test_drawings_of_a_new_symbol_differ_by_its_jitter_alone() -> None:
    rng = np.random.default_rng(0)
    parts = Part((0, 0, 1, 1), jitter=0.1), Part((0, 0, 1, 1), jitter=0.1)
    drawings = np.stack([np.concatenate(put_together(CROSS, BAR, Layout(parts, 0.2), rng)) for _ in range(400)])
    exact = np.concatenate(put_together(CROSS, BAR, exactly(*parts, stretch=0.2), rng))
    assert 0.02 < np.abs(drawings - exact).max() < 0.13
    assert np.abs(drawings.mean(0) - exact).max() < 0.01


def test_layouts_lie_both_ways_and_leave_something_of_both_parents() -> None:
    rng = np.random.default_rng(0)
    square = np.argwhere(np.ones((41, 41))) * 2.0
    drawings = [put_together(square, square, new_layout(rng), rng) for _ in range(300)]
    assert min(len(part) for drawing in drawings for part in drawing) > len(square) * 0.3
    down, right = np.abs([one.mean(0) - other.mean(0) for one, other in drawings]).T
    assert np.sum(down > 0.3 + right) > 50, "some are one above the other"
    assert np.sum(right > 0.3 + down) > 50, "some are side by side"
    assert np.sum(np.maximum(down, right) < 0.1) > 20, "some are one over the other"


def test_parents_are_of_one_group_and_their_drawings_meet_in_order(tmp_path: Path) -> None:
    pictures = write_symbols(tmp_path, [5, 5, 3, 5, 5, 1])
    pairs = drawing_pairs(pictures, 100, seed=0)
    parents = {(pictures.labels[drawings[0][0]], pictures.labels[drawings[0][1]]) for drawings in pairs}
    assert parents == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1), (3, 4), (4, 3)}, "the last has one drawing"
    first = [pictures.labels.index(label) for label in range(6)]
    for drawings in pairs:
        one, other = (pictures.labels[index] for index in drawings[0])
        assert drawings == [(first[one] + k, first[other] + k) for k in range(3 if 1 in (one, other) else 5)]


def test_new_symbols_come_behind_the_drawn_ones(symbols: Packed) -> None:
    pixels, labels = composed(symbols)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (30 + 12 * 5, 1, 32, 32)
    assert torch.equal(pixels[:30], symbols.pixels_NCHW)
    assert labels.tolist() == [label for label in range(18) for _ in range(5)]
    assert pixels[30:].flatten(1).unique(dim=0).shape[0] == 60
    assert (pixels[30:] < 128).flatten(1).sum(1).min() > 20, "each has ink"


def test_drawings_of_a_new_symbol_are_alike(symbols: Packed) -> None:
    """Oracle: nearest neighbors by their blurred pixels, which know nothing of how they were made."""
    pixels, labels = composed(symbols)
    x_NF = torch.nn.functional.avg_pool2d(pixels[30:].float(), 4).flatten(1)
    nearest = torch.cdist(x_NF, x_NF).fill_diagonal_(torch.inf).argmin(1)
    assert (labels[30:][nearest] == labels[30:]).float().mean() > 0.8


def test_of_dots_alone_there_are_new_symbols_too(tmp_path: Path) -> None:
    for symbol in range(2):
        home = tmp_path / f"{symbol}"
        home.mkdir()
        for drawing in range(3):
            dot = Image.new("L", (60, 60), 255)
            ImageDraw.Draw(dot).ellipse((20, 20 + drawing, 30, 30 + drawing), fill=0)
            dot.save(home / f"{drawing}.png")
    pixels, _ = composed(packed_pictures(open_pictures(tmp_path), INK))
    assert (pixels < 128).flatten(1).any(1).all()


def test_new_symbols_are_of_the_shape_of_the_others(tmp_path: Path) -> None:
    wide = Preprocessing(height=20, width=32, color="rgb", fit="ink")
    pixels, _ = composed(packed_pictures(write_symbols(tmp_path, [2, 2, 2]), wide), 3, preprocessing=wide)
    assert pixels.shape == (6 + 6, 3, 20, 32)
    assert torch.equal(pixels[:, 0], pixels[:, 2])


def test_the_seed_says_which_symbols_and_more_begin_with_fewer(symbols: Packed) -> None:
    pixels, _ = composed(symbols)
    shutil.rmtree(cache_folder())
    again, _ = composed(symbols)
    fewer, _ = composed(symbols, 3)
    other, _ = composed(symbols, seed=1)
    assert torch.equal(pixels, again)
    assert torch.equal(fewer, pixels[: len(fewer)])
    assert not torch.equal(other, pixels)


def test_what_was_composed_once_is_kept(symbols: Packed) -> None:
    steps: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        steps.append((done, total))

    pixels, _ = with_composed(symbols, INK, count=12, seed=0, on_progress=note)
    assert steps == [(step, 42) for step in range(1, 43)]
    again, _ = with_composed(symbols, INK, count=12, seed=0, on_progress=lambda done, total: pytest.fail("not kept"))
    assert torch.equal(pixels, again)


def regrouped(folder: Path) -> PictureSet:
    (folder / "alphabet0" / "symbol0").rename(folder / "alphabet1" / "symbol0")
    return open_pictures(folder)


def relabeled(folder: Path) -> PictureSet:
    lines = [f"{path.relative_to(folder)},{path.parent.name[-1]}\n" for path in sorted(folder.rglob("*.png"))]
    (folder / "manifest.csv").write_text("path,label\n" + "".join(lines))
    return open_pictures(folder / "manifest.csv")


@pytest.mark.parametrize("change", [regrouped, relabeled])
def test_other_parents_are_noticed(tmp_path: Path, change: Callable[[Path], PictureSet]) -> None:
    """Oracle: what is composed where nothing is kept."""
    composed(packed_pictures(write_symbols(tmp_path, [3] * 6), INK))
    changed = packed_pictures(change(tmp_path), INK)
    pixels, labels = composed(changed)
    shutil.rmtree(cache_folder())
    afresh, labels_afresh = composed(changed)
    assert torch.equal(pixels, afresh)
    assert torch.equal(labels, labels_afresh)


def test_what_is_kept_off_the_disk_is_composed_there_too(tmp_path: Path) -> None:
    pictures = write_symbols(tmp_path, [2, 2, 2])
    files = MemoryFiles("memory", {path: (tmp_path / path).read_bytes() for path in pictures.paths})
    shutil.rmtree(cache_folder(), ignore_errors=True)
    held = PictureSet("memory", pictures.paths, pictures.labels, pictures.names, files, pictures.groups)
    pixels, _ = composed(packed_pictures(held, INK), 3)
    assert len(pixels) == 12
    assert not cache_folder().exists()


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    packed = packed_pictures(write_symbols(tmp_path, [2, 2, 2]), INK)
    Image.new("L", (9, 9), 255).save(tmp_path / "alphabet1" / "symbol1" / "1.png")
    with pytest.raises(PictureError, match=r"alphabet1/symbol1/1.png holds no ink"):
        composed(packed)


@pytest.mark.parametrize("counts", [[5, 5], [1, 1, 1, 1]], ids=["one of each group", "one drawing of each"])
def test_parents_that_are_not_there_are_asked_for(tmp_path: Path, counts: list[int]) -> None:
    packed = packed_pictures(write_symbols(tmp_path, counts), INK)
    with pytest.raises(
        DataError, match=r"has no two identities of one group, of two pictures each.* or leave --composed out"
    ):
        composed(packed)
