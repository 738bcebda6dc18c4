"""A model that is easy to check, and pictures for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from firstsight.config import Network, Preprocessing
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.evaluation.protocols import Evaluation, evaluate
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model

SIZE = 8


class CenteredPixels(nn.Module):
    """The pixels, less their mean, at unit length."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BF = x_BCHW.flatten(1)
        return nn.functional.normalize(x_BF - x_BF.mean(1, keepdim=True))


@pytest.fixture(scope="session")
def model() -> Model:
    config = ModelConfig(
        network=Network(name="custom", embedding_size=SIZE * SIZE),
        preprocessing=Preprocessing(height=SIZE, width=SIZE, color="gray"),
    )
    return make_model(CenteredPixels(), config, name="pixels")


@pytest.fixture(scope="session")
def write_identities() -> Callable[[Path, dict[str, int]], Path]:
    """Write NAME/0.png ...: noisy copies of one random pattern an identity."""

    def write(folder: Path, counts: dict[str, int], *, noise: float = 60.0) -> Path:
        rng = np.random.default_rng(0)
        for name, count in counts.items():
            (folder / name).mkdir(parents=True)
            pattern = rng.uniform(0, 255, (SIZE, SIZE))
            for i in range(count):
                pixels = np.clip(pattern + rng.normal(0, noise, (SIZE, SIZE)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{i}.png")
        return folder

    return write


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, write_identities: Callable[..., Path]) -> PictureSet:
    """Six identities, one of them with one picture, and one file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    write_identities(folder, {"ada": 6, "bo": 5, "cleo": 6, "dan": 4, "<i>eve</i>": 5, "张三": 1}, noise=90)
    (folder / "ada" / "broken.png").write_bytes(b"not a picture")
    return open_pictures(folder)


@pytest.fixture(scope="session")
def evaluation(model: Model, pictures: PictureSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return evaluate(model, pictures, trials=30)


@pytest.fixture
def embeddings() -> tuple[Tensor, Tensor]:
    """40 unit embeddings of 4 identities, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.arange(4).repeat_interleave(10)
    x_ND = torch.randn(4, 8, generator=generator)[labels_N] + torch.randn(40, 8, generator=generator)
    return nn.functional.normalize(x_ND), labels_N
