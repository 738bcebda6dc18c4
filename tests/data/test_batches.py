"""P x K batches and mini-batches: properties that hold for every training set."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from firstsight.data.batches import count_identity_batches, example_batches, identity_batches

COUNTS = st.lists(st.just(1) | st.integers(1, 25), min_size=1, max_size=15)
PLACES = st.integers(2, 6)
SEEDS = st.integers(0, 2**31)


def labels_of(counts: list[int]) -> Tensor:
    """Labels in mixed order, with gaps between them."""
    labels = torch.tensor([3 * label for label, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


def epoch(labels: Tensor, identities: int, pictures: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(identity_batches(labels, identities=identities, pictures=pictures, generator=generator))


@given(COUNTS, PLACES, PLACES, SEEDS)
def test_every_picture_is_drawn_and_none_twice_in_a_batch(counts: list[int], P: int, K: int, seed: int) -> None:
    labels = labels_of(counts)
    batches = epoch(labels, P, K, seed)
    assert set(torch.cat(batches).tolist()) == set(range(len(labels)))
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch) <= P * K


@given(COUNTS, PLACES, PLACES, SEEDS)
def test_an_identity_gives_k_pictures_or_all_it_has(counts: list[int], P: int, K: int, seed: int) -> None:
    labels = labels_of(counts)
    total = Counter(labels.tolist())
    for batch in epoch(labels, P, K, seed):
        drawn = Counter(labels[batch].tolist())
        assert all(count == min(K, total[label]) for label, count in drawn.items())


@given(COUNTS, PLACES, PLACES, SEEDS)
def test_each_batch_is_as_full_as_it_can_be(counts: list[int], P: int, K: int, seed: int) -> None:
    labels = labels_of(counts)
    total = Counter(labels.tolist())
    several, singletons = sum(n > 1 for n in counts), counts.count(1)
    identities_in = set()
    for batch in epoch(labels, P, K, seed):
        drawn = Counter(labels[batch].tolist())
        with_several = sum(total[label] > 1 for label in drawn)
        identities_in.add(with_several)
        if singletons:
            assert len(batch) == P * K or sum(total[label] == 1 for label in drawn) == singletons
            assert with_several >= min(1, several)
        else:
            assert with_several == min(P, several)
        assert len(drawn) >= min(2, len(counts))  # a triplet needs a negative
    assert len(identities_in) == 1


@given(COUNTS, PLACES, PLACES, SEEDS)
def test_pictures_of_an_identity_are_drawn_equally_often(counts: list[int], P: int, K: int, seed: int) -> None:
    labels = labels_of(counts)
    times = Counter(torch.cat(epoch(labels, P, K, seed)).tolist())
    for label in labels.unique():
        of_identity = [times[i] for i in (labels == label).nonzero().flatten().tolist()]
        assert max(of_identity) - min(of_identity) <= 1


@given(COUNTS, PLACES, PLACES, SEEDS, SEEDS)
def test_an_epoch_has_the_same_length_every_time(counts: list[int], P: int, K: int, seed: int, other: int) -> None:
    labels = labels_of(counts)
    expected = count_identity_batches(labels, identities=P, pictures=K)
    assert len(epoch(labels, P, K, seed)) == len(epoch(labels, P, K, other)) == expected


@given(st.lists(st.integers(2, 25), min_size=1, max_size=15), PLACES, PLACES)
def test_an_epoch_is_no_longer_than_it_must_be(counts: list[int], P: int, K: int) -> None:
    hands = [math.ceil(count / K) for count in counts]
    expected = max(max(hands), math.ceil(sum(hands) / P))
    assert count_identity_batches(labels_of(counts), identities=P, pictures=K) == expected


def test_no_picture_is_drawn_again_where_all_fit() -> None:
    labels = labels_of([8] * 12)
    assert sorted(torch.cat(epoch(labels, 4, 4)).tolist()) == list(range(96))


def test_epochs_are_repeatable_and_differ() -> None:
    labels = labels_of([5] * 20)
    generator = torch.Generator().manual_seed(1)
    first, second = (list(identity_batches(labels, identities=4, pictures=3, generator=generator)) for _ in range(2))
    assert all(map(torch.equal, first, epoch(labels, 4, 3, seed=1)))
    assert not all(map(torch.equal, first, second))


def test_every_pair_of_identities_meets() -> None:
    labels = labels_of([8] * 10)
    met = Counter()
    for seed in range(300):
        for batch in epoch(labels, 2, 4, seed):
            met[tuple(sorted(set(labels[batch].tolist())))] += 1
    assert len(met) == math.comb(10, 2)
    assert max(met.values()) < 3 * min(met.values())


def test_every_pair_of_pictures_meets() -> None:
    labels = labels_of([6, 6, *[1] * 9])
    anchors, singletons = (labels == 0).nonzero().flatten().tolist(), (labels > 3).nonzero().flatten().tolist()
    met: Counter[tuple[int, int]] = Counter()
    for seed in range(200):
        for batch in epoch(labels, 3, 3, seed):
            met.update(itertools.combinations(sorted(batch.tolist()), 2))
    for group in (anchors, singletons):
        times = [met[pair] for pair in itertools.combinations(group, 2)]
        assert 0 < max(times) < 2 * min(times)


def test_one_identity_with_most_pictures_leaves_no_batch_to_itself() -> None:
    labels = labels_of([400, 4, 4, 4])
    for batch in epoch(labels, 3, 4):
        assert len(labels[batch].unique()) == 3


def test_too_small_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two identities of two pictures, not 1 of 8"):
        epoch(labels_of([3, 3]), 1, 8)


def test_an_empty_set_has_no_batches() -> None:
    assert epoch(labels_of([]), 2, 2) == []


@given(st.integers(1, 200), st.integers(1, 250), SEEDS)
def test_mini_batches_partition_the_examples(count: int, size: int, seed: int) -> None:
    batches = list(example_batches(count, size, torch.Generator().manual_seed(seed)))
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == math.ceil(count / size)


def test_all_examples_are_one_batch() -> None:
    (batch,) = example_batches(17, "all", torch.Generator())
    assert sorted(batch.tolist()) == list(range(17))


def test_mini_batches_are_a_new_partition_each_epoch() -> None:
    generator = torch.Generator().manual_seed(3)
    epochs = [torch.cat(list(example_batches(50, 7, generator))).tolist() for _ in range(4)]
    assert len({tuple(order) for order in epochs}) == 4
    assert epochs[0] == torch.cat(list(example_batches(50, 7, torch.Generator().manual_seed(3)))).tolist()
