"""What the loop eats: a plan of batches for each epoch, and the tensors of one batch.

N examples, E of an epoch, B batch, C channels, H height, W width, S orientations.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from firstsight.config import Recipe
from firstsight.data.augment import augment
from firstsight.data.batches import example_batches, identity_batches
from firstsight.data.pictures import to_input
from firstsight.errors import RecipeError
from firstsight.training.randomness import generator_for
from firstsight.training.ranks import own_share


class Feed(NamedTuple):
    """`plan(epoch)` lists the batches of an epoch as example indices; `fetch(indices, generator)` gives this rank's
    share of one batch as (input, target).

    What `fetch` draws, it draws for the whole batch, so that the same pictures come whatever the number of ranks.
    """

    plan: Callable[[int], list[Tensor]]
    fetch: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]


def picture_feed(
    pictures_NCHW: UInt8[Tensor, "N C H W"], labels_N: Int64[Tensor, "N"], recipe: Recipe, *, composed: int = 0
) -> Feed:
    """P x K batches of augmented pictures and the numbers of their identities.

    With S = `recipe.data.orientations` above 1, each picture is S examples: example s·N + i is picture i in
    orientation s, of an identity of its own.

    Args:
        pictures_NCHW: at preprocessing size.
        labels_N: the identity of each.
        recipe: its data, batch, preprocessing and training tables are obeyed.
        composed: how many of the identities, the last ones, were put together from others. An epoch has at most as
            many of them as of those, in turn; where they have fewer pictures, an epoch may have fewer batches.

    Raises:
        RecipeError: orientations of pictures that are not square.
    """
    count, orientations = len(pictures_NCHW), recipe.data.orientations
    if orientations > 1 and recipe.preprocessing.height != recipe.preprocessing.width:
        raise RecipeError("Only square pictures have orientations.", hint="Set --height and --width alike.")
    identities = int(labels_N.max()) + 1
    labels_SN = torch.cat([labels_N + s * identities for s in range(orientations)])
    drawn = identities - composed

    def examples(epoch: int) -> Int64[Tensor, "E"]:
        if composed <= drawn:
            return torch.arange(len(labels_SN))
        turn = (torch.arange(drawn) + drawn * (epoch - 1)) % composed  # fewer than there are: none comes twice
        shown = torch.cat([torch.arange(drawn), drawn + turn])
        return torch.isin(labels_SN % identities, shown).nonzero()[:, 0]

    def plan(epoch: int) -> list[Tensor]:
        generator = generator_for(recipe.training.seed, "batches", epoch)
        sizes = {"identities": recipe.batch.identities, "pictures": recipe.batch.pictures}
        shown_E = examples(epoch)
        return [shown_E[batch_B] for batch_B in identity_batches(labels_SN[shown_E], **sizes, generator=generator)]

    def fetch(indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        share = own_share(len(indices_B))
        own_B = indices_B[share]
        x_BCHW = to_input(pictures_NCHW[own_B % count], recipe.preprocessing)
        if orientations > 1:
            x_BCHW = oriented(x_BCHW, own_B // count)
        return _augmented(x_BCHW, generator, recipe, share.start, len(indices_B)), labels_SN[own_B]

    return Feed(plan, fetch)


def example_feed(
    inputs: Tensor, targets: Tensor, recipe: Recipe, *, prepare: Callable[[Tensor], Tensor] | None = None
) -> Feed:
    """Batches of m new random examples, a new partition each epoch (equations 2-4 to 2-6).

    The last batch is shorter where m does not divide n, and is divided by its own size.

    Args:
        inputs, targets: of all n examples, by row.
        recipe: its batch and training tables are obeyed.
        prepare: turns stored pictures into the network's input; they are then augmented. None for rows.
    """

    def plan(epoch: int) -> list[Tensor]:
        generator = generator_for(recipe.training.seed, "batches", epoch)
        return list(example_batches(len(inputs), recipe.batch.size, generator))

    def fetch(indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        share = own_share(len(indices_B))
        own_B = indices_B[share]
        input = inputs.index_select(0, own_B)
        if prepare is not None:
            input = _augmented(prepare(input), generator, recipe, share.start, len(indices_B))
        return input, targets.index_select(0, own_B)

    return Feed(plan, fetch)


def oriented(x_BCHW: Float[Tensor, "B C H W"], orientation_B: Int64[Tensor, "B"]) -> Float[Tensor, "B C H W"]:
    """Each square picture turned by 0, 90, 180, 270 degrees (orientations 0 ... 3), mirrored as well (4 ... 7)."""
    turned_BCHW = torch.empty_like(x_BCHW)
    for orientation in set(orientation_B.tolist()):
        chosen_B = orientation_B == orientation
        picture_BCHW = x_BCHW[chosen_B].flip(3) if orientation >= 4 else x_BCHW[chosen_B]
        turned_BCHW[chosen_B] = picture_BCHW.rot90(orientation % 4, (2, 3))
    return turned_BCHW


def _augmented(x_BCHW: Tensor, generator: torch.Generator, recipe: Recipe, first: int, of: int) -> Tensor:
    training = recipe.training
    return augment(
        x_BCHW, generator, strength=training.augment, elastic=training.elastic, strokes=training.strokes,
        first=first, of=of,
    )  # fmt: skip
