"""Enrolling from pictures: look at each, give the verdict, keep those that are good enough. R readable, D embedding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from firstsight.config import Preprocessing
from firstsight.data.align import Which
from firstsight.errors import PictureError, PictureRefused
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model
from firstsight.recognition.decision import Match
from firstsight.recognition.embed import Check, Picture, called, crop, decoded, embed_pictures, to_png
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.names import clean_name
from firstsight.recognition.quality import Quality, Verdict, judge, measure

Outcome = Verdict | PictureError
"""Of one picture: enrolled with this verdict, or why not."""


class _Look(NamedTuple):
    pixels: UInt8[Tensor, "C H W"]
    quality: Quality


def enroll_pictures(
    model: Model,
    gallery: Gallery,
    entries: Sequence[tuple[str, Picture]],
    *,
    threshold: float | None,
    add: bool = False,
    anyway: bool = False,
    keep_pictures: bool = True,
    consent: str | None = None,
    which: Which = "only",
    check: Check | None = None,
) -> list[Outcome]:
    """Enroll from every picture that is good enough, in one transaction; the outcome of each entry, in order.

    Each is compared with all who are enrolled and with the entries before it, unless no threshold is known. The
    gallery must be bound to the model.

    Raises:
        AlreadyEnrolled: a name is known or comes twice, and `add` was not asked for: nobody is enrolled.
        GalleryError: a name cannot be one: nobody is enrolled.
    """
    names = [clean_name(name) for name, _ in entries]
    looks = [_look(picture, model.config.preprocessing, which, check) for _, picture in entries]
    places = [i for i, look in enumerate(looks) if isinstance(look, _Look)]
    x_RD = embed_pictures(model, [look.pixels for look in looks if isinstance(look, _Look)])
    for row in (~_has_direction(x_RD)).nonzero().flatten().tolist():
        looks[places[row]] = _without_direction(entries[places[row]][1])
    x_RD = x_RD[_has_direction(x_RD)]
    seen = {i: look for i, look in enumerate(looks) if isinstance(look, _Look)}
    nearest = _Nearest(gallery, [names[i] for i in seen], quantize(x_RD), threshold)
    outcomes: dict[int, Outcome] = {i: look for i, look in enumerate(looks) if isinstance(look, PictureError)}
    verdicts: dict[int, Verdict] = {}
    for row, (i, look) in enumerate(seen.items()):
        verdict = judge(look.quality, nearest=nearest.other(row), threshold=threshold)
        if verdict.good or anyway:
            verdicts[i] = verdict
            nearest.accepted.append(row)
        else:
            outcomes[i] = _refusal(entries[i][1], verdict)
    written = gallery.enroll_many(
        [names[i] for i in verdicts],
        nearest.templates_RD[nearest.accepted],
        [to_png(seen[i].pixels) for i in verdicts] if keep_pictures else None,
        add=add,
        consents=[consent] * len(verdicts),
    )
    outcomes |= {i: replace(verdicts[i], held=not new) for i, new in zip(verdicts, written, strict=True)}
    return [outcomes[i] for i in range(len(entries))]


class _Nearest:
    """Who is nearest to each new template: of all enrolled, and of the new ones accepted before it."""

    def __init__(
        self, gallery: Gallery, names: list[str], templates_RD: Int8[Tensor, "R D"], threshold: float | None
    ) -> None:
        self.accepted: list[int] = []
        self.templates_RD = templates_RD
        self._names = names
        self._compare = threshold is not None and bool(names)
        self._enrolled = gallery.search(templates_RD, k=2) if self._compare else []
        self._distances_RR = template_distances(templates_RD, templates_RD) if self._compare else None

    def other(self, row: int) -> Match | None:
        """The nearest that has another name."""
        if self._distances_RR is None:
            return None
        before = [Match(self._names[earlier], float(self._distances_RR[row, earlier])) for earlier in self.accepted]
        others = [match for match in (*self._enrolled[row], *before) if match.name != self._names[row]]
        return min(others, key=lambda match: match.distance, default=None)


def _look(picture: Picture, preprocessing: Preprocessing, which: Which, check: Check | None) -> _Look | PictureError:
    try:
        pixels = decoded(picture)
        seen = crop(pixels, preprocessing, name=called(picture), which=which, check=check)
        # of a face what the network sees of it counts, not what is around it
        return _Look(seen, measure(seen if preprocessing.align == "faces" else pixels, preprocessing))
    except PictureError as error:
        return error


def _has_direction(x_RD: Float[Tensor, "R D"]) -> Tensor:
    return x_RD.isfinite().all(1) & x_RD.any(1)


def _without_direction(picture: Picture) -> PictureError:
    return PictureError(
        f"{called(picture)} has an embedding without direction: all zero, or not finite.",
        hint="Check the picture, and the model.",
    )


def _refusal(picture: Picture, verdict: Verdict) -> PictureRefused:
    hint = "Give a better picture, or insist with --anyway."
    if [doubt.kind for doubt in verdict.doubts] == ["look-alike"]:
        hint = f"If it is {verdict.nearest}, enroll it by that name with --add; if not, insist with --anyway."
    refused = PictureRefused(f"{called(picture)} {verdict}.", hint=hint)
    refused.verdict = verdict
    return refused
