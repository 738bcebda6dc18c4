import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.recognition.index import Index

Rows = list[tuple[int, list[int]]]


def brute_force(probe: np.ndarray, rows: Rows, k: int) -> list[tuple[int, float]]:
    """The definition, one template at a time, from Python's integers."""
    nearest: dict[int, float] = {}
    for identity, template in rows:
        dot = sum(int(a) * int(b) for a, b in zip(probe, template, strict=True))
        squares = sum(int(a) ** 2 for a in probe) * sum(int(b) ** 2 for b in template)
        distance = float(np.float32(max(0.0, 2 - 2 * dot / np.sqrt(np.float64(squares)))))
        nearest[identity] = min(distance, nearest.get(identity, 4.0))
    return sorted(nearest.items(), key=lambda item: (item[1], item[0]))[:k]


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Rows | tuple[int, int]]]:
    """Additions (templates of few different values, so ties abound) and ranges dropped."""
    size = draw(st.integers(1, 5))
    template = st.lists(st.integers(-2, 2), min_size=size, max_size=size).filter(any)
    addition = st.lists(st.tuples(st.integers(1, 12), template), max_size=20)
    removal = st.tuples(st.integers(1, 12), st.integers(0, 4)).map(lambda r: (r[0], r[0] + r[1]))
    return size, draw(st.lists(addition | removal, min_size=1, max_size=6))


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_any_history_is_searched_as_by_brute_force(history, k, random) -> None:
    size, steps = history
    index, rows = Index(), []
    for step in steps:
        if isinstance(step, tuple):
            index.drop(*step)
            rows = [row for row in rows if not step[0] <= row[0] <= step[1]]
        elif step:
            index.add(torch.tensor([row[0] for row in step]), torch.tensor([row[1] for row in step], dtype=torch.int8))
            rows += step
    assert len(index) == len(rows)
    probes = np.array([[random.choice([-2, -1, 1, 2]) for _ in range(size)] for _ in range(3)], np.int8)
    assert index.search(torch.from_numpy(probes), k) == [brute_force(probe, rows, k) for probe in probes]


@pytest.mark.parametrize("size", [128, 1500])
def test_near_ties_are_told_apart_at_any_length(size: int) -> None:
    """Templates that differ in one component by one step, also where fp32 no longer holds a dot product."""
    generator = np.random.default_rng(0)
    probe = generator.integers(100, 128, size).astype(np.int8)
    templates = np.repeat(probe[None], 300, 0)
    templates[np.arange(300), generator.integers(0, size, 300)] -= generator.integers(0, 2, 300).astype(np.int8)
    index = Index()
    index.add(torch.arange(300), torch.from_numpy(templates))
    expected = brute_force(probe, list(enumerate(templates.tolist())), 5)
    assert index.search(torch.from_numpy(probe)[None], 5) == [expected]


def test_templates_of_one_direction_are_equals_whatever_their_length() -> None:
    """They stand for the same unit vector; an fp32 score would put some before others."""
    direction, probe = np.array([3, -1, 2, 4]), np.array([90, 31, -7, 120], np.int8)
    templates = np.stack([direction * length for length in range(1, 31)]).astype(np.int8)
    index = Index()
    index.add(torch.arange(30), torch.from_numpy(templates))
    expected = brute_force(probe, list(enumerate(templates.tolist())), 3)
    assert [identity for identity, _ in expected] == [0, 1, 2]
    assert index.search(torch.from_numpy(probe)[None], 3) == [expected]


def test_a_gallery_of_many_blocks_is_searched_whole() -> None:
    generator = np.random.default_rng(1)
    templates = generator.integers(-127, 128, (20_000, 32), dtype=np.int8)
    index = Index()
    for start in range(0, 20_000, 3_000):  # grows as it goes
        part = torch.arange(start, min(start + 3_000, 20_000))
        index.add(part, torch.from_numpy(templates)[part])
    wanted = [0, 8_191, 8_192, 19_999]
    found = index.search(torch.from_numpy(templates[wanted]), 1)
    assert found == [[(row, 0.0)] for row in wanted]
    unit = templates / np.linalg.norm(templates, axis=1, keepdims=True)
    probes = generator.integers(-127, 128, (500, 32), dtype=np.int8)
    nearest = (probes @ unit.T.astype(np.float64)).argmax(1)
    assert [row[0][0] for row in index.search(torch.from_numpy(probes), 2)] == nearest.tolist()


def test_a_collapsed_gallery_gives_the_first_enrolled() -> None:
    index = Index()
    index.add(torch.arange(10_000), torch.ones(10_000, 8, dtype=torch.int8))
    assert index.search(torch.ones(1, 8, dtype=torch.int8), 3) == [[(0, 0.0), (1, 0.0), (2, 0.0)]]


def test_an_identity_with_many_templates_hides_nobody() -> None:
    index = Index()
    near, far = torch.ones(1_000, 8, dtype=torch.int8), torch.tensor([[1, 1, 1, 1, 1, 1, 1, -1]], dtype=torch.int8)
    index.add(torch.zeros(1_000, dtype=torch.int64), near)
    index.add(torch.tensor([5]), far)
    assert [identity for identity, _ in index.search(near[:1], 2)[0]] == [0, 5]


@pytest.mark.parametrize("dropped", [1, 2, 3])
def test_what_is_dropped_is_overwritten_in_memory(dropped: int) -> None:
    index = Index()
    index.add(torch.tensor([1, 2, 3]), torch.tensor([[11, 12], [21, 22], [31, 32]], dtype=torch.int8))
    index.drop(dropped, dropped)
    held = index._templates_ND.numpy().tobytes()
    assert [identity for identity in (1, 2, 3) if bytes([10 * identity + 1]) in held] == [
        identity for identity in (1, 2, 3) if identity != dropped
    ]


def test_an_empty_index_finds_nobody() -> None:
    assert Index().search(torch.ones(2, 4, dtype=torch.int8), 2) == [[], []]


def test_memory_grows_by_a_quarter_not_with_each_enrollment() -> None:
    index, moves, held = Index(), 0, None
    for identity in range(500):
        index.add(torch.tensor([identity]), torch.ones(1, 8, dtype=torch.int8), room=identity + 1)
        moves += index._templates_ND.data_ptr() != held
        held = index._templates_ND.data_ptr()
    assert moves < 40
    assert len(index._identities_N) <= 1.25 * 500
