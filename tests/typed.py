"""What comes back from a command that a test types."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Type = Callable[..., Answer]
