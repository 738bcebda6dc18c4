"""One picture is enough: enroll it, then know its identity from then on."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from jaxtyping import Int8, UInt8
from torch import Tensor

from firstsight.data.align import Which
from firstsight.errors import PictureError, PictureUnfit
from firstsight.functional.quantize import quantize, template_distances
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model, load_model, require_embedding, set_align
from firstsight.places import data_folder
from firstsight.recognition.decision import (
    Decision,
    Match,
    Rule,
    decide_identify,
    decide_unfit,
    decide_verify,
    never_measured,
    refuse_threshold,
    rule_of,
)
from firstsight.recognition.embed import Check, Picture, crop, embed_pictures
from firstsight.recognition.enrollment import Outcome, enroll_pictures
from firstsight.recognition.forgetting import Receipt
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.quality import Verdict

Look = UInt8[Tensor, "C H W"] | PictureUnfit
"""A picture as the network sees it, or why there is nothing to compare."""
_BATCH = 64


class Recognizer:
    """A model and the gallery of those it knows.

    `threshold` is a squared L2 distance (0 ... 4) up to which two pictures are of the same identity. By default it is
    that of the gallery's operating point for this model, else of the model's own, and moves with how many templates a
    picture is compared with: docs/promise.md. `which` says who is meant where a picture shows several faces, for a
    model that looks for them. `check` hears of every picture first, and may veto it: docs/faces.md.

    Raises:
        OtherModel: the gallery holds templates of another model.
        PictureError: from each method that takes a picture: it cannot be read.

    Example:
        >>> recognizer = Recognizer(load_model("runs/mine"), Gallery("friends.sqlite"))  # doctest: +SKIP
        >>> recognizer.enroll("ada", "ada.jpg")  # doctest: +SKIP
        >>> recognizer.identify("visitor.jpg").name  # doctest: +SKIP
        'ada'
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        *,
        threshold: float | None = None,
        which: Which = "only",
        check: Check | None = None,
    ) -> None:
        refuse_threshold(threshold)
        require_embedding(model)
        self.model = model
        self.gallery = gallery
        self._threshold = threshold
        self._which = which
        self._check = check
        gallery.bind_model(model)

    @property
    def operating_point(self) -> OperatingPoint | None:
        """What was measured for this model: in this gallery, else at its training."""
        return self.gallery.operating_point(self.model.identity) or self.model.config.operating_point

    def rule(self, size: int) -> Rule:
        """By what to decide where a picture is compared with `size` templates.

        Raises:
            GalleryError: no threshold was given, and none was measured for this model.
        """
        measured = self.operating_point if self._threshold is None else self._threshold
        if measured is None:
            raise never_measured(self.model.name)
        return rule_of(measured, size)

    def enroll(
        self,
        name: str,
        picture: Picture,
        *,
        add: bool = False,
        anyway: bool = False,
        keep_picture: bool = True,
        consent: str | None = None,
    ) -> Verdict:
        """Know this identity from now on; `add` gives a known name one picture more, unless it is held already.

        The verdict on the picture is given back: what was measured, and who else is near. The network's view of the
        picture is kept, so that another model can take over, unless `keep_picture` is false. `consent` is a note on the
        consent to it, kept beside the template.

        Raises:
            PictureRefused: the verdict has doubts, and `anyway` does not insist.
            PictureUnfit: it shows no face, several, or too small a one, or the check vetoes it.
            AlreadyEnrolled: the name is known, and `add` was not asked for.
            GalleryError: the name cannot be one.
        """
        (outcome,) = self.enroll_many(
            [(name, picture)], add=add, anyway=anyway, keep_pictures=keep_picture, consent=consent
        )
        if isinstance(outcome, PictureError):
            raise outcome
        return outcome

    def enroll_many(
        self,
        entries: Sequence[tuple[str, Picture]],
        *,
        add: bool = False,
        anyway: bool = False,
        keep_pictures: bool = True,
        consent: str | None = None,
    ) -> list[Outcome]:
        """Enroll from each picture that is good enough, in one transaction; the outcome of each entry, in order.

        A picture is compared with those before it, too. One that cannot be read, or whose verdict has doubts, is
        passed over: its outcome is the error.

        Raises:
            AlreadyEnrolled: a name is known or comes twice, and `add` was not asked for: nobody is enrolled.
            GalleryError: a name cannot be one: nobody is enrolled.
        """
        measured = self._threshold is not None or self.operating_point
        # never measured: nobody can be said to be too near
        threshold = self.rule(self.gallery.count_templates()).threshold if measured else None
        return enroll_pictures(
            self.model,
            self.gallery,
            entries,
            threshold=threshold,
            add=add,
            anyway=anyway,
            keep_pictures=keep_pictures,
            consent=consent,
            which=self._which,
            check=self._check,
        )

    def look(self, picture: Picture) -> Look:
        """A picture as the network sees it. A crop is taken as it is, and is not checked."""
        try:
            return crop(picture, self.model.config.preprocessing, which=self._which, check=self._check)
        except PictureUnfit as unfit:
            return unfit

    def verify(self, name: str, picture: Picture) -> Decision:
        """Is it `name`? Compared with the nearest of the pictures enrolled under this name.

        Raises:
            NotEnrolled: nobody has this name.
        """
        return self.decide(self.look(picture), claim=name)

    def identify(self, picture: Picture) -> Decision:
        """Who is it, of all who are enrolled?"""
        return self.decide(self.look(picture))

    def decide(self, look: Look, *, claim: str | None = None) -> Decision:
        """Identify what was looked at, or verify that it is the one it claims to be."""
        if claim is None:
            return next(self.decide_many([look]))
        enrolled_KD = self.gallery.templates_of(claim)
        rule = self.rule(len(enrolled_KD))
        model, size = self.model.identity, len(self.gallery)
        if isinstance(look, PictureUnfit):
            return decide_unfit(look, rule, claim=claim, model=model, gallery_size=size)
        distance = template_distances(self._templates([look]), enrolled_KD).min().item()
        return decide_verify(Match(claim, distance), rule, model=model, gallery_size=size)

    def identify_many(self, pictures: Iterable[Picture]) -> Iterator[Decision]:
        """A decision for each picture, in their order. They are read as the decisions are asked for, in batches."""
        rest = iter(pictures)
        while batch := list(islice(rest, _BATCH)):
            yield from self.decide_many([self.look(picture) for picture in batch])

    def decide_many(self, looks: Sequence[Look]) -> Iterator[Decision]:
        """Identify each of what was looked at, embedded together."""
        found = iter(self.gallery.search(self._templates([look for look in looks if isinstance(look, Tensor)]), k=2))
        rule = self.rule(self.gallery.count_templates())
        model, size = self.model.identity, len(self.gallery)
        for look in looks:
            if isinstance(look, PictureUnfit):
                yield decide_unfit(look, rule, model=model, gallery_size=size)
            else:
                yield decide_identify(next(found), rule, model=model, gallery_size=size)

    def follow(self) -> None:
        """Take the model that the gallery was moved to meanwhile, from where it was when the gallery moved.

        Nobody else may use the recognizer, or its gallery, until this returns: templates of one model must not meet
        those of another.

        Raises:
            OtherModel: a threshold was given by hand: it was that of the old model; or what is found there is not the
                gallery's model.
            ModelError: the model is gone, or damaged.
        """
        name = self.gallery.model_name
        if name is None or self.gallery.model_identity == self.model.identity:
            return
        if self._threshold is not None:
            self.gallery.bind_model(self.model)  # refused
        model = load_model(name, device=str(self.model.device))
        model = set_align(model, self.model.config.preprocessing.align)
        self.gallery.bind_model(model)
        self.model = model

    def forget(self, name: str) -> Receipt:
        """Erase an identity with all that was kept of it.

        Raises:
            NotEnrolled: nobody has this name.
        """
        return self.gallery.forget(name)

    def _templates(self, pictures: Sequence[Picture]) -> Int8[Tensor, "B D"]:
        return quantize(embed_pictures(self.model, pictures, batch_size=_BATCH))


def default_gallery_path(model_identity: str) -> Path:
    """The one gallery of a model that the command line uses when none is named."""
    return data_folder() / "galleries" / f"{model_identity[:16]}.sqlite"
