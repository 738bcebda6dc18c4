import logging
from typing import Annotated

from cyclopts import App, Parameter

from firstsight.cli.console import out as console
from firstsight.cli.options import Device, GalleryUrl, Model, Threshold

serve = App(name="serve")


@serve.default
def start(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    host: Annotated[str, Parameter(help="Address to listen on. On any but 127.0.0.1 keys are on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0: any that is free.")] = 8000,
    keys: Annotated[bool, Parameter(help="Ask for keys on 127.0.0.1 too.")] = False,
    debounce: Annotated[float, Parameter(help="Record a person once in so many minutes, per direction.")] = 0,
    threshold: Threshold = None,
    device: Device = "auto",
) -> int:
    """Serve pages to draw on and to manage people, and an API to build on.

    Example: firstsight serve --model glyphs
    """
    import uvicorn

    from firstsight.cli.recognizer import open_recognizer
    from firstsight.recognition.recognizer import data_folder
    from firstsight.service.access import is_loopback
    from firstsight.service.app import create_app
    from firstsight.service.keys import Keys
    from firstsight.workflows.forget import forget

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    held = Keys(data_folder() / "service" / "keys.json") if keys or not is_loopback(host) else None
    if held is not None and not any(key.role == "admin" for key in held):
        console.print(f"The admin key, shown this once: {held.add('admin', 'admin')}", markup=False)
    with open_recognizer(model, gallery, device=device, threshold=threshold, make=True) as recognizer:
        app = create_app(recognizer, forget=forget, keys=held, debounce=debounce)
        console.print(f"http://{host}:{port}", markup=False)
        uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning")
    return 0
