import csv
import json
from pathlib import Path

import pytest
from faces import cat, group, portrait
from pictures import write_identities
from PIL import Image

from firstsight.config import Network, Preprocessing
from firstsight.errors import DataError, GalleryError, UserError
from firstsight.model_config import ModelConfig
from firstsight.models.folder import load_model, make_model
from firstsight.models.registry import build_network
from firstsight.workflows.cluster import cluster_pictures, write_clusters


def test_every_face_of_every_picture_finds_its_group(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "2024").mkdir(parents=True)
    for name, picture in {"one.jpg": portrait(), "2024/three.jpg": group(), "cat.png": cat()}.items():
        picture.save(photos / name)
    (photos / "broken.png").write_bytes(b"no picture")
    faces = load_model("faces")
    found = cluster_pictures(faces, str(photos))
    assert (found.sizes, found.agreement) == ([4], None)
    assert sorted(Path(skipped.path).name for skipped in found.skipped) == ["broken.png", "cat.png"]
    listing, sheet = write_clusters(found, tmp_path / "groups")
    rows = list(csv.DictReader(listing.read_text().splitlines()))
    assert [Path(row["picture"]).name for row in rows] == ["three.jpg"] * 3 + ["one.jpg"]
    left, top, right, bottom = (int(rows[3][side]) for side in ("left", "top", "right", "bottom"))
    assert left < 224 < right
    assert top < 119 < bottom
    with Image.open(sheet) as opened:
        assert opened.size == (4 * 80, 80)
    with pytest.raises(UserError, match=r"groups is not an empty folder. Name another --out."):
        write_clusters(found, tmp_path / "groups")
    for name in ("one.jpg", "2024/three.jpg", "broken.png"):
        (photos / name).unlink()
    with pytest.raises(DataError, match=r"holds nothing to cluster: shows no face"):
        cluster_pictures(faces, str(photos))


def test_where_names_are_known_clusters_are_compared_with_them(tmp_path: Path) -> None:
    data = write_identities(tmp_path / "photos", identities=6, each=4)
    config = ModelConfig(network=Network(channels=(8,)), preprocessing=Preprocessing(height=16, width=16, color="gray"))
    model = make_model(build_network(config), config, name="untrained")
    figures = cluster_pictures(model, str(data), named=True, threshold=0.5).to_json()
    assert figures["faces"] == 24
    assert figures["identities"] == 6
    assert figures["recall_low"] <= figures["recall"] <= figures["recall_high"]
    json.dumps(figures)
    with pytest.raises(GalleryError, match="The threshold 5 is not a squared distance"):
        cluster_pictures(model, str(data), threshold=5)
