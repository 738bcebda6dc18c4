"""FaceNet's networks: their parameters and multiply-adds against Table 2 and section 3.3 of the paper."""

import pytest
import torch
from torch import Tensor, nn

from firstsight.config import Network, Preprocessing, Recipe
from firstsight.errors import RecipeError
from firstsight.model_config import ModelConfig
from firstsight.models.facenet import DESIGNS, Inception, L2Pool, Row
from firstsight.models.registry import build_network, with_own_size
from firstsight.recipes import with_flags

TABLE_2 = {  # name: parameters in thousands, FLOPS in millions
    "conv1": (9, 119), "inception2": (115, 360), "inception3a": (164, 128), "inception3b": (228, 179),
    "inception3c": (398, 108), "inception4a": (545, 107), "inception4b": (595, 117), "inception4c": (654, 128),
    "inception4d": (722, 142), "inception4e": (717, 56), "inception5a": (1600, 78), "inception5b": (1600, 78),
    "head": (131, 0.1),
}  # fmt: skip


def counted(name: str, *, norm: str = "batch") -> dict[str, tuple[int, int]]:
    """Parameters and multiply-adds of one example, by the parts of the network, as the paper counts them.

    Convolutions and fully connected layers count, with a bias for each output, which here is that of the
    normalization; pooling and normalization do not.
    """
    config = ModelConfig(
        network=Network(name=name, norm=norm),
        preprocessing=with_own_size(Preprocessing(color="rgb"), Network(name=name)),
    )
    trunk, head = build_network(config).eval()
    parts = {**dict(trunk.named_children()), "head": head}
    found = dict.fromkeys(parts, (0, 0))

    def count(part: str, layer: nn.Conv2d | nn.Linear, output: Tensor) -> None:
        parameters = layer.weight.numel() + output.shape[1]
        before = found[part]
        found[part] = before[0] + parameters, before[1] + parameters * output[0, 0].numel()

    for part, module in parts.items():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda layer, _, output, part=part: count(part, layer, output))
    with torch.inference_mode():
        x_BD = head(trunk(torch.randn(1, *config.input_shape)))
    assert x_BD.shape == (1, 128)
    torch.testing.assert_close(x_BD.norm(dim=1), torch.ones(1))
    return {part: pair for part, pair in found.items() if pair != (0, 0)}


def total(name: str) -> tuple[int, int]:
    parameters, products = zip(*counted(name).values(), strict=True)
    return sum(parameters), sum(products)


def test_nn2_is_table_2_row_by_row() -> None:
    found = counted("nn2")
    assert list(found) == list(TABLE_2)
    for part, (thousands, millions) in TABLE_2.items():
        parameters, products = found[part]
        tolerance = 50 if thousands >= 1000 else 1  # as many digits as the paper prints; it rounds some, and cuts some
        assert parameters / 1e3 == pytest.approx(thousands, abs=tolerance), part
        assert products / 1e6 == pytest.approx(millions, abs=1 if millions > 1 else 0.05), part


@pytest.mark.parametrize(
    ("name", "parameters", "products", "size"),
    [
        ("nn2", 7.5e6, 1.6e9, (224, 224)),
        ("nn4", 6.6e6, 285e6, (96, 96)),  # 6.6M is the smaller end of "around 6.6M-7.5M"
    ],
)
def test_published_totals(name: str, parameters: float, products: float, size: tuple[int, int]) -> None:
    found = total(name)
    assert found == (pytest.approx(parameters, rel=0.01), pytest.approx(products, rel=0.005))
    assert DESIGNS[name].size == size


def test_nn3_is_nn2_at_160_pixels() -> None:
    parameters, products = total("nn3")
    assert parameters == total("nn2")[0]
    assert products == pytest.approx(1.6e9 * (160 / 224) ** 2, rel=0.01)


def test_nns2_is_a_reading_that_fits_the_published_counts() -> None:
    assert total("nns2") == (pytest.approx(4.3e6, rel=0.15), pytest.approx(20e6, rel=0.15))
    assert DESIGNS["nns2"].size == (140, 116)


def test_l2_pooling_is_the_norm_of_each_neighborhood_and_can_be_learned_through() -> None:
    x_BCHW = torch.randn(2, 3, 5, 6, dtype=torch.float64).relu()
    padded = nn.functional.pad(x_BCHW, (1, 1, 1, 1))
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
    torch.testing.assert_close(L2Pool()(x_BCHW), windows.square().sum((-1, -2)).sqrt(), atol=1e-3, rtol=1e-5)
    zeros = torch.zeros(1, 1, 4, 4, requires_grad=True)
    L2Pool()(zeros).sum().backward()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


def test_an_inception_row_puts_the_branches_together() -> None:
    x_BCHW = torch.randn(2, 6, 9, 7)
    block = Inception(6, Row(0, (4, 8), (2, 4), "max", 0, stride=2), "batch")
    output = block(x_BCHW)
    assert output.shape == (2, block.channels, 5, 4) == (2, 8 + 4 + 6, 5, 4)
    torch.testing.assert_close(output[:, 12:], nn.functional.max_pool2d(x_BCHW, 3, 2, padding=1), msg="passed on")


@pytest.mark.parametrize("name", ["nn2", "nn4", "nns2"])
def test_every_pixel_counts_also_of_another_size_and_gray(name: str) -> None:
    config = ModelConfig(
        network=Network(name=name, norm="group"), preprocessing=Preprocessing(height=41, width=34, color="gray")
    )
    x_BCHW = torch.randn(2, 1, 41, 34, requires_grad=True)
    build_network(config)(x_BCHW)[:, 0].sum().backward()
    assert x_BCHW.grad is not None
    assert (x_BCHW.grad != 0).all()


def test_sizes_are_the_networks_own_where_none_are_given() -> None:
    own = with_own_size(Preprocessing(), Network(name="nns2"))
    assert (own.height, own.width) == (140, 116)
    own = with_own_size(Preprocessing(width=50), Network())
    assert (own.height, own.width) == (64, 50)
    with pytest.raises(RecipeError, match=r"^--width 7 is too small. Give 8 or more, or leave it out.$"):
        with_own_size(Preprocessing(width=7), Network())


def test_settings_of_other_networks_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"^--channels has no effect with --network nn2."):
        with_flags(Recipe(), network="nn2", channels=(8, 16))
    with pytest.raises(RecipeError, match=r"^--hidden has no effect with --network nns2."):
        with_flags(Recipe(), network="nns2", hidden=(8,))
    assert with_flags(Recipe(), network="nn4", norm="group").network.norm == "group"
