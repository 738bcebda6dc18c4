"""From photos to groups of the same face, or thing: the `cluster` verb. N faces, D embedding, C clusters."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from PIL import Image
from torch import Tensor

from firstsight.atomic import in_utf8, write_atomically
from firstsight.data.align import usable_faces, warp
from firstsight.data.cache import Skipped
from firstsight.data.identities import find_pictures, open_pictures
from firstsight.data.pictures import read_picture
from firstsight.data.spreadsheet import csv_lines
from firstsight.errors import Box, DataError, PictureError, StorageError, UserError
from firstsight.evaluation.clusters import Agreement, agreement, cluster, cluster_threshold, refuse_many
from firstsight.evaluation.embedded import embed
from firstsight.models.folder import Model, require_embedding
from firstsight.recognition.decision import never_measured, refuse_threshold
from firstsight.recognition.embed import crop, embed_pictures
from firstsight.workflows.progress import OnProgress, silent, stages

LISTING = "clusters.csv"
_BATCH = 64
_TILE, _ACROSS, _SHOWN = 80, 12, 240  # pixels of a face on a contact sheet, faces in a row, and on a sheet


@dataclass(frozen=True)
class Item:
    """A face, or a whole picture where the model looks for none: then `box` is None."""

    path: str
    box: Box | None
    tile: Image.Image


@dataclass(frozen=True, eq=False)
class Clustered:
    """Item i is in cluster `cluster_N[i]`; they are numbered from 0, the largest first."""

    items: Sequence[Item]
    cluster_N: Int64[ndarray, "N"]
    threshold: float
    skipped: Sequence[Skipped]
    agreement: Agreement | None

    @property
    def sizes(self) -> list[int]:
        """How many are in each cluster."""
        sizes: list[int] = np.bincount(self.cluster_N).tolist()
        return sizes

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sizes = self.sizes
        several = [size for size in sizes if size > 1]
        return {
            "faces": len(self.items),
            "clusters": len(several),
            "alone": len(sizes) - len(several),
            "largest": max(sizes, default=0),
            "threshold": self.threshold,
            "skipped": len(self.skipped),
            **(self.agreement.to_json() if self.agreement else {}),
        }


def cluster_pictures(
    model: Model,
    data: str,
    *,
    named: bool = False,
    threshold: float | None = None,
    on_progress: OnProgress = silent,
) -> Clustered:
    """Group all faces of a folder of pictures, so that each group shows one person.

    Args:
        model: one that makes embeddings; where it looks for no faces, each picture is one item.
        data: a folder of pictures; with `named`, a folder, zip or CSV manifest of identities.
        named: one item a picture, as training takes it, and the names are compared with the clusters.
        threshold: squared L2 (0 ... 4) up to which faces are the same; by default the calibrated one for so many.
        on_progress: hears how far it is.

    Raises:
        DataError: no picture there, or none that can be used.
        GalleryError: no threshold was given, and none was measured for this model; or it is none.
        UserError: too many for the memory.
    """
    require_embedding(model)
    refuse_threshold(threshold)
    point = model.config.operating_point
    if threshold is None and point is None:
        raise never_measured(model.name)
    look = _named if named else _every_face
    items, x_ND, labels, skipped = look(model, data, on_progress)
    if not items:
        raise DataError(f"{data} holds nothing to cluster: {skipped[-1].reason}", hint="Check what the pictures show.")
    if threshold is None and point:
        threshold = cluster_threshold(point, len(items))
    assert threshold is not None
    on_progress("Clustering", 0, 1, {})
    cluster_N = cluster(x_ND, threshold)
    on_progress("Clustering", 1, 1, {})
    return Clustered(items, cluster_N, threshold, skipped, agreement(cluster_N, np.array(labels)) if labels else None)


def write_clusters(found: Clustered, out: Path) -> list[Path]:
    """Write `clusters.csv`, and a contact sheet for each cluster of several: `cluster-0001.jpg` is the largest.

    Raises:
        UserError: `out` holds something already.
        StorageError: it cannot be written.
    """
    require_empty(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        written = [out / LISTING]
        write_atomically(written[0], in_utf8(_listing(found)))
        members: list[list[Item]] = [[] for _ in found.sizes]
        for item, number in zip(found.items, found.cluster_N.tolist(), strict=True):
            members[number].append(item)
        for number, shown in enumerate(members, 1):
            if len(shown) > 1:
                written.append(out / f"cluster-{number:04}.jpg")
                write_atomically(written[-1], _sheet(shown[:_SHOWN]))
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}.", hint="Name another --out.") from error
    return written


def require_empty(out: Path) -> None:
    """Raises UserError: `out` is there, and no empty folder."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder.", hint="Name another --out.")


Looked = tuple[list[Item], Float[ndarray, "N D"], list[int], list[Skipped]]


def _named(model: Model, data: str, on_progress: OnProgress) -> Looked:
    """Pictures by identity: one item each, and the label of each."""
    found = embed(model, open_pictures(data), on_progress=stages(on_progress))
    known_N = found.embeddings.isfinite().all(1)
    known = known_N.nonzero().flatten().tolist()
    place_of = {path: place for place, path in enumerate(found.packed.kept.paths)}
    paths = [found.pictures.paths[i] for i in known]
    items = [Item(path, None, _tile(found.packed.pixels_NCHW[place_of[path]])) for path in paths]
    labels = [found.pictures.labels[i] for i in known]
    return items, found.embeddings[known_N].numpy(), labels, list(found.skipped)


def _every_face(model: Model, data: str, on_progress: OnProgress) -> Looked:
    """Every face of every picture, without a name."""
    paths = find_pictures(data)
    items: list[Item] = []
    skipped: list[Skipped] = []
    parts = [torch.empty(0, model.config.network.embedding_size)]
    looked = _looked(model, paths, skipped, on_progress)
    while batch := list(islice(looked, _BATCH)):
        x_BD = embed_pictures(model, [pixels for _, _, pixels in batch])
        known_B = x_BD.isfinite().all(1) & x_BD.any(1)
        for (path, box, pixels), known in zip(batch, known_B.tolist(), strict=True):
            if known:
                items.append(Item(str(path), box, _tile(pixels)))
            else:
                skipped.append(Skipped(str(path), "its embedding has no direction"))
        parts.append(x_BD[known_B])
        refuse_many(len(items))  # not after hours of looking
    return items, torch.cat(parts).numpy(), [], skipped


def _looked(
    model: Model, paths: Sequence[Path], skipped: list[Skipped], on_progress: OnProgress
) -> Iterator[tuple[Path, Box | None, Tensor]]:
    preprocessing = model.config.preprocessing
    for number, path in enumerate(paths, 1):
        try:
            picture = read_picture(path)
            if preprocessing.align == "none":
                yield path, None, crop(picture, preprocessing, name=str(path))
            else:
                faces = usable_faces(picture, preprocessing)
                yield from ((path, face.box, warp(picture, face, preprocessing)) for face in faces)
                if not faces:
                    skipped.append(Skipped(str(path), "shows no face that is large enough"))
        except PictureError as error:
            skipped.append(Skipped(str(path), error.message.removeprefix(str(path)).strip()))
        on_progress("Looking at pictures", number, len(paths), {})


def _listing(found: Clustered) -> str:
    columns = "cluster", "size", "picture", "left", "top", "right", "bottom"
    sizes = found.sizes

    def rows() -> Iterator[dict[str, Any]]:
        for i in np.argsort(found.cluster_N, kind="stable").tolist():
            number, item = int(found.cluster_N[i]), found.items[i]
            cells = number + 1, sizes[number], item.path, *(item.box or (None,) * 4)
            yield dict(zip(columns, cells, strict=True))

    return "".join(csv_lines(columns, rows()))


def _tile(pixels_CHW: Tensor) -> Image.Image:
    pixels_HWC = np.ascontiguousarray(pixels_CHW.permute(1, 2, 0).numpy())
    picture = Image.fromarray(pixels_HWC.squeeze(2) if pixels_HWC.shape[2] == 1 else pixels_HWC)
    return picture.resize((_TILE, _TILE), Image.Resampling.BILINEAR)


def _sheet(items: Sequence[Item]) -> bytes:
    across = min(_ACROSS, len(items))
    sheet = Image.new("RGB", (across * _TILE, -(-len(items) // across) * _TILE), "white")
    for place, item in enumerate(items):
        sheet.paste(item.tile.convert("RGB"), (place % across * _TILE, place // across * _TILE))
    with io.BytesIO() as file:
        sheet.save(file, "JPEG", quality=88)
        return file.getvalue()
