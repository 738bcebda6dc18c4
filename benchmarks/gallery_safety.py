"""What encryption and forgetting cost: python benchmarks/gallery_safety.py [IDENTITIES] [BYTES OF A PICTURE]

Prints the seconds to open and search a gallery once in clear and encrypted, to encrypt it in place, and to forget one
identity, by the clock and of one core.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from firstsight.config import Network
from firstsight.model_config import ModelConfig
from firstsight.models.folder import make_model
from firstsight.models.registry import build_network
from firstsight.recognition.gallery import Gallery

AT_ONCE = 10_000
KEY = bytes(range(32))


def measured(what: str, work: Callable[[], object]) -> None:
    began = time.perf_counter(), time.process_time()
    work()
    print(f"{what:20} {time.perf_counter() - began[0]:8.2f} s  {time.process_time() - began[1]:8.2f} s of a core")


def main(count: int, picture_bytes: int) -> None:
    torch.set_num_threads(1)
    config = ModelConfig(network=Network(embedding_size=128))
    model = make_model(build_network(config), config, name="benchmark")
    generator = np.random.default_rng(0)
    probe = torch.from_numpy(generator.integers(-127, 128, (1, 128), dtype=np.int8))

    def opened(path: Path, key: bytes | None) -> Gallery:
        gallery = Gallery(path, key=key)
        gallery.bind_model(model)
        return gallery

    def load(path: Path, key: bytes | None) -> None:
        with opened(path, key) as gallery:
            gallery.search(probe)

    def forget(path: Path, key: bytes | None, name: str) -> None:
        with opened(path, key) as gallery:
            gallery.forget(name)

    def encrypt(path: Path) -> None:
        with opened(path, None) as gallery:
            gallery.encrypt(KEY)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.sqlite"
        with opened(path, None) as gallery:
            for start in range(0, count, AT_ONCE):
                names = [f"person {i}" for i in range(start, min(start + AT_ONCE, count))]
                templates = torch.from_numpy(generator.integers(-127, 128, (len(names), 128), dtype=np.int8))
                pictures = [generator.bytes(picture_bytes) for _ in names] if picture_bytes else None
                gallery.enroll_many(names, templates, pictures)
        print(f"{count:,} identities, pictures of {picture_bytes} bytes: {path.stat().st_size / 2**20:,.0f} MiB")
        with opened(path, None) as gallery:
            gallery.search(probe)  # whatever happens once in a process
        measured("load, in clear", lambda: load(path, None))
        measured("forget, in clear", lambda: forget(path, None, "person 0"))
        measured("encrypt in place", lambda: encrypt(path))
        measured("load, encrypted", lambda: load(path, KEY))
        measured("forget, encrypted", lambda: forget(path, KEY, "person 1"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("identities", type=int, nargs="?", default=100_000)
    parser.add_argument("picture_bytes", type=int, nargs="?", default=3000)
    given = parser.parse_args()
    main(given.identities, given.picture_bytes)
