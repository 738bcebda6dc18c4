import logging
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from firstsight.cli.console import err, print_json, print_table
from firstsight.cli.console import out as console
from firstsight.cli.options import Device, GalleryUrl, Json, Model, Seeing, Threshold
from firstsight.errors import UserError

if TYPE_CHECKING:
    from firstsight.recognition.recognizer import Recognizer
    from firstsight.service.certificates import Certificate
    from firstsight.service.keys import Keys
    from firstsight.service.running import Listening

serve = App(name="serve")
MOST_DEBOUNCED = 1440  # minutes: a day
keys = App(name="keys", help="Who may ask this machine's service.\n\nExample: firstsight serve keys list")
serve.command(keys)


@serve.default
def start(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    host: Annotated[
        str | None, Parameter(help="Address to listen on: 127.0.0.1, or with --lan all. On others, keys are on.")
    ] = None,
    port: Annotated[int, Parameter(help="Port to listen on; 0: any that is free.")] = 8000,
    lan: Annotated[
        bool, Parameter(help="For tablets of this network: HTTPS, keys, and a code that pairs one.")
    ] = False,
    certificate: Annotated[Path | None, Parameter(help="A certificate of your own for HTTPS: a PEM file.")] = None,
    certificate_key: Annotated[Path | None, Parameter(help="Its key: a PEM file.")] = None,
    keys: Annotated[bool, Parameter(help="Ask for keys on 127.0.0.1 too, as behind a proxy.")] = False,
    debounce: Annotated[float, Parameter(help="Record a person once in so many minutes, per direction.")] = 0,
    threshold: Threshold = None,
    seeing: Seeing | None = None,
    device: Device = "auto",
) -> int:
    """Serve pages to draw on and to manage people, and an API to build on.

    Example: firstsight serve --model glyphs
    """
    _need_extra()
    if not 0 <= debounce <= MOST_DEBOUNCED:
        raise UserError(f"--debounce {debounce:g} is no time.", hint=f"Give minutes, from 0 to {MOST_DEBOUNCED}.")
    from firstsight.service.addresses import EVERYWHERE
    from firstsight.service.running import listen

    host = host or (EVERYWHERE if lan else "127.0.0.1")
    with closing(listen(host, port)) as listening:  # a port in use is said at once, not after torch and the model
        from firstsight.cli.lan import certificates_for
        from firstsight.cli.recognizer import open_recognizer

        secure = certificates_for(host, lan=lan, chain=certificate, key=certificate_key)
        with open_recognizer(
            model, gallery, device=device, threshold=threshold, make=True, seeing=seeing
        ) as recognizer:
            _serve(recognizer, listening, secure, lan=lan, keys=keys, debounce=debounce)
    return 0


def _serve(
    recognizer: "Recognizer",
    listening: "Listening",
    secure: "Callable[[], Certificate] | None",
    *,
    lan: bool,
    keys: bool,
    debounce: float,
) -> None:
    import torch

    from firstsight.cli.lan import invite, show_address, show_addresses
    from firstsight.service.addresses import is_loopback
    from firstsight.service.app import create_app
    from firstsight.service.pairing import Codes
    from firstsight.service.running import run
    from firstsight.workflows.forget import forget

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("firstsight.service").setLevel(logging.INFO)
    near = is_loopback(listening.host) and not lan
    held = None if near and not keys else _keys_with_an_admin()
    app = create_app(recognizer, forget=forget, keys=held, debounce=debounce)
    if not (near or secure):
        err.print("This is HTTP: whoever listens on the network reads keys and pictures.", style="yellow")

    def ready(address: str) -> None:
        torch.set_num_threads(1)  # as many pictures at once as there are cores, each on one
        shown = show_addresses(address, listening.host, secure) if secure else show_address(address)
        app.state.service.address = shown
        if held:
            codes = Codes(held)
            running.enter_context(codes.looked_at(shown))
            if lan:
                invite(codes, shown)

    with ExitStack() as running:
        run(app, listening, on_ready=ready, certificate=secure)


@serve.command
def pair(*, json: Json = False) -> int:
    """Show a code that signs a tablet in as a kiosk: good once, for ten minutes.

    Example: firstsight serve pair
    """
    _need_extra()
    from firstsight.cli.lan import show_invitation
    from firstsight.service.pairing import Codes

    codes = Codes(_keys())
    if codes.address is None or not codes.are_looked_at:
        raise UserError(
            "No service with keys is running here, so a code would open nothing.",
            hint="Start one: firstsight serve --lan; or type this as the user that runs it.",
        )
    show_invitation(codes.make(), codes.address, json=json)
    return 0


@keys.command(name="add")
def add_key(
    name: Annotated[str, Parameter(help="What or who will use it.")],
    *,
    role: Annotated[
        Literal["kiosk", "enroll", "admin"], Parameter(help="kiosk: check in; enroll: people too; admin: all.")
    ] = "kiosk",
    json: Json = False,
) -> int:
    """Make a key, and show it this once.

    Example: firstsight serve keys add "front door" --role kiosk
    """
    made = _keys().add(name, role)
    if json:
        print_json({"key": made, "name": name, "role": role})
    else:
        console.print(f"The key of {name} ({role}), shown this once: {made}", markup=False)
    return 0


@keys.command(name="list")
def list_keys(*, json: Json = False) -> int:
    """List the keys: id, name, role, since when.

    Example: firstsight serve keys list
    """
    rows = [key.to_json() for key in _keys()]
    if json:
        for row in rows:
            print_json(row)
    else:
        print_table(("id", "name", "role", "made at"), (list(row.values()) for row in rows))
    return 0


@keys.command(name="revoke")
def revoke_key(
    number: Annotated[str, Parameter(name="id", help="The id: list shows it.")], *, json: Json = False
) -> int:
    """Take a key back. Whatever it signed in is signed out, at once.

    Example: firstsight serve keys revoke 1f0c9a2b
    """
    gone = _keys().revoke(number)
    if json:
        print_json(gone.to_json())
    else:
        console.print(f"The key of {gone.name} opens nothing any more.", markup=False)
    return 0


def _keys() -> "Keys":
    from firstsight.places import data_folder
    from firstsight.service.keys import Keys

    return Keys(data_folder() / "service" / "keys.json")


def _keys_with_an_admin() -> "Keys":
    held = _keys()
    if not any(key.role == "admin" for key in held):
        console.print(f"The admin key, shown this once: {held.add('admin', 'admin')}", markup=False)
        console.print("More: firstsight serve keys add NAME --role kiosk")
    return held


def _need_extra() -> None:
    from firstsight.errors import MissingExtra

    try:
        import cryptography  # noqa: F401
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import segno  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("The service needs FastAPI, which is not installed.", extra="serve") from error
