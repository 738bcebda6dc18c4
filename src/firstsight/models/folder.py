"""The model folder: config.json + model.safetensors, the layout of the Hugging Face hub. No pickle anywhere."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from firstsight.atomic import FRESH, fresh_folder, keep_closed, to_disk, write_atomically
from firstsight.errors import ModelError, RecipeError, StorageError
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.models.conv import channels_last
from firstsight.models.registry import CUSTOM, build_network, own_network
from firstsight.models.sface import published_weights
from firstsight.recipes import checked, to_plain

DEFAULT_MODEL = "glyphs"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED = Path(__file__).parent / "shipped"
"""The models that come with the package, each in a model folder by its name."""
FACES = SHIPPED / "faces"
"""Comes without its weights: they are made, once, of those in another package."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to use.

    `network` is in evaluation mode and maps preprocessed pictures, float32 B x C x H x W, to unit embeddings
    B x D. `identity` (SHA-256, hex) is carried by every template it makes. `name` is how the user called it.
    """

    network: nn.Module
    config: ModelConfig
    name: str
    folder: Path | None = None

    @property
    def identity(self) -> str:
        return self.config.identity

    @property
    def address(self) -> str:
        """What `load_model` finds it by, wherever it is called from."""
        return self.name if self.folder is None or not self.folder.exists() else _address(self.folder)

    @property
    def device(self) -> torch.device:
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))


def make_model(network: nn.Module, config: ModelConfig, *, name: str) -> Model:
    """Bind a network to its config, with the identity that its weights and preprocessing give it."""
    return _bind(network, config, _weights_bytes(network), name=name)


def save_model(model: Model, folder: str | Path, *, half: bool = False) -> Model:
    """Write the model folder, whole or not at all; an older one at the same place is replaced.

    `half` writes matrices and kernels in half precision; the model that is given back still has all digits.

    Raises:
        StorageError: the folder cannot be written (read-only, disk full).
    """
    weights = _weights_bytes(model.network, half=half)
    model = _bind(model.network, model.config, weights, name=model.name)
    return _write_folder(model, Path(folder), weights)


def copy_model(model: Model, folder: str | Path) -> Model:
    """Write a model that was loaded into another folder, with the very bytes of its weights: its identity stays.

    Raises:
        StorageError: the folder cannot be written.
    """
    assert model.folder is not None, "it was loaded from there"
    return _write_folder(model, Path(folder), _stored_weights(model.folder, model.config))


def _write_folder(model: Model, folder: Path, weights: bytes) -> Model:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with fresh_folder(folder) as fresh:
            for name, content in ((WEIGHTS, weights), (CONFIG, _as_json(model.config))):
                (fresh / name).write_bytes(content)
                keep_closed(folder / name, fresh / name)
                to_disk(fresh / name)
            keep_closed(folder, fresh)
            _swap_in(fresh, folder)
    except OSError as error:
        raise StorageError(
            f"The model folder {folder} cannot be written: {error.strerror}.", hint="Free space or name another --out."
        ) from error
    return dataclasses.replace(model, folder=folder)


def load_model(name_or_folder: str | Path, *, network: nn.Module | None = None, device: str = "cpu") -> Model:
    """Load a model that is shipped, by its name; or a model folder, or the `model/` of a run folder.

    `network` is needed for a model that was trained from a module of your own: an instance of it, whose weights
    are replaced by those of the folder.

    Raises:
        ModelError: nothing there, a file missing, or a file altered since it was written.
    """
    folder = find_model(name_or_folder)
    config = read_config(folder)
    weights = _stored_weights(folder, config)
    if hashlib.sha256(weights).hexdigest() != config.weights_sha256:
        raise _altered(folder / WEIGHTS)
    if config.identity != _identity(config):
        raise _altered(folder / CONFIG)
    if config.network.name == CUSTOM and network is None:
        raise ModelError(
            f"The model {folder} was trained from a network of your own.", hint="load_model(folder, network=Mine())."
        )
    network = build_network(config) if network is None else own_network(network, config)
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"The weights in {folder} do not fit the network {config.network.name}: {reason}",
            hint="Name the folder whose config.json belongs to these weights.",
        ) from error
    return Model(channels_last(network.to(device)).eval(), config, name=str(name_or_folder), folder=folder)


def require_embedding(model: Model) -> None:
    """Refuse a model that predicts classes or numbers where likeness is asked for.

    Raises:
        ModelError: it is one.
    """
    if model.config.task != "embedding":
        raise ModelError(
            f"The model {model.name} was trained for {model.config.task}, and makes no embeddings.",
            hint="Use: firstsight predict --data DATA, or train one with --task embedding",
        )


def set_operating_point(model: Model, point: OperatingPoint) -> Model:
    """The same model with a default operating point. Its identity stays: templates remain comparable."""
    return dataclasses.replace(model, config=dataclasses.replace(model.config, operating_point=point))


def set_align(model: Model, align: Literal["auto", "none", "faces"] | None) -> Model:
    """The same model for pictures that are aligned already ("none"), or not; None leaves it as it was made.

    Its identity stays: what it makes of a face remains comparable.
    """
    if align is None:
        return model
    preprocessing = dataclasses.replace(model.config.preprocessing, align=align)
    return dataclasses.replace(model, config=dataclasses.replace(model.config, preprocessing=preprocessing))


def for_crops(model: Model) -> Model:
    """The same model for pictures that are its network's input already: nothing in them is looked for or drawn anew."""
    crops = dataclasses.replace(model.config.preprocessing, align="none", fit="stretch")
    return dataclasses.replace(model, config=dataclasses.replace(model.config, preprocessing=crops))


def keep_operating_point(model: Model, point: OperatingPoint) -> Model:
    """Write a default operating point into the config.json of a model folder, whole or not at all.

    Raises:
        StorageError: the model has no folder, or it cannot be written.
    """
    model = set_operating_point(model, point)
    hint = "Keep it in a gallery instead: --gallery FILE"
    if model.folder is None:
        raise StorageError(f"The model {model.name} was not saved, so it cannot keep a threshold.", hint=hint)
    try:
        write_atomically(model.folder / CONFIG, _as_json(model.config))
    except OSError as error:
        raise StorageError(
            f"The model folder {model.folder} cannot be written: {error.strerror}.", hint=hint
        ) from error
    return model


def _as_json(config: ModelConfig) -> bytes:
    return json.dumps(to_plain(config), indent=2, ensure_ascii=False).encode()


def _bind(network: nn.Module, config: ModelConfig, weights: bytes, *, name: str) -> Model:
    config = dataclasses.replace(config, weights_sha256=hashlib.sha256(weights).hexdigest())
    config = dataclasses.replace(config, identity=_identity(config))
    return Model(channels_last(network).eval(), config, name=name)


def _stored_weights(folder: Path, config: ModelConfig) -> bytes:
    if folder == FACES:
        return published_weights(lambda: build_network(config), config.weights_sha256)
    return _read(folder / WEIGHTS)


def _identity(config: ModelConfig) -> str:
    plain = to_plain(config)
    if config.preprocessing.align != "faces":  # as before the key was there: models keep their identity
        del plain["preprocessing"]["align"]
    keys = {key: plain[key] for key in ("task", "network", "preprocessing", "columns", "outputs")}
    text = config.weights_sha256 + json.dumps(keys, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def own_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, none of which shares its memory with another: safetensors takes no others."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _weights_bytes(network: nn.Module, *, half: bool = False) -> bytes:
    """As safetensors. With `half`, all but vectors in fp16: statistics of a normalization may be beyond its range."""
    tensors = own_memory(network.state_dict())
    if half:
        tensors = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    weights: bytes = save(tensors)
    return weights


def address(name_or_folder: str | Path) -> str:
    """What finds a model from anywhere: the name of one that ships, else its folder's path.

    Raises:
        ModelError: there is none.
    """
    return _address(find_model(name_or_folder))


def _address(folder: Path) -> str:
    return folder.name if folder.parent == SHIPPED else str(folder.resolve())


def shipped_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(config.parent.name for config in SHIPPED.glob(f"*/{CONFIG}"))


def find_model(name_or_folder: str | Path) -> Path:
    """The model folder that a user means: that of a shipped model by its name, itself, or the `model/` of a run folder.

    Raises:
        ModelError: there is none.
    """
    if name_or_folder in shipped_models():
        return SHIPPED / name_or_folder
    folder = Path(name_or_folder)
    for candidate in (folder, folder / "model"):
        if (candidate / CONFIG).is_file() or (candidate / WEIGHTS).is_file():
            return candidate
    names = ", ".join(shipped_models())
    hint = f"Give a name ({names}), or train one: firstsight train --data PICTURES --out runs/mine"
    if not folder.exists():
        raise ModelError(f"There is no model {name_or_folder}.", hint=hint)
    raise ModelError(f"{folder} is not a model folder: it has no {CONFIG}.", hint=hint)


def read_config(folder: Path) -> ModelConfig:
    """The config.json of a model folder.

    Raises:
        ModelError: missing, damaged, or from a newer firstsight.
    """
    path = folder / CONFIG
    try:
        tables: Any = json.loads(_read(path))
        version = tables["format"]
        if version != ModelConfig().format:
            raise ModelError(f"{path} has format {version}, which this firstsight does not know.", hint="Upgrade it.")
        config: ModelConfig = checked(ModelConfig, tables, where=str(path))
    except (ValueError, TypeError, KeyError, RecipeError) as error:
        raise ModelError(
            f"{path} is damaged: {error}", hint="Copy the model folder anew, or train it again."
        ) from error
    return config


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The model folder lacks {path}: {error.strerror}.", hint="Copy it anew, or train it again."
        ) from error


def _swap_in(fresh: Path, folder: Path) -> None:
    """Put `fresh` where `folder` is. A folder cannot replace another in one step: the old one steps aside first, and
    comes back if the new one cannot take its place."""
    if not folder.exists():
        os.rename(fresh, folder)
        return
    if any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise ModelError(f"{folder} holds something else than a model.", hint="Name another place for the model.")
    aside = folder.with_name(f".{folder.name}-old{FRESH}")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(folder, aside)
    try:
        os.rename(fresh, folder)
    except BaseException:
        os.rename(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _altered(path: Path) -> ModelError:
    return ModelError(f"{path} was altered after it was written.", hint="Copy the model folder anew.")
