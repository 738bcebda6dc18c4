"""Randomness without a history: every draw depends on the seed and on where in the run it is made."""

import hashlib

import torch


def generator_for(seed: int, *place: int | str) -> torch.Generator:
    """A generator for one place of a run (`"epoch", 3`), the same whatever was drawn before.

    A resumed run then needs no saved generators: it draws again what it would have drawn.
    """
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
