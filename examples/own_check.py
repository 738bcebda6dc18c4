"""The service, with a check of your own that hears of each picture before anybody is looked for in it.

    python examples/own_check.py --model faces --gallery door.sqlite

The check here refuses what was shown before, pixel by pixel: no camera sees the same twice, but whoever sends a file
can send it again. It detects no life. Where a depth camera or a network that knows screens tells you more, ask it here.
"""

import argparse
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from PIL import Image

from firstsight import Gallery, Recognizer, load_model
from firstsight.service.app import create_app
from firstsight.service.running import listen, run
from firstsight.workflows.forget import forget

REMEMBERED = 10_000


class Unseen:
    """A check: why a picture must not count, or None. Several threads call it."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, picture: Image.Image, box: tuple[int, int, int, int] | None) -> str | None:
        """`box` is where the face lies: left, top, right, bottom; None for a model that looks for none."""
        digest = hashlib.sha256(picture.tobytes()).digest()
        with self._lock:
            if digest in self._seen:
                return "was shown before"
            self._seen[digest] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return None


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="glyphs")
    parser.add_argument("--gallery", required=True)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(words)
    torch.set_num_threads(1)  # as many pictures at once as there are cores, each on one
    with Gallery(options.gallery) as gallery:
        recognizer = Recognizer(load_model(options.model), gallery, check=Unseen())
        app = create_app(recognizer, forget=forget)
        here = listen("127.0.0.1", options.port)
        run(app, here, on_ready=lambda address: print("Open", address, flush=True))


if __name__ == "__main__":
    main()
