"""A set of pictures as a model sees it. N pictures, K of them readable, D embedding, F pixels of a picture."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from firstsight.data.cache import Packed, Skipped, packed_pictures
from firstsight.data.identities import PictureSet
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.progress import OnProgress, counter, silent
from firstsight.models.folder import Model, require_embedding
from firstsight.recognition.embed import embed_pictures

CONFIDENCE = 0.95
"""Of every interval."""
AT_ONCE = 1024
"""Pictures embedded between two words on the progress."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedded:
    """Pictures, and their embeddings by a model.

    Rows of NaN are pictures that could not be read, or whose embedding has no direction (all zero, or not finite).
    """

    model: Model
    pictures: PictureSet
    packed: Packed
    embeddings: Float[Tensor, "N D"]

    @property
    def labels(self) -> Int64[Tensor, "N"]:
        return torch.tensor(self.pictures.labels)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The pictures without an embedding, and why: first those that could not be read."""
        unread = {path for path, _ in self.packed.skipped}
        known = self.embeddings.isfinite().all(1).tolist()
        without = [path for path, is_known in zip(self.pictures.paths, known, strict=True) if not is_known]
        blank = (Skipped(path, "its embedding has no direction") for path in without if path not in unread)
        return *self.packed.skipped, *blank

    def readable(self, index: int) -> bool:
        """Whether a picture could be embedded."""
        return bool(self.embeddings[index].isfinite().all())

    def as_pixels(self) -> Float[Tensor, "N F"]:
        """What the network was shown, as 0 ... 255; rows of NaN for pictures that could not be read."""
        return _spread(self.packed.pixels_NCHW.flatten(1).float(), _readable(self.packed, self.pictures))

    def about(self, protocol: str) -> dict[str, Any]:
        """What the figures are of."""
        return {
            "protocol": protocol,
            "model": self.model.name,
            "model_identity": self.model.identity,
            "data": self.pictures.source,
        }

    def counts(self) -> dict[str, Any]:
        """What they rest on."""
        return {
            "identities": len(self.pictures.names),
            "pictures": len(self.pictures),
            "skipped": len(self.skipped),
            "skipped_pictures": [f"{path}: {reason}" for path, reason in self.skipped],
        }


def embed(model: Model, pictures: PictureSet, *, on_progress: OnProgress = silent) -> Embedded:
    """Decode all pictures of a set, and embed those that can be read.

    Raises:
        DataError: no picture can be read.
    """
    require_embedding(model)
    packed = packed_pictures(
        pictures,
        model.config.preprocessing,
        on_progress=lambda done, total: on_progress("Reading pictures", done, total),
    )
    embedded = counter(on_progress, "Embedding", len(packed.kept))
    parts = []
    for pixels_BCHW in torch.split(packed.pixels_NCHW, AT_ONCE):
        parts.append(embed_pictures(model, list(pixels_BCHW)))
        embedded(len(pixels_BCHW))
    x_KD = torch.cat(parts)
    x_KD[~(x_KD.isfinite().all(1) & x_KD.any(1))] = torch.nan
    x_ND = _spread(x_KD, _readable(packed, pictures))
    return Embedded(model=model, pictures=pictures, packed=packed, embeddings=x_ND)


def with_interval(name: str, value: float, interval: Interval) -> dict[str, float | str]:
    """A figure under the key `name`, its interval under `name_low` and `name_high`, and how that was made."""
    return {name: value, f"{name}_low": interval.low, f"{name}_high": interval.high, f"{name}_by": interval.method}


def far_name(far: float) -> str:
    """How keys call a rate.

    Example:
        >>> far_name(0.001)
        '1e-3'
    """
    return f"{far:.0e}".replace("e-0", "e-")


def _readable(packed: Packed, pictures: PictureSet) -> Bool[Tensor, "N"]:
    skipped = {path for path, _ in packed.skipped}
    return torch.tensor([path not in skipped for path in pictures.paths])


def _spread(x_KF: Float[Tensor, "K F"], readable_N: Bool[Tensor, "N"]) -> Float[Tensor, "N F"]:
    x_NF = x_KF.new_full((len(readable_N), x_KF.shape[1]), torch.nan)
    x_NF[readable_N] = x_KF
    return x_NF
