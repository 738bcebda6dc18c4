"""The loop: it descends, repeats itself bit for bit, reports each update, and stops before a broken one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_runs import parts
from torch import Tensor, nn

from firstsight.config import Batch, Network, Optimizer, Preprocessing, Recipe, Training
from firstsight.errors import RecipeError, TrainingError, UserError
from firstsight.model_config import ModelConfig
from firstsight.models.device import pick_device
from firstsight.models.registry import CUSTOM, build_network, own_network
from firstsight.recipes import with_flags
from firstsight.training.feed import Feed, oriented, picture_feed
from firstsight.training.loop import Update, fit, with_precision
from firstsight.training.loss import LossResult, make_loss
from firstsight.training.randomness import generator_for
from firstsight.training.step import run_network, train_step

CPU = torch.device("cpu")
RECIPE = Recipe(
    preprocessing=Preprocessing(height=8, width=8, color="gray"),
    network=Network(channels=(4, 8), embedding_size=8),
    batch=Batch(identities=4, pictures=3),
    optimizer=Optimizer(learning_rate=0.05),
    training=Training(epochs=2),
)


def pictures(identities: int = 6, each: int = 5) -> tuple[Tensor, Tensor]:
    """Identities that can be told apart: a pattern each, with noise."""
    generator = generator_for(0, "pictures")
    patterns = torch.randint(0, 200, (identities, 1, 8, 8), generator=generator)
    labels_N = torch.arange(identities).repeat_interleave(each)
    noise = torch.randint(0, 50, (len(labels_N), 1, 8, 8), generator=generator)
    return (patterns[labels_N] + noise).to(torch.uint8), labels_N


def run(recipe: Recipe, **options: Any) -> tuple[nn.Module, list[Update]]:
    config = ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)
    network = build_network(config, seed=recipe.training.seed)
    updates: list[Update] = []
    feed = picture_feed(*pictures(), recipe)
    fit(network, make_loss(recipe), feed, recipe, device=CPU, on_update=updates.append, **options)
    return network, updates


def test_the_loss_falls_and_identities_part() -> None:
    _, updates = run(replace(RECIPE, training=Training(epochs=40, augment=0.0)))
    first, last = updates[0].figures, updates[-1].figures
    assert last["active"] < first["active"]
    assert last["mean_same"] + RECIPE.loss.margin < last["mean_different"]


def test_updates_are_numbered_and_progress_ends_at_one() -> None:
    _, updates = run(RECIPE)
    assert [update.number for update in updates] == list(range(1, len(updates) + 1))
    assert updates[-1].progress == 1.0
    assert sorted({update.epoch for update in updates}) == [1, 2]


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(1)
    first, _ = run(RECIPE)
    torch.manual_seed(2)
    second, _ = run(RECIPE)
    other, _ = run(replace(RECIPE, training=replace(RECIPE.training, seed=1)))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
    assert any(not torch.equal(w, other.state_dict()[name]) for name, w in first.state_dict().items())


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    network = nn.Linear(2, 1)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}

    def broken(output: Tensor, target: Tensor) -> LossResult:
        return LossResult((output - target).sum() * torch.nan, {})

    feed = Feed(lambda epoch: [torch.arange(5)], lambda indices, generator: (torch.ones(5, 2), torch.ones(5, 1)))
    with pytest.raises(TrainingError, match=r"Update 1 \(epoch 1\): The loss is nan on a batch of 5 .* rate 0\.00"):
        fit(network, broken, feed, RECIPE, device=CPU)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name])


def test_draws_depend_on_seed_and_place_alone() -> None:
    def draw(*place: int | str) -> list[int]:
        return torch.randint(0, 1 << 30, (3,), generator=generator_for(*place)).tolist()  # type: ignore[arg-type]

    assert draw(0, "update", 3) == draw(0, "update", 3)
    assert len({tuple(draw(*place)) for place in [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a")]}) == 5


def test_orientations_are_those_of_the_square() -> None:
    """Oracle: the eight orientations of a picture without symmetry are the eight images under rot90 and mirror."""
    picture_1HW = torch.arange(9.0).view(1, 3, 3)
    x_BCHW = oriented(picture_1HW.expand(8, 1, 3, 3).clone(), torch.arange(8))
    expected = [picture_1HW.rot90(k, (1, 2)) for k in range(4)]
    expected += [picture_1HW.flip(2).rot90(k, (1, 2)) for k in range(4)]
    assert torch.equal(x_BCHW, torch.stack(expected))
    assert len(x_BCHW.flatten(1).unique(dim=0)) == 8


def test_each_orientation_is_an_identity_of_its_own() -> None:
    recipe = replace(RECIPE, data=replace(RECIPE.data, orientations=4), training=Training(augment=0.0))
    pixels_NCHW, labels_N = pictures()
    feed = picture_feed(pixels_NCHW, labels_N, recipe)
    drawn = torch.cat(list(feed.plan(1)))
    assert set(drawn.tolist()) == set(range(4 * len(labels_N))), "an epoch shows each picture in each orientation"
    turned = torch.tensor([len(labels_N) + 2])  # picture 2, turned once
    input, target = feed.fetch(turned, generator_for(0))
    assert target.item() == labels_N[2] + 6
    plain, _ = feed.fetch(torch.tensor([2]), generator_for(0))
    assert torch.equal(input, plain.rot90(1, (2, 3)))


@pytest.mark.parametrize(("composed", "in_epoch"), [(2, 2), (14, 6)])
def test_composed_identities_come_in_turn_at_most_as_many_as_others(composed: int, in_epoch: int) -> None:
    pixels_NCHW, labels_N = pictures()
    drawn, count = 6, len(labels_N) + 4 * composed
    assert labels_N.unique().tolist() == list(range(drawn))
    labels_N = torch.cat([labels_N, drawn + torch.arange(composed).repeat_interleave(4)])
    pixels_NCHW = torch.cat([pixels_NCHW, pixels_NCHW[:1].expand(4 * composed, -1, -1, -1)])
    recipe = replace(RECIPE, data=replace(RECIPE.data, orientations=4))
    feed = picture_feed(pixels_NCHW, labels_N, recipe, composed=composed)
    seen = []
    for epoch in range(1, 4):
        examples = torch.cat(feed.plan(epoch))
        shown = labels_N[examples % count]
        assert len(set(zip(shown.tolist(), (examples // count).tolist(), strict=True))) == 4 * (drawn + in_epoch)
        assert set(range(drawn)) <= set(shown.tolist())
        seen.append(set(shown.tolist()) - set(range(drawn)))
    assert set.union(*seen) == set(range(drawn, drawn + composed))
    assert composed == in_epoch or not seen[0] & seen[1]


def test_pictures_that_are_not_square_have_no_orientations() -> None:
    recipe = replace(RECIPE, data=replace(RECIPE.data, orientations=8), preprocessing=Preprocessing(height=8, width=9))
    with pytest.raises(RecipeError, match="Only square pictures have orientations. Set --height and --width alike"):
        picture_feed(torch.zeros(2, 1, 8, 9, dtype=torch.uint8), torch.tensor([0, 1]), recipe)


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match=rf"There is no device {name} here: .* Try --device auto"):
        pick_device(name)


def test_bf16_is_for_the_products_alone() -> None:
    """Weights, embeddings and loss stay in fp32, and the gradient is that of fp32 to the digits that bf16 has."""
    outputs, gradients = [], []
    for precision in ("fp32", "bf16"):
        network, loss, feed, _ = parts(channels=(8, 16))
        indices_B = feed.plan(1)[0]
        x_BCHW, labels_B = feed.fetch(indices_B, generator_for(0))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        inside = []
        network[0][0].register_forward_hook(lambda layer, given, output, inside=inside: inside.append(output.dtype))
        outputs.append(run_network(network, x_BCHW, precision=precision))
        train_step(network, loss, optimizer, x_BCHW, labels_B, precision=precision)
        assert inside == [torch.float32 if precision == "fp32" else torch.bfloat16] * 2
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}
        gradients.append(torch.cat([weight.grad.flatten() for weight in network.parameters()]))
    assert outputs[1].dtype == torch.float32
    torch.testing.assert_close(outputs[1].square().sum(1), torch.ones(len(outputs[1])))
    apart = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 1e-4 < apart < 0.05


def test_networks_of_ones_own_give_unit_length_in_bf16_and_take_fp32_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("firstsight.models.device.fast_bfloat16", lambda device: True)
    recipe = with_flags(Recipe(), network=CUSTOM)
    network = own_network(nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten()), ModelConfig())
    assert with_precision(recipe, network, CPU).training.precision == "fp32"
    assert with_precision(Recipe(), network, CPU).training.precision == "bf16"
    x_BD = run_network(network, torch.randn(5, 1, 8, 8), precision="bf16")
    torch.testing.assert_close(x_BD.square().sum(1), torch.ones(5), rtol=0, atol=1e-6)
