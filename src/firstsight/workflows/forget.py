"""The `forget` verb: what is erased, and what a name has left outside its gallery.

The user's data folder keeps a record of each model that was trained there: which run, which model, and digests of the
names it learned from. Names themselves are not written: `forget` would have to erase them again.
"""

import contextlib
import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from firstsight.atomic import write_atomically
from firstsight.data.identities import group_of
from firstsight.errors import ModelError, TracesLeft
from firstsight.models.folder import find_model, read_config
from firstsight.places import cache_folder, data_folder
from firstsight.recognition.gallery import Gallery

_DIGITS = 16  # of a digest: enough to tell names apart, and half a megabyte for 30,000 of them


def forget(gallery: Gallery, name: str) -> dict[str, Any]:
    """Erase a name, and give the receipt as plain values: that of the gallery, with `models`, those known to be trained
    on an identity of this very name, and `not_covered`, where nothing was looked for.

    Raises:
        NotEnrolled: nobody has this name.
        StorageError: the gallery cannot be written: nothing is erased.
    """
    try:
        receipt = gallery.forget(name)
    except TracesLeft as left:
        receipt = left.receipt
    return {
        **asdict(receipt),
        "copies": [copy._asdict() for copy in receipt.copies],
        "models": models_trained_on(receipt.name),
        "not_covered": [
            "pictures in folders that models are trained on",
            f"decoded pictures of such folders in {cache_folder()}, which may be deleted",
            "copies made by other programs, and what the disk itself keeps of overwritten files",
        ],
    }


def note_training(run: Path, *, model_identity: str, data: str, names: Iterable[str], start: str = "") -> None:
    """Remember which names a model was trained on, with those of the model that it began with, whose identity is
    `start`. An OSError says that the data folder cannot be written."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    before: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError):  # trained elsewhere, or damaged
        before = json.loads(_record(start).read_bytes())["names"] if start else []
    record = {
        "run": str(run.resolve()),
        "model_identity": model_identity,
        "data": data,
        "names": sorted({*before, *(_digest(of) for name in names for of in (name, _without_group(name)))}),
    }
    write_atomically(_record(model_identity), json.dumps(record).encode())


def models_trained_on(name: str) -> list[dict[str, Any]]:
    """The models trained by this user on an identity NAME or GROUP/NAME; `found` says whether it is still there."""
    trained = []
    for path in sorted(_folder().glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            known = _digest(name) in record.pop("names")
            trained += [{**record, "found": _is_there(record)}] if known else []
        except (OSError, ValueError, KeyError):  # gone just now, or damaged
            continue
    return trained


def _is_there(record: dict[str, Any]) -> bool:
    try:
        identity = read_config(find_model(record["run"])).identity
    except ModelError:
        return False
    return identity == str(record["model_identity"])


def _folder() -> Path:
    return data_folder() / "trained"


def _record(model_identity: str) -> Path:
    return _folder() / f"{model_identity[:16]}.json"


def _without_group(name: str) -> str:
    return name.removeprefix(f"{group_of(name)}/")


def _digest(name: str) -> str:
    composed = unicodedata.normalize("NFC", name.strip())
    return hashlib.sha256(composed.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
