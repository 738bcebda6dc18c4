"""What is sent to the service, field by field: the OpenAPI document is made from it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from firstsight.recognition.ledger_rows import Direction
from firstsight.recognition.names import MAX_NAME

MOST_WAITED = 3 * 24 * 3600  # seconds: a long weekend without a network

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, examples=["ada"])]


class Form(BaseModel):
    """Fields that come as text."""

    model_config = ConfigDict(extra="forbid")


class PictureForm(Form):
    """A picture alone."""


class AddForm(Form):
    anyway: bool = Field(False, description="Enroll whatever the verdict on the picture.")
    consent: str | None = Field(None, max_length=1000, description="A note on the consent to it.")
    keep_picture: bool = Field(True, description="Keep the network's view of the picture.")


class EnrollForm(AddForm):
    name: Name


class VerifyForm(Form):
    name: Name


class CheckInForm(Form):
    direction: Direction | None = Field(None, description="Who came, or went.")
    camera: str | None = Field(None, min_length=1, max_length=MAX_NAME, examples=["door"])
    claim: str | None = Field(None, min_length=1, max_length=MAX_NAME, description="Verify this name.")
    waited: float = Field(
        0, ge=0, le=MOST_WAITED, description="Seconds since the picture was taken, where it could not be sent at once."
    )


class SignIn(Form):
    model_config = ConfigDict(json_schema_extra={"example": {"key": "fs-1f0c9a2b-..."}})

    key: str = Field(max_length=200)


class Pair(Form):
    model_config = ConfigDict(json_schema_extra={"example": {"code": "7K2M-9QXA"}})

    code: str = Field(max_length=40, description="Of `firstsight serve pair`: it is used once.")


class Correction(Form):
    model_config = ConfigDict(json_schema_extra={"example": {"person_id": 2}})

    person_id: int | None = Field(strict=True, ge=1, le=2**53, description="Who it was; null: nobody who is enrolled.")
