"""Moving a gallery to another model: its pictures are embedded anew. B pictures, C channels, H height, W width."""

import dataclasses
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from jaxtyping import UInt8
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.align import MOST_ENLARGED
from firstsight.data.pictures import prepare, read_picture
from firstsight.errors import GalleryError, ModelError
from firstsight.functional.quantize import quantize
from firstsight.models.folder import Model, find_model, read_config, require_embedding
from firstsight.recognition.embed import embed_pictures, to_png
from firstsight.recognition.forgetting import finish_erasing
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.rows import NewTemplate, Stored, insert_templates, stored
from firstsight.recognition.schema import forgotten, gallery, identities, templates

_NAMED = 20  # of those without a picture


def reenroll(
    opened: Gallery, model: Model, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Embed every picture of a gallery by another model, and bind the gallery to it: all of it, or nothing.

    What is kept of a picture is the old network's input. Where the new one takes another size it is resized once
    more, which costs detail; where the two see pictures in ways that do not fit together, it is refused. Names and
    times stay. Whoever searches by the old model meanwhile waits for its lock or reads the old templates, and is
    refused afterwards.

    Args:
        opened: the gallery; others may have it open.
        model: the new one. Where the gallery holds its templates already, nothing is done.
        on_progress: called as on_progress(done, total), in templates.

    Returns:
        How many templates were made.

    Raises:
        GalleryError: nobody is enrolled, pictures are missing (the message says whose), or they do not fit the model.
        ModelError: the new model makes no embeddings; the folder of the old one, which says how its pictures were
            prepared, is gone.
    """
    require_embedding(model)
    new = model.config.preprocessing
    if opened.model_identity is None:
        raise GalleryError(f"Nobody is enrolled in {opened.where}.", hint="Enroll by the new model.")
    if opened.model_identity == model.identity:
        return 0
    old = _preprocessing_of(opened)
    refuse_unfit(old, new)
    with opened.storage.writing() as connection:
        if opened.terms.locked(connection).model_identity == model.identity:
            return 0
        _refuse_missing(connection, opened.where)
        count, last = connection.execute(sa.select(sa.func.count(), sa.func.max(templates.c.id))).one()
        done = 0
        for batch in stored(connection, opened.terms.cipher, upto=last):
            insert_templates(connection, opened.terms.cipher, model.identity, _embedded(model, batch, old))
            done += len(batch)
            on_progress(done, count)
        # New ids, and the old identities reported as forgotten: that is how every index drops what it holds of them.
        connection.execute(sa.delete(templates).where(templates.c.id <= last))
        newest = connection.scalar(sa.select(sa.func.max(identities.c.id)))
        connection.execute(sa.insert(forgotten).values(first_identity=0, last_identity=newest))
        connection.execute(sa.update(gallery).values(model_identity=model.identity, model_name=model.address))
    opened.bind_model(model)
    finish_erasing(opened.storage)  # where others have it open still, the next to open it does
    return int(count)


def require_pictures(opened: Gallery) -> None:
    """Refuse a gallery that cannot be moved to another model, because pictures are missing.

    Raises:
        GalleryError: the message says whose.
    """
    with opened.storage.reading() as connection:
        _refuse_missing(connection, opened.where)


def refuse_unfit(old: Preprocessing, new: Preprocessing) -> None:
    """Refuse pictures prepared by `old` where a network that expects `new` would see something else than it knows.

    Raises:
        GalleryError: they do not fit; the message says in what.

    Example:
        >>> old = Preprocessing(color="rgb", height=64, width=64)
        >>> refuse_unfit(old, Preprocessing(color="gray", height=32, width=32))
    """
    reason = ""
    growth = max(new.height / old.height, new.width / old.width)
    if old.channels < new.channels and new.fit != "ink":
        reason = "they are gray, and the new model sees color"
    elif growth > MOST_ENLARGED:
        reason = f"their sides would be enlarged {growth:.1f} times, and {MOST_ENLARGED:g} is the most"
    elif (old.align == "faces") != (new.align == "faces"):
        reason = f"they were prepared with align = {old.align}, and the new model expects align = {new.align}"
    elif new.fit != "ink" and _manner(old) != _manner(new):
        reason = f"they were prepared with fit = {old.fit}, and the new model expects fit = {new.fit}"
    elif new.fit not in ("ink", "stretch") and old.height * new.width != old.width * new.height:
        reason = f"they are {old.height} x {old.width}, another shape than {new.height} x {new.width}"
    if reason:
        raise GalleryError(
            f"The pictures in the gallery do not fit the new model: {reason}.",
            hint="Enroll from the original pictures into a new gallery: firstsight gallery enroll people.csv",
        )


def _manner(preprocessing: Preprocessing) -> Preprocessing:
    """All of it but size, color and scale, which can be changed afterwards."""
    return dataclasses.replace(preprocessing, height=8, width=8, color="gray", mean=0.0, std=1.0)


def _preprocessing_of(opened: Gallery) -> Preprocessing:
    name = opened.model_name or ""
    try:
        config = read_config(find_model(name))
    except ModelError as error:
        raise ModelError(
            f"The pictures in {opened.where} were prepared by the model {name}, which is not there any more.",
            hint="Put its folder back: config.json says how the pictures were prepared.",
        ) from error
    if config.identity != opened.model_identity:
        raise ModelError(
            f"{name} is not the model any more that {opened.where} was enrolled by.",
            hint="Put that model's folder back: config.json says how the pictures were prepared.",
        )
    return config.preprocessing


def _refuse_missing(connection: sa.Connection, where: str) -> None:
    query = sa.select(identities.c.name).join(templates).where(templates.c.picture.is_(None))
    names = list(connection.scalars(query.distinct().order_by(identities.c.name)))
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise GalleryError(
            f"{where} keeps no picture of: {', '.join(names[:_NAMED])}{more}.",
            hint="Forget them and enroll them anew; firstsight gallery list --json says of whom pictures are kept.",
        )


def _embedded(model: Model, batch: Sequence[Stored], old: Preprocessing) -> list[NewTemplate]:
    crops_BCHW = [_prepared_again(row, old, model.config.preprocessing) for row in batch]
    templates_BD = quantize(embed_pictures(model, crops_BCHW))
    return [
        NewTemplate(row.identity, template_D.tobytes(), to_png(crop_CHW), row.consent, row.enrolled_at)
        for row, crop_CHW, template_D in zip(batch, crops_BCHW, templates_BD.numpy(), strict=True)
    ]


def _prepared_again(row: Stored, old: Preprocessing, new: Preprocessing) -> UInt8[Tensor, "C H W"]:
    """The very pixels where both models see pictures alike: what is drawn anew a second time is not quite the same. A
    face is aligned already."""
    assert row.picture is not None
    name = f"The picture of {row.name}"
    alike = dataclasses.replace(old, mean=new.mean, std=new.std) == new
    fit = "stretch" if alike else new.fit
    return prepare(read_picture(row.picture, name=name), dataclasses.replace(new, fit=fit, align="none"), name=name)
