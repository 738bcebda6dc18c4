"""One picture is enough: enroll it, then know its identity from then on."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import GalleryError, PictureError
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model, require_embedding
from firstsight.recognition.decision import Decision, Match, decide_identify, decide_verify
from firstsight.recognition.embed import Picture, embed_pictures
from firstsight.recognition.enrollment import Outcome, enroll_pictures
from firstsight.recognition.gallery import Gallery, Receipt
from firstsight.recognition.quality import Verdict

_BATCH = 64


class Recognizer:
    """A model and the gallery of those it knows.

    `threshold` is a squared L2 distance (0 ... 4) up to which two pictures are of the same identity. By default it is
    the gallery's operating point for this model, else the model's own.

    Raises:
        OtherModel: the gallery holds templates of another model.
        PictureError: from each method that takes a picture: it cannot be read.

    Example:
        >>> recognizer = Recognizer(load_model("runs/mine"), Gallery("friends.sqlite"))  # doctest: +SKIP
        >>> recognizer.enroll("ada", "ada.jpg")  # doctest: +SKIP
        >>> recognizer.identify("visitor.jpg").name  # doctest: +SKIP
        'ada'
    """

    def __init__(self, model: Model, gallery: Gallery, *, threshold: float | None = None) -> None:
        if threshold is not None and not 0 <= threshold <= 4:
            raise GalleryError(f"The threshold {threshold} is not a squared distance.", hint="Give one from 0 to 4.")
        require_embedding(model)
        self.model = model
        self.gallery = gallery
        self._threshold = threshold
        gallery.bind_model(model)

    @property
    def threshold(self) -> float:
        """Up to where a distance is accepted.

        Raises:
            GalleryError: none was given, and none was measured for this model.
        """
        if self._threshold is not None:
            return self._threshold
        point = self.gallery.operating_point(self.model.identity) or self.model.config.operating_point
        if point is None:
            raise GalleryError(
                f"The model {self.model.name} has no operating point: where 'the same' ends was never measured.",
                hint="Measure it with held-out identities: firstsight train --val PATH; or give a threshold (0 to 4).",
            )
        return point.threshold

    def enroll(self, name: str, picture: Picture, *, add: bool = False, anyway: bool = False) -> Verdict:
        """Know this identity from now on; `add` gives a known name one picture more.

        The verdict on the picture is given back: what was measured, and who else is near.

        Raises:
            PictureRefused: the verdict has doubts, and `anyway` does not insist.
            AlreadyEnrolled: the name is known, and `add` was not asked for.
            GalleryError: the name cannot be one.
        """
        (outcome,) = self.enroll_many([(name, picture)], add=add, anyway=anyway)
        if isinstance(outcome, PictureError):
            raise outcome
        return outcome

    def enroll_many(
        self, entries: Sequence[tuple[str, Picture]], *, add: bool = False, anyway: bool = False
    ) -> list[Outcome]:
        """Enroll from each picture that is good enough, in one transaction; the outcome of each entry, in order.

        A picture is compared with those before it, too. One that cannot be read, or whose verdict has doubts, is
        passed over: its outcome is the error.

        Raises:
            AlreadyEnrolled: a name is known or comes twice, and `add` was not asked for: nobody is enrolled.
            GalleryError: a name cannot be one: nobody is enrolled.
        """
        try:
            threshold = self.threshold
        except GalleryError:  # never measured: nobody can be said to be too near
            threshold = None
        return enroll_pictures(self.model, self.gallery, entries, threshold=threshold, add=add, anyway=anyway)

    def verify(self, name: str, picture: Picture) -> Decision:
        """Is it `name`? Compared with the nearest of the pictures enrolled under this name.

        Raises:
            NotEnrolled: nobody has this name.
        """
        threshold = self.threshold
        enrolled_KD = self.gallery.templates_of(name)
        distance = template_distances(self._templates([picture]), enrolled_KD).min().item()
        size = len(self.gallery)
        return decide_verify(Match(name, distance), threshold, model=self.model.identity, gallery_size=size)

    def identify(self, picture: Picture) -> Decision:
        """Who is it, of all who are enrolled?"""
        return next(self.identify_many([picture]))

    def identify_many(self, pictures: Iterable[Picture]) -> Iterator[Decision]:
        """A decision for each picture, in their order. They are read as the decisions are asked for, in batches."""
        rest = iter(pictures)
        while batch := list(islice(rest, _BATCH)):
            threshold = self.threshold
            found = self.gallery.search(self._templates(batch), k=2)
            size = len(self.gallery)
            for nearest in found:
                yield decide_identify(nearest, threshold, model=self.model.identity, gallery_size=size)

    def forget(self, name: str) -> Receipt:
        """Erase an identity with all that was kept of it.

        Raises:
            NotEnrolled: nobody has this name.
        """
        return self.gallery.forget(name)

    def _templates(self, pictures: list[Picture]) -> Int8[Tensor, "B D"]:
        return quantize(embed_pictures(self.model, pictures, batch_size=_BATCH))


def data_folder() -> Path:
    """Where galleries are kept: the user's data folder, or the folder named by FIRSTSIGHT_HOME."""
    import platformdirs

    home = os.environ.get("FIRSTSIGHT_HOME")
    return Path(home) if home else platformdirs.user_data_path("firstsight")


def default_gallery_path(model_identity: str) -> Path:
    """The one gallery of a model that the command line uses when none is named."""
    return data_folder() / "galleries" / f"{model_identity[:16]}.sqlite"
