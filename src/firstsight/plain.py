"""Plain data, as JSON has it."""

import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Plain JSON data, with null for what is not finite: JSON knows no NaN.

    Example:
        >>> finite({"gain": float("nan"), "seeds": (1, 2)})
        {'gain': None, 'seeds': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
