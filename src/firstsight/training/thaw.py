"""Fine-tuning: what a model has learned is kept while its last layer finds its place; then all of it learns, slowly."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from firstsight.config import Recipe


def is_frozen(recipe: Recipe, epoch: int) -> bool:
    """Whether the last layer alone learns in this epoch (from 1)."""
    return bool(recipe.start.model) and epoch <= recipe.start.frozen_epochs


def rate_share(recipe: Recipe, epoch: int) -> float:
    """The share of the learning rate that holds in this epoch (from 1)."""
    return recipe.start.thawed_rate if recipe.start.model and not is_frozen(recipe, epoch) else 1.0


def let_learn(network: nn.Module, weights: list[nn.Parameter], *, last_alone: bool = False) -> None:
    """Let `weights` learn, all of them, or those of the network's last layer alone."""
    last = {id(weight) for weight in _last_layer(network).parameters()}
    for weight in weights:
        weight.requires_grad_(not last_alone or id(weight) in last)


def learning_mode(network: nn.Module, recipe: Recipe) -> None:
    """Bring the network into training mode.

    In fine-tuning, batch normalization goes on with the statistics that the model came with: those of a few small
    batches of few identities would be worse, and another network.
    """
    network.train()
    if recipe.start.model:
        for layer in network.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()


def _last_layer(network: nn.Module) -> nn.Module:
    return [layer for layer in network.modules() if next(layer.parameters(recurse=False), None) is not None][-1]
