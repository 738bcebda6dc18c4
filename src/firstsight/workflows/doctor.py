"""Check that this machine can do the work: each check says what it found, and how to mend it."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ENOUGH_DISK = 1 << 30


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report; `mend` is empty where all is well."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def examine() -> Iterator[Check]:
    """Run the checks one after the other. A check that fails does not stop the others."""
    for name, look, mend in CHECKS:
        try:
            yield Check(name, True, look())
        except Exception as error:
            yield Check(name, False, str(error) or type(error).__name__, mend)


def _versions() -> str:
    parts = ("firstsight", "torch", "numpy", "pillow", "sqlalchemy")
    return f"Python {platform.python_version()}, " + ", ".join(f"{part} {version(part)}" for part in parts)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} ({torch.version.cuda})"
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _bfloat16() -> str:
    import torch

    from firstsight.models.device import fast_bfloat16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "supported by this hardware" if fast_bfloat16(device) else "not supported by this hardware"


def _disk() -> str:
    from firstsight.places import data_folder

    place = data_folder()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise OSError(f"{place} cannot be written")
    free = shutil.disk_usage(place).free
    if free < ENOUGH_DISK:
        raise OSError(f"{free / 2**30:.1f} GiB free at {place}")
    return f"{free / 2**30:.0f} GiB free at {place}"


def _database() -> str:
    import sqlite3
    import tempfile

    from firstsight.recognition.gallery import Gallery

    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "doctor.sqlite"):
        return f"SQLite {sqlite3.sqlite_version}, a gallery can be made"


def _end_to_end() -> str:
    import tempfile

    import torch
    from PIL import Image

    from firstsight.config import Preprocessing
    from firstsight.model_config import ModelConfig
    from firstsight.models.folder import load_model, make_model, save_model
    from firstsight.models.registry import build_network
    from firstsight.recognition.embed import embed_pictures

    config = ModelConfig(preprocessing=Preprocessing(height=32, width=32, color="rgb"))
    with tempfile.TemporaryDirectory() as folder:
        save_model(make_model(build_network(config), config, name="doctor"), folder + "/m")
        x_BD = embed_pictures(load_model(folder + "/m"), [Image.new("RGB", (40, 30), "teal")])
    if abs(torch.linalg.vector_norm(x_BD).item() - 1) > 1e-4:
        raise RuntimeError("the embedding is not of unit length")
    return f"a picture became {x_BD.shape[1]} numbers of unit length"


CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("versions", _versions, "Install anew: pip install firstsight"),
    ("device", _device, "Install torch anew, see README.md"),
    ("fast bfloat16", _bfloat16, "Install torch anew, see README.md"),
    ("disk", _disk, "Free some space, or set FIRSTSIGHT_HOME to a folder on another disk"),
    ("database", _database, "Install anew: pip install sqlalchemy alembic"),
    ("embedding", _end_to_end, "Install torch and pillow anew, see README.md"),
)
