"""Update rules and schedules against hand-worked values and torch's own schedulers."""

import math

import pytest
import torch
from torch import nn

from firstsight.config import Optimizer
from firstsight.training.optimizer import WARM_UP, learning_rate_at, make_optimizer


def test_a_constant_rate_stays() -> None:
    assert {learning_rate_at(p, Optimizer(learning_rate=0.3, schedule="constant")) for p in (0, 0.3, 1)} == {0.3}


def test_cosine_agrees_with_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.4)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for update in range(10):
        ours = learning_rate_at(update / 10, Optimizer(learning_rate=0.4, schedule="cosine"))
        assert math.isclose(ours, optimizer.param_groups[0]["lr"], abs_tol=1e-9)
        optimizer.step()
        peer.step()


def test_one_cycle_rises_to_the_peak_and_falls_to_zero() -> None:
    config = Optimizer(learning_rate=0.5, schedule="one-cycle")
    assert math.isclose(learning_rate_at(0, config), 0.5 * 0.04)
    assert math.isclose(learning_rate_at(WARM_UP, config), 0.5)
    assert learning_rate_at(1, config) == 0
    rates = [learning_rate_at(i / 100, config) for i in range(101)]
    peak = round(WARM_UP * 100)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_plain_sgd_is_equation_2_3() -> None:
    network = nn.Linear(3, 2)
    optimizer = make_optimizer(network, Optimizer(name="sgd", learning_rate=0.1, weight_decay=0.0))
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.ones(4, 3)).square().sum().backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    optimizer.step()
    for old, gradient, new in zip(before, gradients, network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old - 0.1 * gradient)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "adamw"])
def test_biases_and_scales_are_not_decayed(name: str) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = make_optimizer(network, Optimizer(name=name, weight_decay=0.5))  # type: ignore[arg-type]
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in network.parameters()] == [0.5, 0.0, 0.0, 0.0]


def test_momentum_of_nothing_is_plain_sgd() -> None:
    ends = []
    for config in (Optimizer(name="momentum", momentum=0.0), Optimizer(name="sgd")):
        torch.manual_seed(0)
        layer = nn.Linear(3, 1)
        optimizer = make_optimizer(layer, config)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        ends.append(layer.weight.detach())
    assert torch.equal(*ends)


def test_frozen_weights_are_left_out() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    network[0].requires_grad_(False)
    optimizer = make_optimizer(network, Optimizer())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2
