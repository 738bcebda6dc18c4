import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import random_templates

from firstsight.functional import scan
from firstsight.recognition import index as index_module
from firstsight.recognition.index import Index

Rows = list[tuple[int, list[int]]]


@pytest.fixture(params=["int8", "bf16", "fp32"], scope="module", autouse=True)
def product(request: pytest.FixtureRequest) -> Iterator[str]:
    """What multiplies templates: int8 as they are, or rounded to bf16, where this machine can; or turned to fp32."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "int8":
            patch.setattr(scan, "multiplies_int8", lambda size: False)
        if request.param != "bf16":
            patch.setattr(scan, "rounds_to_bf16", lambda size: False)
        yield request.param


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


@pytest.mark.parametrize(("segment", "strip"), [(12, 3), (1 << 23, 64)], ids=["in many parts", "in one part"])
@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_any_history_is_searched_as_by_brute_force(segment, strip, history, k, random) -> None:
    size, steps = history
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_SEGMENT", segment)
        patch.setattr(index_module, "_STRIP", strip)
        index, rows = Index(), []
        for step in steps:
            if isinstance(step, tuple):
                index.drop(*step)
                rows = [row for row in rows if not step[0] <= row[0] <= step[1]]
            elif step:
                templates = torch.tensor([row[1] for row in step], dtype=torch.int8)
                index.add(torch.tensor([row[0] for row in step]), templates)
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


@pytest.mark.parametrize("probes", [1, 3])
def test_who_is_near_by_a_hair_is_told_from_who_is_nearer(probes: int) -> None:
    """A crowd around each probe, closer to one another than a rounded score can tell."""
    generator = np.random.default_rng(probes)
    center = generator.normal(size=(probes, 1, 64))
    crowd = (center + 0.05 * generator.normal(size=(probes, 2_000, 64))).reshape(-1, 64)
    templates = np.round(60 * crowd / np.abs(crowd).max(1, keepdims=True) + generator.integers(-2, 3, crowd.shape))
    seen = np.round(50 * center[:, 0] / np.abs(center[:, 0]).max(1, keepdims=True)).astype(np.int8)
    rows = templates.astype(np.int8)
    index = Index()
    index.add(torch.arange(len(rows)), torch.from_numpy(rows))
    for probe, found in zip(seen, index.search(torch.from_numpy(seen), 4), strict=True):
        dots = (rows.astype(np.int64) @ probe.astype(np.int64)) / np.linalg.norm(rows.astype(np.float64), axis=1)
        few = sorted(np.argsort(-dots)[:20].tolist())
        assert found == brute_force(probe, [(i, rows[i].tolist()) for i in few], 4)


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


@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 2**31))
def test_the_highest_scores_are_found_by_their_strips(strips: int, width: int, seed: int) -> None:
    scores_MSS = torch.rand(3, strips, 64, generator=torch.Generator().manual_seed(seed)).mul_(50).floor_()
    scores_MN = scores_MSS.flatten(1)
    score_MW, row_MW = index_module._top(scores_MSS, scores_MSS.amax(2), width)
    assert torch.equal(score_MW, scores_MN.topk(width).values)
    assert torch.equal(scores_MN.gather(1, row_MW), score_MW)
    assert all(len(set(row)) == width for row in row_MW.tolist())


@pytest.mark.parametrize("dropped", [1, 2, 3])
def test_what_is_dropped_is_overwritten_in_memory(dropped: int) -> None:
    index = Index()
    index.add(torch.tensor([1, 2, 3]), torch.tensor([[11, 12], [21, 22], [31, 32]], dtype=torch.int8))
    (segment,) = index._segments
    index.drop(dropped, dropped)
    kept = [identity for identity in (1, 2, 3) if bytes([10 * identity + 1]) in segment[:3].numpy().tobytes()]
    assert kept == [identity for identity in (1, 2, 3) if identity != dropped]
    index.drop(0, 3)
    assert not segment[:3].any()
    assert not index._segments


def test_an_empty_index_finds_nobody() -> None:
    assert Index().search(torch.ones(2, 4, dtype=torch.int8), 2) == [[], []]


def test_templates_never_move_as_the_index_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory never holds them twice, nor a copy that nobody overwrites."""
    monkeypatch.setattr(index_module, "_SEGMENT", 8 * 100)
    index, moves, held, segments = Index(), 0, None, []
    for identity in range(500):
        index.add(torch.tensor([identity]), torch.ones(1, 8, dtype=torch.int8))
        moves += index._identities_N.data_ptr() != held
        held = index._identities_N.data_ptr()
        addresses = [segment.data_ptr() for segment in index._segments]
        assert addresses[: len(segments)] == segments
        segments = addresses
    assert len(segments) == 5
    assert moves < 40
    assert len(index._identities_N) <= 1.25 * 500


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux")
def test_growth_search_and_forgetting_take_no_second_copy(product: str) -> None:
    script = (
        "import torch; from pathlib import Path\n"
        "from firstsight.functional import scan\n"
        "from firstsight.recognition.index import Index\n"
        f"if {product!r} != 'int8': scan.multiplies_int8 = lambda size: False\n"
        f"if {product!r} != 'bf16': scan.rounds_to_bf16 = lambda size: False\n"
        "torch.set_num_threads(1)\n"
        "status = Path('/proc/self/status')\n"
        "def peak(): return 1024 * int(status.read_text().split('VmHWM:')[1].split()[0])\n"
        "def used(index, first, count):\n"
        "    for start in range(first, first + count, 1000):\n"
        "        index.add(torch.arange(start, start + 1000), torch.ones(1000, 1024, dtype=torch.int8))\n"
        "    index.add(torch.tensor([0]), torch.arange(-512, 512).fmod(128).to(torch.int8)[None])\n"
        "    index.search(torch.arange(-512, 512).fmod(128).to(torch.int8)[None], 1)\n"
        "    index.drop(first + 5, first + 5)\n"
        "used(Index(), 1, 20_000)\n"
        "before, index = peak(), Index()\n"
        "used(index, 1, 120_000)\n"
        "print((peak() - before) / (len(index) * 1024))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert 0.5 < float(done.stdout) < 1.2


def test_no_probes_find_nothing() -> None:
    index = Index()
    index.add(torch.tensor([1]), random_templates(1))
    assert index.search(random_templates(1)[:0], 2) == []
