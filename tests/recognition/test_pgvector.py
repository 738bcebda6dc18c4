"""Search by the server: exact as the index is, or HNSW with its recall."""

from contextlib import closing
from pathlib import Path

import pytest
import torch
from galleries import in_search, names_found, opened
from tiny_models import pixel_model, random_templates

from firstsight.errors import GalleryError, OtherModel
from firstsight.model_config import OperatingPoint
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.opening import open_storage
from firstsight.recognition.pgvector import make_hnsw


def test_a_server_without_pgvector_is_good_for_all_but_its_own_search(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstsight.recognition.pgvector._EXTENSION", "not_there")
    with opened(postgres_url) as gallery:
        gallery.enroll("ada", random_templates(1)[0])
        assert names_found(gallery, random_templates(1)[0]) == ["ada"]
    with pytest.raises(GalleryError, match=r"has no pgvector, which its search needs\. Have its administrator install"):
        Gallery(in_search(postgres_url, "server"))


def crowded(seed: int) -> torch.Tensor:
    """Templates with equals and near equals among them: where rounding could change an order."""
    few = random_templates(40, seed=seed)
    near = few.clone()
    near[:, 0] += (near[:, 0] < 127).to(torch.int8)
    return torch.cat([few, near, few, (few // 2) * 2])


@pytest.mark.parametrize("k", [1, 2, 7, 200])
def test_the_exact_search_of_the_server_finds_what_the_index_finds(postgres_url: str, k: int) -> None:
    held, probes = crowded(1), torch.cat([crowded(1)[:10], random_templates(10, seed=2)])
    names = [f"{i % 90}" for i in range(len(held))]  # some with two templates, and one with more than are asked for
    held, names = torch.cat([held, held[:1].repeat(150, 1)]), names + ["many"] * 150
    with opened(postgres_url) as in_memory, opened(in_search(postgres_url, "server")) as there:
        in_memory.enroll_many(names, held, add=True)
        assert there.search(probes, k) == in_memory.search(probes, k)
        assert len(there._searcher._index) == 0  # nothing is kept in memory


def test_the_server_counts_again_only_when_someone_enrolled_or_forgot(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(in_search(postgres_url, "server")) as gallery, opened(postgres_url) as theirs:
        theirs.enroll_many(["ada", "bob"], random_templates(2))
        assert gallery.count_templates() == 2
        with monkeypatch.context() as patched:
            patched.setattr("firstsight.recognition.searcher.count_templates", lambda *_: pytest.fail("counted again"))
            theirs.set_operating_point(
                "m", OperatingPoint(threshold=1, target=0.1, accepted=0, comparisons=1, identities=2)
            )
            assert gallery.count_templates() == 2
        theirs.forget("ada")
        assert gallery.count_templates() == 1
        theirs.clear()
        theirs.bind_model(pixel_model("other", size=4))
        theirs.enroll("ada", random_templates(1, 16)[0])
        with pytest.raises(OtherModel):
            gallery.count_templates()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_key_and_the_search_of_the_server_do_not_go_together(postgres_url: str, encrypted: bool) -> None:
    key = bytes(range(32))
    said = "is encrypted, so its server cannot" if encrypted else "is not encrypted, and a key was given"
    with Gallery(postgres_url, key=key if encrypted else None):
        pass
    with pytest.raises(GalleryError, match=said):
        Gallery(in_search(postgres_url, "server"), key=key)


def test_hnsw_is_used_when_asked_for_once_its_recall_was_measured(postgres_url: str) -> None:
    held = random_templates(600, seed=4)
    url = in_search(postgres_url, "hnsw")
    with opened(url) as gallery:
        assert gallery.search(held[:1]) == [[]]
        with closing(open_storage(postgres_url)) as storage, pytest.raises(GalleryError, match="Nobody is enrolled"):
            make_hnsw(storage)
        gallery.enroll_many([str(i) for i in range(600)], held)
        with pytest.raises(GalleryError, match=r"no HNSW index yet\. .*firstsight gallery index"):
            gallery.search(held[:1])
        with closing(open_storage(postgres_url)) as storage:
            recall = make_hnsw(storage, probes=20)
        assert (recall.probes, recall.nearest, recall.of) == (20, 10, 200)
        assert 0.8 * recall.of < recall.found <= recall.of
        found = gallery.search(held[:20], k=1)
        assert [(match.name, match.distance) for (match,) in found] == [(str(i), 0.0) for i in range(20)]
        gallery.enroll("late", random_templates(1, seed=6)[0])
        assert names_found(gallery, random_templates(1, seed=6)[0], k=1) == ["late"]
        gallery.forget("late")
        assert "late" not in names_found(gallery, random_templates(1, seed=6)[0], k=5)
        gallery.clear()
        gallery.bind_model(pixel_model("other", size=4))
        gallery.enroll("ada", random_templates(1, 16)[0])  # the index holds one length only, and minds no other


def test_hnsw_is_for_postgresql(tmp_path: Path) -> None:
    with closing(open_storage(tmp_path / "g.sqlite")) as storage, pytest.raises(GalleryError, match="needs no index"):
        make_hnsw(storage)
