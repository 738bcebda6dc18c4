"""Whether pictures are evidence for a model, or what it has seen before."""

from pathlib import Path

from firstsight.data.identities import PictureSet, listing_digest
from firstsight.models.folder import Model


def seen_in_training(model: Model, pictures: PictureSet) -> str:
    """What to say of a model that was trained on these data, or on a part of them; empty if it was not.

    They are known by their listing, also if they were moved or zipped. A set that was changed is known by its place.
    """
    trained = model.config.trained
    if trained.get("listing") == listing_digest(pictures):
        seen = f"{trained.get('identities', 'some')} of the {len(pictures.names)} identities in {pictures.source}"
    elif Path(str(trained.get("data") or "nowhere")).resolve() == Path(pictures.source).resolve():
        seen = f"data called {trained['data']}, if not on these very files"
    else:
        return ""
    return f"Warning: {model.name} was trained on {seen}. What it has seen is no evidence: measure on other pictures."


def seen_in_calibration(model: Model, pictures: PictureSet) -> str:
    """What to say where the model's own threshold was chosen on these very pictures; empty if it was not."""
    point = model.config.operating_point
    if point is None or not point.listing or point.listing != listing_digest(pictures):
        return ""
    return (
        f"Warning: the threshold of {model.name} was chosen on {pictures.source}. That its promise is kept there is no "
        "evidence: measure on other pictures."
    )
