"""Every error that firstsight raises on purpose.

    FirstsightError                what failed, and what to type next; exit code 1
    ├── StorageError               disk full, read-only, locked or damaged
    │   └── TracesLeft             erased from the database, and not yet from its files
    ├── TrainingError              the run cannot go on (non-finite loss, a rank that died)
    └── UserError                  the input is at fault; exit code 2
        ├── DataError              a folder, zip, manifest or table
        │   └── PictureError       one picture
        │       ├── PictureRefused an honest no: readable, but too poor to enroll; exit code 3
        │       └── PictureUnfit   an honest no: readable, but nothing in it can be compared; exit code 3
        ├── RecipeError            a recipe or a flag
        ├── ModelError             a model folder
        ├── GalleryError           a gallery, or a name in it
        │   ├── AlreadyEnrolled
        │   ├── NotEnrolled
        │   └── OtherModel         the templates were made by another model
        └── MissingExtra           an optional part is not installed

Each message is one sentence that says what happened and where; `hint` says what to do.
"""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import Any

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the upright picture."""
Unfit = Literal["no face", "several faces", "too small", "vetoed"]


class FirstsightError(Exception):
    """The root of the tree: `message` for the eye, `hint` for the hands.

    Example:
        >>> raise DataError("photos/ holds no pictures.", hint="Give a folder of NAME/*.jpg.")
        Traceback (most recent call last):
        firstsight.errors.DataError: photos/ holds no pictures. Give a folder of NAME/*.jpg.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[FirstsightError], message: str, hint: str) -> FirstsightError:
    return kind(message, hint=hint)


class StorageError(FirstsightError):
    """The disk or the database failed: full, read-only, locked or damaged."""


class TracesLeft(StorageError):
    """Gone from the database, and not yet from its files: another program holds on to them, or the disk is full.

    `receipt`, a `firstsight.recognition.forgetting.Receipt`, is that of `forget`; it does not cross a process border.
    """

    receipt: "Any" = None


class TrainingError(FirstsightError):
    """A training run that cannot go on."""


class UserError(FirstsightError):
    """What was given is at fault, and can be mended by the one who gave it."""

    exit_code = 2


class DataError(UserError):
    """A folder, zip, manifest or table that cannot be used."""


class PictureError(DataError):
    """One picture that cannot be used."""


class PictureRefused(PictureError):
    """One picture that can be read, but is too poor to enroll. An honest no; it may be insisted on.

    `verdict`, a `firstsight.recognition.quality.Verdict`, has the figures; it does not cross a process border.
    """

    exit_code = 3
    verdict: "Any" = None


class PictureUnfit(PictureError):
    """One picture that can be read, but in which there is not one thing to compare: `answer` and `reason` say why.

    `reason` follows the picture's name; `boxes` are those of the faces that were found.
    """

    exit_code = 3
    reason = ""
    answer: Unfit = "no face"
    boxes: tuple[Box, ...] = ()

    @classmethod
    def because(
        cls, picture: str, reason: str, *, hint: str, answer: Unfit, boxes: tuple[Box, ...] = ()
    ) -> "PictureUnfit":
        """`picture` is its name, `reason` what follows it."""
        unfit = cls(f"{picture} {reason}.", hint=hint)
        unfit.reason, unfit.answer, unfit.boxes = reason, answer, boxes
        return unfit

    def __reduce__(self) -> tuple[object, ...]:
        return *super().__reduce__(), {"reason": self.reason, "answer": self.answer, "boxes": self.boxes}


class RecipeError(UserError):
    """A recipe or a flag with a wrong key, type or value."""


class ModelError(UserError):
    """A model folder that is missing, incomplete or altered."""


class GalleryError(UserError):
    """A gallery that cannot be used as asked."""


class AlreadyEnrolled(GalleryError):
    """The name is in the gallery already."""


class NotEnrolled(GalleryError):
    """The name is not in the gallery."""


class OtherModel(GalleryError):
    """The gallery's templates were made by another model, and cannot be compared."""


class MissingExtra(UserError):
    """An optional part is not installed."""

    def __init__(self, message: str, *, hint: str = "", extra: str = "") -> None:
        super().__init__(message, hint=hint or f'Type: pip install "firstsight[{extra}]"')
