"""The recipe's strengths reach the pictures of a batch."""

import pytest
import torch

from firstsight.config import Recipe
from firstsight.data.pictures import to_input
from firstsight.recipes import with_flags
from firstsight.training.feed import example_feed, picture_feed

PIXELS = torch.randint(0, 256, (12, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("asked", ["augment", "elastic", "strokes"])
def test_each_strength_alone_changes_the_pictures_of_a_batch(asked: str) -> None:
    still = with_flags(Recipe(), height=16, width=16, augment=0.0)
    labels = torch.arange(12) // 2
    for recipe, changed in ((still, False), (with_flags(still, **{asked: 1.0}), True)):
        shown = [
            picture_feed(PIXELS, labels, recipe),
            example_feed(PIXELS, labels, recipe, prepare=lambda part: to_input(part, still.preprocessing)),
        ]
        for feed in shown:
            x_BCHW, _ = feed.fetch(torch.arange(12), torch.Generator().manual_seed(0))
            assert torch.equal(x_BCHW, to_input(PIXELS, still.preprocessing)) != changed
