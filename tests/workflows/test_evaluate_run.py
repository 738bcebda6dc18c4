"""What `evaluate` tells beside the figures: pictures that a model could not embed, and data that it has seen."""

from dataclasses import replace
from pathlib import Path

import pytest
from pictures import write_identities
from PIL import Image
from torch import Tensor, nn

from firstsight.config import Network, Preprocessing
from firstsight.data.identities import listing_digest, open_pictures
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model
from firstsight.workflows.evaluate_run import measure


class Pixels(nn.Module):
    """The pixels at unit length."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.normalize(x_BCHW.flatten(1) + 0.01)


def pixels(name: str, preprocessing: Preprocessing) -> Model:
    size = preprocessing.height * preprocessing.width
    network = Network(name="custom", embedding_size=size)
    return make_model(Pixels(), ModelConfig(network=network, preprocessing=preprocessing), name=name)


@pytest.mark.parametrize("turned", [False, True])
def test_a_picture_that_one_of_two_models_cannot_embed_is_listed_with_its_name(tmp_path: Path, turned: bool) -> None:
    """One that is no picture, which neither can embed, and a blank one, which only the model that looks for ink
    refuses."""
    folder = write_identities(tmp_path / "set", identities=6, each=4)
    blank, broken = sorted(folder.rglob("*.png"))[:2]
    Image.new("L", (16, 16), 255).save(blank)
    broken.write_bytes(b"not a picture")
    models = [
        pixels("whole", Preprocessing(height=16, width=16, color="gray")),
        pixels("ink", Preprocessing(height=16, width=16, color="gray", fit="ink")),
    ]
    one, other = models[::-1] if turned else models
    measured = measure(one, str(folder), against=other, trials=3)
    reasons = {Path(path).name: reason for path, reason in measured.skipped}
    assert len(measured.skipped) == 2
    assert reasons[blank.name].startswith("ink: ")
    assert "whole" not in reasons[blank.name]
    assert f"{one.name}: " in reasons[broken.name]
    assert f"; {other.name}: " in reasons[broken.name]
    page = measured.write(tmp_path / "report").read_text("utf-8")
    assert all(reason.split(",")[0] in page for reason in reasons.values())


def test_data_that_were_changed_since_the_training_are_warned_of_by_their_place_and_no_more_is_claimed(
    tmp_path: Path,
) -> None:
    folder = write_identities(tmp_path / "set", identities=6, each=4)
    trained = {"data": str(folder), "listing": listing_digest(open_pictures(folder)), "identities": 5}
    model = pixels("mine", Preprocessing(height=16, width=16, color="gray"))
    model = replace(model, config=replace(model.config, trained=trained))
    before = measure(model, str(folder), trials=2)
    assert f"mine was trained on 5 of the 6 identities in {folder}. " in before.notes[0]
    write_identities(folder, identities=1, each=2, first=6)
    after = measure(model, str(folder), trials=2)
    assert f"mine was trained on data called {folder}, if not on these very files. " in after.notes[0]
    assert before.figures["seen_in_training"] is after.figures["seen_in_training"] is True
