"""From published data to figures, end to end, with a network that has learned nothing: its figures are those of chance
or little better, and known."""

from pathlib import Path

import pytest

from firstsight.config import Network, Preprocessing
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.data.runs import open_runs
from firstsight.evaluation.episodes import evaluate_episodes, evaluate_runs
from firstsight.evaluation.folds import evaluate_pairs
from firstsight.evaluation.open_set import evaluate_open_set
from firstsight.evaluation.protocol_pages import write_protocol
from firstsight.evaluation.protocols import evaluate
from firstsight.evaluation.retrieval import evaluate_retrieval
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model
from firstsight.models.registry import build_network

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def untrained() -> Model:
    config = ModelConfig(
        network=Network(channels=(8, 16), embedding_size=32),
        preprocessing=Preprocessing(height=32, width=32, color="gray"),
    )
    return make_model(build_network(config, seed=0), config, name="untrained")


@pytest.fixture
def faces(shared_data: Path) -> PictureSet:
    """The first ten people of AT&T, ten pictures each."""
    pictures = open_pictures(shared_data / "faces" / "att_faces.zip")
    return pictures.select(i for i, label in enumerate(pictures.labels) if label < 10)


def test_the_runs_of_omniglot(untrained: Model, shared_data: Path, tmp_path: Path) -> None:
    """By chance 5 % are right; a little more by nearest pixels, and by random filters."""
    found = evaluate_runs(untrained, open_runs(shared_data / "omniglot" / "dev_runs.zip"))
    figures = found.to_json()
    assert (figures["runs"], figures["ways"], figures["identifications"], figures["skipped"]) == (12, 20, 240, 0)
    assert 0.1 < figures["pixel_accuracy"] < 0.4
    assert 1 / 20 < figures["accuracy"] < 0.9
    assert len(found.verification.pairs.same) == 12 * 20 * 20
    page = write_protocol(tmp_path, found, title="Runs", summary="").read_text("utf-8")
    assert "12 runs of 20 identities, 1 enrolled of each; 240 identifications." in page


def test_every_protocol_agrees_on_the_faces_of_att(untrained: Model, faces: PictureSet) -> None:
    closed, episodes = evaluate(untrained, faces, trials=50), evaluate_episodes(untrained, faces, ways=10, episodes=50)
    found, strangers = evaluate_retrieval(untrained, faces), evaluate_open_set(untrained, faces, trials=20)
    # ten ways of ten identities: the same question, asked of one probe each
    assert episodes.one_shot.accuracy == pytest.approx(closed.one_shot.accuracy, abs=0.06)
    assert closed.pixels.accuracy > 0.5, "faces of one sitting are known by their pixels"
    assert found.retrieval.precision_at_1 > closed.one_shot.accuracy, "nine chances instead of one"
    assert found.verification.auc == closed.verification.auc
    nearest_right = strangers.open_set.known.right.mean()
    assert nearest_right > closed.one_shot.accuracy - 0.05, "five enrolled are fewer to be taken for than ten"
    assert strangers.to_json()["dir_at_fpir_1e-2_refused"].endswith("the tightest FPIR is 0.03.")


def test_the_pairs_of_labeled_faces_in_the_wild(untrained: Model, shared_data: Path, tmp_path: Path) -> None:
    """240 pairs of the first fold, as two folds, so that few pictures are decoded: all are found, none is left out."""
    pictures = open_pictures(shared_data / "faces" / "lfw_dev_aligned112.zip")
    lines = (shared_data / "faces" / "lfw_pairs_dev.txt").read_text().splitlines()
    assert lines[0].split() == ["5", "300"]
    chosen = [*lines[1:61], *lines[301:361], *lines[61:121], *lines[361:421]]
    (tmp_path / "pairs.txt").write_text("\n".join(["2\t60", *chosen]))
    found = evaluate_pairs(untrained, pictures, read_pairs(tmp_path / "pairs.txt", pictures))
    figures = found.to_json()
    assert (figures["folds"], figures["pairs"], figures["same_pairs"]) == (2, 240, 120)
    assert (figures["missing_pictures"], figures["unembedded_pairs"]) == (0, 0)
    assert 0.5 < figures["auc"] < 0.9
    assert 0.4 < figures["accuracy"] < 0.85
    assert figures["val_at_far_1e-2"] is None
    assert figures["val_at_far_1e-2_refused"].endswith("the tightest FAR is 0.025.")
