"""What comes back from the service, field by field: the OpenAPI document is made from it. Distances are squared L2."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from firstsight.recognition.decision import Answer
from firstsight.recognition.ledger_rows import Direction, Kind, ReviewKind
from firstsight.service import examples
from firstsight.service.keys import Role

Corners = Annotated[list[int], Field(min_length=4, max_length=4)]


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": example})


class Answered(BaseModel):
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Session(Answered):
    model_config = _like(examples.SESSION)

    role: Role | None
    keys: bool
    csrf: str | None
    model: str
    version: str


class Person(Answered):
    model_config = _like(examples.PERSON)

    id: int
    name: str
    enrolled_at: str = Field(examples=["2026-11-25T08:00:00Z"])
    pictures: int
    thumbnail: str | None = Field(examples=["/v1/people/1/pictures/1"])


class Enrollment(Answered):
    id: int
    enrolled_at: str
    consent: str | None
    picture: str | None


class PersonInFull(Person):
    model_config = _like(examples.PERSON | {"enrollments": [examples.ENROLLMENT]})

    enrollments: list[Enrollment]


class People(Answered):
    model_config = _like({"people": [examples.PERSON], "total": 1, "next": None})

    people: list[Person]
    total: int
    next: int | None


class Doubt(Answered):
    kind: str = Field(examples=["look-alike"])
    reason: str


class Verdict(Answered):
    good: bool
    doubts: list[Doubt]
    width: int
    height: int
    enlargement: float
    contrast: float | None
    sharpness: float | None
    bright: float | None
    dark: float | None
    white: float | None
    nearest: str | None
    distance: float | None
    threshold: float | None


class Enrolled(Answered):
    model_config = _like({"person": examples.PERSON, "verdict": examples.VERDICT})

    person: Person
    verdict: Verdict | None = Field(description="Null where this picture was enrolled before.")


class Copy(Answered):
    path: str
    kind: str
    made_at: str


class Receipt(Answered):
    model_config = _like(examples.RECEIPT)

    name: str
    gallery: str
    forgotten_at: str
    templates: int
    pictures: int
    erased_from: list[str]
    to_erase: list[str] = Field(description="Where traces are left until other programs end: erased then.")
    left_in: list[str]
    copies: list[Copy]
    models: list[dict[str, Any]]
    not_covered: list[str]


class Decision(Answered):
    model_config = _like(examples.DECISION)

    decision: Answer
    name: str | None
    person_id: int | None
    distance: float | None
    threshold: float
    nearest: str | None
    nearest_id: int | None
    runner_up: str | None
    runner_up_id: int | None
    runner_up_distance: float | None
    margin: float | None
    bound: float | None
    model: str
    calibration: str
    gallery_size: int
    reason: str = Field(description="Why nothing was compared, where the decision says so.")
    boxes: list[Corners] = Field(description="Where faces lie: left, top, right, bottom, in pixels of the picture.")


class Entry(Answered):
    model_config = _like(examples.ENTRY)

    id: int
    time: str = Field(examples=["2026-11-25T08:00:00.120+00:00"])
    kind: Kind
    verdict: Answer
    name: str | None
    person_id: int | None
    forgotten: bool
    direction: Direction | None
    camera: str | None
    review: ReviewKind | None
    reviewed_at: str | None
    request_id: str | None
    repeated: bool
    decision: Decision


class Entries(Answered):
    model_config = _like({"entries": [examples.ENTRY], "next": None})

    entries: list[Entry]
    next: str | None


class DayPerson(Answered):
    name: str
    person_id: int | None
    first_in: str | None
    last_out: str | None
    seen: int


class Day(Answered):
    model_config = _like(examples.DAY)

    day: str = Field(examples=["2026-11-25"])
    people: list[DayPerson]


class CalibrationStep(Answered):
    size: int
    threshold: float
    bound: float


class Calibration(Answered):
    version: str
    target: float
    identities: int
    accepted: int
    comparisons: int
    steps: list[CalibrationStep]


class Curves(Answered):
    source: Literal["calibration", "gallery"]
    identities: int
    same_pairs: int
    different_pairs: int
    threshold: list[float]
    far: list[float]
    far_bound: list[float]
    frr: list[float] | None
    frr_low: list[float] | None
    frr_high: list[float] | None
    same: list[int]
    different: list[int]


class ModelInfo(Answered):
    name: str
    identity: str
    embedding_size: int
    input: str
    people: int
    templates: int
    threshold: float | None
    bound: float | None
    spread: float | None
    promise: list[str]
    now: str | None
    calibration: Calibration | None
    curves: Curves | None


class Models(Answered):
    model_config = _like({"models": [examples.MODEL]})

    models: list[ModelInfo]


class Invitation(Answered):
    model_config = _like(examples.INVITATION)

    code: str
    address: str = Field(description="Where the tablet goes.")
    ends: str
    qr: str = Field(description="The address as a QR code: an SVG picture as a data: URI.")


class Privacy(Answered):
    model_config = _like(examples.PRIVACY)

    faces: bool = Field(description="Whether the model looks for faces.")
    embedding_size: int = Field(description="Bytes of a template.")
    picture: list[int] = Field(description="Width and height of the pictures that are kept, in pixels.")
    pictures_kept: bool = Field(description="Of some who are enrolled.")
    encrypted: bool
    retention_days: int | None = Field(description="How long decisions are kept; null: without end.")
    probes_until: str | None = Field(description="When the last kept picture of a decision is erased; null: none is.")
    copies: bool = Field(description="Whether backups or exports were made.")
    debounce: float


class Status(Answered):
    model_config = _like({"status": "ok"})

    status: Literal["ok", "ready"]


class ProblemBody(Answered):
    model_config = _like(examples.PROBLEM)

    code: str = Field(examples=["not-enrolled"])
    message: str
    hint: str
    verdict: Verdict | None
    boxes: list[Corners]
    person_id: int | None
