"""A list of people enrolled in one call, which is killed at about half, and called again.

    python benchmarks/enroll_list.py --data omniglot/images_background.zip --people 10000

Each picture of the zip stands for somebody of its own, so the verdict, which is given to each, would refuse most as
look-alikes: `--anyway` insists. The model is glyphs. Prints the seconds of both calls, how many each enrolled, and
whether everyone is there once.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path


def write_list(data: Path, folder: Path, people: int) -> Path:
    with zipfile.ZipFile(data) as pictures:
        names = [name for name in pictures.namelist() if name.endswith(".png")][:people]
        pictures.extractall(folder, names)
    path = folder / "people.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "picture"), *((name.removesuffix(".png"), name) for name in names)])
    return path


def call(path: Path, gallery: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "firstsight", "gallery", "enroll", str(path), "--gallery", str(gallery)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, "--anyway", *words], text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def killed_at_half(path: Path, gallery: Path) -> float:
    start = time.perf_counter()
    with call(path, gallery) as process:
        assert process.stderr
        for line in process.stderr:
            done, _, total = line.removeprefix("Enrolling: ").partition(" ")[0].partition("/")
            if 2 * int(done) >= int(total):
                process.kill()
                break
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, gallery = write_list(given.data, Path(folder), given.people), Path(folder) / "gallery.sqlite"
        first = killed_at_half(path, gallery)
        start = time.perf_counter()
        out, _ = call(path, gallery, "--json").communicate()
        second, found = time.perf_counter() - start, json.loads(out)
        print(f"killed after {first:.0f} s, with {found['known']:,} enrolled")
        print(f"called again: {found['enrolled']:,} more in {second:.0f} s, {len(found['refused'])} refused")
        print(
            f"in the gallery: {found['gallery_size']:,} of {given.people:,}, {gallery.stat().st_size / 2**20:.0f} MiB"
        )
        print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
