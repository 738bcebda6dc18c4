"""Which examples an update sees: indices into the training set, batch by batch.

Shapes: N examples, B batch, I identities with two pictures or more.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor


def example_batches(
    count: int, size: int | Literal["all"], generator: torch.Generator
) -> Iterator[Int64[Tensor, " B"]]:
    """One epoch over `count` examples: a new random partition into batches of `size` (equations 2-4 to 2-6).

    The last batch is shorter where `size` does not divide `count`. "all" is full-batch descent (2-2, 2-3).
    """
    order_N = torch.randperm(count, generator=generator)
    yield from torch.split(order_N, count if size == "all" else size)


def identity_batches(
    labels_N: Int64[Tensor, " N"], *, identities: int, pictures: int, generator: torch.Generator
) -> Iterator[Int64[Tensor, " B"]]:
    """One epoch of P x K batches: P = `identities` in each, K = `pictures` of each.

    - An identity with fewer than K pictures gives all it has.
    - Identities with one picture have no pair to offer. As negatives they fill each batch up to P·K pictures, and
      where there are any, some of the P places are kept for them, K to a place.
    - The epoch is over when every picture was drawn, after `count_identity_batches` batches. Each batch is as full as
      the others: identities whose pictures have all been drawn are drawn again where places would stay empty, so
      no batch ends with a single identity, and none is left over. No picture comes twice in a batch.

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1, 2, 2])
        >>> [len(batch) for batch in identity_batches(labels, identities=3, pictures=2, generator=torch.Generator())]
        [6]
    """
    order_N = torch.randperm(len(labels_N), generator=generator)
    order_N = order_N[labels_N[order_N].argsort(stable=True)]  # by identity, in random order within
    sizes = torch.unique_consecutive(labels_N[order_N], return_counts=True)[1].tolist()
    piles = torch.split(order_N, sizes)
    decks = [_Deck(pile) for pile in piles if len(pile) > 1]
    singletons = torch.cat([order_N[:0], *(pile for pile in piles if len(pile) == 1)])
    strangers = _Deck(singletons[torch.randperm(len(singletons), generator=generator)])

    plan = _plan([len(deck) for deck in decks], len(strangers), identities, pictures)
    left_I = torch.tensor([math.ceil(len(deck) / pictures) for deck in decks], dtype=torch.float64)
    for remaining in range(plan.batches, 0, -1):
        chosen = _choose(left_I, plan.identities, remaining, generator)
        left_I[chosen] -= 1
        batch = torch.cat([order_N[:0], *(decks[i].draw(pictures) for i in chosen.tolist())])
        yield torch.cat([batch, strangers.draw(identities * pictures - len(batch))])


def count_identity_batches(labels_N: Int64[Tensor, " N"], *, identities: int, pictures: int) -> int:
    """How many batches `identity_batches` gives: the same in every epoch."""
    counts = torch.unique(labels_N, return_counts=True)[1].tolist()
    several = [count for count in counts if count > 1]
    return _plan(several, len(counts) - len(several), identities, pictures).batches


class _Deck:
    """Shuffled pictures, dealt round and round: all have been dealt before one comes again."""

    def __init__(self, pictures_N: Tensor) -> None:
        self._pictures_N = pictures_N
        self._next = 0

    def __len__(self) -> int:
        return len(self._pictures_N)

    def draw(self, count: int) -> Tensor:
        """The next `count` pictures, or all where there are fewer; never one twice."""
        if count >= len(self):
            return self._pictures_N
        start, end = self._next, self._next + count
        self._next = end % len(self)
        return self._pictures_N[start:end] if end <= len(self) else self._pictures_N.roll(-start)[:count]


class _Plan(NamedTuple):
    batches: int
    identities: int  # with several pictures, in each batch


def _plan(counts: list[int], singletons: int, places: int, pictures: int) -> _Plan:
    """The fewest batches in which every picture finds a place.

    An identity takes one place in a batch, so the one with most pictures says how many batches there must be at least.
    """
    if places < 2 or pictures < 2:
        raise ValueError(f"a batch needs two identities of two pictures, not {places} of {pictures}")
    hands = [math.ceil(count / pictures) for count in counts]
    if not hands:
        return _Plan(math.ceil(singletons / (places * pictures)), 0)
    plans = []
    for kept in range(1, places) if singletons else (0,):
        batches = max(max(hands), math.ceil(sum(hands) / (places - kept)))
        if kept:
            batches = max(batches, math.ceil(singletons / (kept * pictures)))
        plans.append(_Plan(batches, min(places - kept, len(hands))))
    return min(plans, key=lambda plan: plan.batches)


def _choose(left_I: Tensor, count: int, remaining: int, generator: torch.Generator) -> Tensor:
    """`count` identities: those that must come in each remaining batch, then at random by what they have left.

    The k smallest of exponential variables divided by weights are k draws by weight without replacement
    (Efraimidis & Spirakis 2006). Those with nothing left come last.
    """
    keys_I = torch.empty_like(left_I).exponential_(generator=generator) / left_I.clamp(min=1e-12)
    keys_I[left_I >= remaining] = -1.0
    return keys_I.topk(count, largest=False).indices
