"""Symbols put together from parts of others: whose parts, how many, and that each is one symbol drawn several times."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import draw_symbol
from PIL import Image, ImageDraw

from firstsight.config import Data, Preprocessing, Recipe, Training
from firstsight.data import composed
from firstsight.data.cache import Packed, packed_pictures
from firstsight.data.composed import Layout, Part, new_layout, together, with_composed
from firstsight.data.identities import open_pictures
from firstsight.errors import DataError
from firstsight.places import cache_folder

INK = Preprocessing(height=32, width=32, color="gray", fit="ink")
RECIPE = Recipe(data=Data(composed=12), preprocessing=INK)
CROSS = np.array([[0.0, 5], [1, 5], [9, 5], [10, 5], [5, 0], [5, 1], [5, 9], [5, 10]]) * 8
"""A plus: rows and columns of points."""
BAR = np.array([[0.0, 7], [20, 7], [40, 7], [80, 7]])


def packed(folder: Path, *, symbols: int = 6, each: int = 5) -> Packed:
    """Symbols of two alphabets, each drawing with a pen and a size of its own."""
    for symbol in range(symbols):
        home = folder / f"alphabet{symbol % 2}" / f"symbol{symbol}"
        home.mkdir(parents=True)
        for drawing in range(each):
            draw_symbol(symbol, pen=4.0 + drawing, scale=1 - drawing / 10).save(home / f"{drawing}.png")
    return packed_pictures(open_pictures(folder), INK)


def exactly(*parts: Part, stretch: float = 0.0) -> Layout:
    one, other = (part._replace(jitter=0.0) for part in parts)
    return Layout((one, other), stretch)


def test_parts_lie_where_the_layout_says() -> None:
    beside = exactly(Part((0, 0, 1, 0.4)), Part((0.5, 0.5, 0.5, 0.5)))
    cross, bar = together(CROSS, BAR, beside, np.random.default_rng(0))
    assert np.allclose([cross.min(0), cross.max(0)], [[0, 0], [1, 0.4]])
    assert np.allclose([bar.min(0), bar.max(0)], [[0.5, 0.75], [1, 0.75]]), "a bar stays one, in the middle"


def test_halves_are_of_one_each() -> None:
    halves = exactly(Part((0, 0, 1, 1), (0, 0, 1, 0.3)), Part((0, 0, 1, 1), (0, 0.3, 1, 1)))
    cross, bar = together(CROSS, BAR, halves, np.random.default_rng(0))
    assert np.allclose(cross, [[0.5, 0], [0.5, 0.1]])
    assert np.allclose(bar, [[0, 0.5], [0.25, 0.5], [0.5, 0.5], [1, 0.5]])


def test_drawings_of_a_new_symbol_differ_by_its_jitter_alone() -> None:
    rng = np.random.default_rng(0)
    parts = Part((0, 0, 1, 1), jitter=0.1), Part((0, 0, 1, 1), jitter=0.1)
    drawings = np.stack([np.concatenate(together(CROSS, BAR, Layout(parts, 0.2), rng)) for _ in range(400)])
    exact = np.concatenate(together(CROSS, BAR, exactly(*parts, stretch=0.2), rng))
    assert 0.02 < np.abs(drawings - exact).max() < 0.13
    assert np.abs(drawings.mean(0) - exact).max() < 0.01


def test_layouts_differ_and_leave_something_of_both_parents() -> None:
    rng = np.random.default_rng(0)
    layouts = [new_layout(rng) for _ in range(300)]
    assert len(set(layouts)) == 300
    square = np.argwhere(np.ones((41, 41))) * 2.0
    left = [[len(points) for points in together(square, square, layout, rng)] for layout in layouts]
    assert np.min(left) > len(square) * 0.3


def test_of_dots_alone_there_are_new_symbols_too(tmp_path: Path) -> None:
    for symbol in range(2):
        home = tmp_path / f"{symbol}"
        home.mkdir()
        for drawing in range(3):
            dot = Image.new("L", (60, 60), 255)
            ImageDraw.Draw(dot).ellipse((20, 20 + drawing, 30, 30 + drawing), fill=0)
            dot.save(home / f"{drawing}.png")
    pixels, _ = with_composed(packed_pictures(open_pictures(tmp_path), INK), RECIPE)
    assert (pixels < 128).flatten(1).any(1).all()


def test_new_symbols_come_behind_the_drawn_ones(tmp_path: Path) -> None:
    drawn = packed(tmp_path)
    pixels, labels = with_composed(drawn, RECIPE)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (30 + 12 * 5, 1, 32, 32)
    assert torch.equal(pixels[:30], drawn.pixels_NCHW)
    assert labels.tolist() == [label for label in range(18) for _ in range(5)]
    assert pixels[30:].flatten(1).unique(dim=0).shape[0] == 60
    assert (pixels[30:] < 128).flatten(1).sum(1).min() > 20, "each has ink"


def test_drawings_of_a_new_symbol_are_alike(tmp_path: Path) -> None:
    """Oracle: nearest neighbors by their blurred pixels, which know nothing of how they were made."""
    pixels, labels = with_composed(packed(tmp_path), RECIPE)
    x_NF = torch.nn.functional.avg_pool2d(pixels[30:].float(), 4).flatten(1)
    nearest = torch.cdist(x_NF, x_NF).fill_diagonal_(torch.inf).argmin(1)
    assert (labels[30:][nearest] == labels[30:]).float().mean() > 0.8


def test_the_seed_says_which_symbols_and_fewer_are_the_first_of_more(tmp_path: Path) -> None:
    drawn = packed(tmp_path)
    pixels, _ = with_composed(drawn, RECIPE)
    shutil.rmtree(cache_folder())
    again, _ = with_composed(drawn, RECIPE)
    fewer, _ = with_composed(drawn, replace(RECIPE, data=Data(composed=3)))
    other, _ = with_composed(drawn, replace(RECIPE, training=Training(seed=1)))
    assert torch.equal(pixels, again)
    assert torch.equal(fewer, pixels[: len(fewer)])
    assert not torch.equal(other, pixels)


def test_parents_are_of_one_group_and_their_drawings_meet_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = packed(tmp_path)
    met: set[tuple[int, int]] = set()
    lines = composed._all_lines(drawn.kept)
    monkeypatch.setattr(composed, "_all_lines", lambda pictures: list(range(len(lines))))

    def note(both: list[tuple[int, int]], rng: np.random.Generator) -> list[np.ndarray]:
        met.update(both)
        return [lines[first] for first, _ in both]

    monkeypatch.setattr(composed, "_symbol", note)
    with_composed(drawn, replace(RECIPE, data=Data(composed=60)))
    labels, groups = drawn.kept.labels, drawn.kept.groups
    assert all(groups[one] == groups[other] and labels[one] != labels[other] for one, other in met)
    assert all(one % 5 == other % 5 for one, other in met), "the k-th drawing of one meets the k-th of the other"
    assert len({(labels[one], labels[other]) for one, other in met}) == 12


def test_what_was_composed_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = packed(tmp_path)
    pixels, _ = with_composed(drawn, RECIPE)
    monkeypatch.setattr(composed, "_all_lines", lambda pictures: pytest.fail("composed again"))
    again, _ = with_composed(drawn, RECIPE)
    assert torch.equal(pixels, again)


def test_none_are_made_where_none_are_asked_for(tmp_path: Path) -> None:
    drawn = packed(tmp_path)
    pixels, labels = with_composed(drawn, replace(RECIPE, data=Data()))
    assert torch.equal(pixels, drawn.pixels_NCHW)
    assert labels.tolist() == list(drawn.kept.labels)


@pytest.mark.parametrize(("symbols", "each"), [(2, 5), (6, 1)], ids=["one of each group", "one drawing of each"])
def test_parents_that_are_not_there_are_asked_for(tmp_path: Path, symbols: int, each: int) -> None:
    with pytest.raises(DataError, match=r"takes two identities of a group, of two pictures each. Leave --composed out"):
        with_composed(packed(tmp_path, symbols=symbols, each=each), RECIPE)
