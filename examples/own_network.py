"""Train a network of your own, then know identities that it never saw from one picture each.

    python examples/own_network.py PICTURES --out runs/own

PICTURES is a folder or zip of identity folders (NAME/*.jpg), or a CSV manifest (path,label).

B batch, C channels, H height, W width, D embedding.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from firstsight import Gallery, Recipe, Recognizer, train
from firstsight.recipes import with_flags


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return nn.functional.relu(x_BCHW + self.inner(x_BCHW))


def own_network(input_channels: int, embedding_size: int = 64) -> nn.Module:
    """Any module that maps float32 B x C x H x W to B x D will do. Its outputs are brought to unit length for it."""
    return nn.Sequential(
        nn.Conv2d(input_channels, 32, 3, stride=2, padding=1), nn.ReLU(), Residual(32),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), Residual(64),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 64, embedding_size),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures")
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args(arguments)

    recipe = with_flags(Recipe(), data=given.pictures, height=32, width=32, color="gray", epochs=given.epochs)
    run = train(recipe, out=given.out, network=own_network(recipe.preprocessing.channels))
    assert run.evaluation is not None, "the recipe holds identities out"
    print(f"report: {run.folder / 'report.html'}")

    unseen = run.evaluation.pictures
    first = [unseen.labels.index(label) for label in range(len(unseen.names))]
    others = [i for i in range(len(unseen)) if i not in first]
    with Gallery(given.out / "gallery.sqlite") as gallery:
        recognizer = Recognizer(run.model, gallery)
        for i in first:
            recognizer.enroll(unseen.names[unseen.labels[i]], unseen.read(i))
        decisions = list(recognizer.identify_many(unseen.read(i) for i in others))
    right = sum(decision.name == unseen.names[unseen.labels[i]] for i, decision in zip(others, decisions, strict=True))
    unknown = sum(not decision.accepted for decision in decisions)
    print(f"{len(first)} unseen identities, one picture enrolled of each; of {len(others)} others:")
    print(f"{right} known by name, {unknown} unknown, {len(others) - right - unknown} taken for another")


if __name__ == "__main__":
    main()
