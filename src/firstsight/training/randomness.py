"""Randomness without a history: every draw depends on the seed and on where in the run it is made."""

import hashlib

import torch


def generator_for(seed: int, *place: int | str) -> torch.Generator:
    """A generator for one place of a run (`"epoch", 3`), the same whatever was drawn before.

    A resumed run then needs no saved generators: it draws again what it would have drawn.
    """
    return torch.Generator().manual_seed(_number(seed, *place))


def reseed(device: torch.device, seed: int, *place: int | str) -> torch.Generator:
    """Set the generators that networks draw from by themselves (dropout) to one place of a run; give the CPU's."""
    number = _number(seed, *place)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    # torch.manual_seed would look for every kind of device, which takes longer than an update of a small network
    return torch.default_generator.manual_seed(number)


def drawn_so_far(device: torch.device) -> list[torch.Tensor]:
    """How far those generators have come, for `draw_again`."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def draw_again(device: torch.device, states: list[torch.Tensor]) -> None:
    """Let networks draw what they drew from there on."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _number(seed: int, *place: int | str) -> int:
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
