"""/v1/pairing: an administrator invites a tablet, from a page; and what a tablet can be told to trust."""

from typing import Any

import segno
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from firstsight.service import schemas
from firstsight.service.access import needs
from firstsight.service.addresses import is_loopback
from firstsight.service.pairing import Codes
from firstsight.service.problems import Problem
from firstsight.service.state import service_of

router = APIRouter(prefix="/v1/pairing", tags=["session"])
AUTHORITY = "application/x-x509-ca-cert"


@router.post("", status_code=201, response_model=schemas.Invitation, dependencies=[Depends(needs("admin"))])
def invite(request: Request) -> dict[str, Any]:
    """A code that signs a tablet in as a kiosk: good once, for ten minutes."""
    keys = service_of(request).access.keys
    if keys is None:
        raise Problem(409, "no-keys", "This service asks for no keys.", hint="Start it with --lan.")
    codes = Codes(keys)
    made = codes.make()
    announced = service_of(request).address if is_loopback(request.url.hostname or "") else None
    where = made.at(announced or str(request.base_url).rstrip("/"))
    return {
        "code": made.code,
        "address": where,
        "ends": made.ends.isoformat(),
        "qr": segno.make(where, micro=False).svg_data_uri(scale=6, border=4, light="#fff"),
    }


@router.get(
    "/authority",
    response_class=FileResponse,
    responses={200: {"content": {AUTHORITY: {"schema": {"type": "string", "example": "-----BEGIN CERTIFICATE..."}}}}},
)
def authority(request: Request) -> FileResponse:
    """The certificate of the authority that `serve --lan` makes: who trusts it is asked no more about this service."""
    keys = service_of(request).access.keys
    path = keys and keys.path.with_name("authority.pem")
    if not (path and path.exists()):
        raise Problem(404, "not-found", "This service has made no certificate.", hint="Start it with --lan.")
    return FileResponse(path, media_type=AUTHORITY, filename="firstsight.crt")
