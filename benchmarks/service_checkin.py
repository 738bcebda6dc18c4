"""From a camera's frame to the answer of a check-in, on loopback, with the model faces and one core for the service.

python benchmarks/service_checkin.py --faces ../shared/data/faces/lfw_dev_original.zip

A frame is 1280 x 960 with one photo of Labeled Faces in the Wild in it, as a JPEG file: what the page Check in sends.
First each stage is timed alone, in this process, on the core that the service gets; then whole requests, one after the
other, from another core. What is left of a request beside its stages is HTTP, the form, the queue, and what is shown.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from PIL import Image

from firstsight.data.align import find_face, warp
from firstsight.functional.quantize import quantize
from firstsight.models.folder import load_model
from firstsight.places import opencv
from firstsight.recognition.embed import decoded, embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.recognizer import Recognizer

BOUNDARY = "firstsight-check-in"
CORES = sorted(os.sched_getaffinity(0))
Times = dict[str, list[float]]


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """What begins in the block, processes too, runs on one core."""
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(CORES))


def frame(photo: bytes) -> bytes:
    """A photo in what a camera sees: its face is about 300 pixels wide, as from arm's length."""
    seen = Image.new("RGB", (1280, 960), (150, 155, 160))
    with Image.open(BytesIO(photo)) as picture:
        seen.paste(picture.convert("RGB").resize((800, 800)), (240, 80))
    with BytesIO() as file:
        seen.save(file, "JPEG", quality=92)
        return file.getvalue()


def photos(path: Path, people: int) -> list[tuple[str, bytes, list[bytes]]]:
    """People with two photos or more: name, the first photo, frames of the others."""
    found: dict[str, list[str]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".jpg"):
                found.setdefault(Path(name).parent.name, []).append(name)
        several = [(person, names) for person, names in found.items() if len(names) > 1][:people]
        return [
            (person, archive.read(names[0]), [frame(archive.read(name)) for name in names[1:]])
            for person, names in several
        ]


def stages(recognizer: Recognizer, frames: Sequence[bytes]) -> Times:
    """Seconds of each stage of each frame that shows a face that can be used."""
    torch.set_num_threads(1)
    opencv().setNumThreads(1)
    preprocessing, ledger, times = recognizer.model.config.preprocessing, Ledger(recognizer.gallery), Times()

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        times.setdefault(stage, []).append(time.perf_counter() - began)
        return result

    for number, jpeg in enumerate(frames):
        picture = timed("decode the JPEG", partial(decoded, jpeg))
        face = timed("find the face", partial(find_face, picture, "only", preprocessing))
        crop = timed("warp it", partial(warp, picture, face, preprocessing))
        template = quantize(timed("embed it", partial(embed_pictures, recognizer.model, [crop])))
        timed("search the gallery", partial(recognizer.gallery.search, template, k=2))
        decision = recognizer.decide(crop)
        record = partial(ledger.record, "identify", decision, request_id=f"stage {number}", direction="in")
        timed("write it down", record)
    return times


def usable(recognizer: Recognizer, frames: Sequence[bytes]) -> list[bytes]:
    return [each for each in frames if isinstance(recognizer.look(each), torch.Tensor)]


def serve(gallery: Path) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable,
        "-m",
        "firstsight",
        "serve",
        "--port",
        "0",
        "--model",
        "faces",
        "--gallery",
        str(gallery),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    for line in process.stdout:
        if found := re.match(r"Open (\S+)", line):
            return process, found[1]
    raise SystemExit("The service did not start.")


def requests(address: str, frames: Sequence[bytes], name: str) -> tuple[list[float], dict[str, int]]:
    """Seconds of each check-in, from the frame's bytes to the parsed answer; how often which decision came."""
    seconds, decisions = [], dict[str, int]()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    for number, jpeg in enumerate(frames):
        body = form({"direction": "in", "camera": "door"}, jpeg)
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Idempotency-Key": f"{name} {number}"}
        began = time.perf_counter()
        connection.request("POST", "/v1/checkins", body, headers)
        answer = connection.getresponse()
        said = answer.read().decode()
        seconds.append(time.perf_counter() - began)
        if answer.status != 201:
            raise SystemExit(f"{answer.status}: {said}")
        verdict = re.search(r'"verdict":"([^"]+)"', said)
        decisions[verdict[1] if verdict else "?"] = decisions.get(verdict[1] if verdict else "?", 0) + 1
    return seconds, decisions


def form(fields: dict[str, str], picture: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'.encode()
    rest = "".join(
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        for name, value in fields.items()
    )
    return head + picture + rest.encode() + f"\r\n--{BOUNDARY}--\r\n".encode()


def row(what: str, seconds: Sequence[float]) -> str:
    median, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[18]
    return f"| {what} | {1000 * median:.1f} | {1000 * p95:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="zip of NAME/*.jpg, each photo with one face")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FIRSTSIGHT_HOME"] = folder
        gallery, people = Path(folder) / "gallery.sqlite", photos(options.faces, options.people)
        with Gallery(gallery) as opened, on_core(0):
            recognizer = Recognizer(load_model("faces"), opened, which="only")
            recognizer.enroll_many([(name, first) for name, first, _ in people], anyway=True)
            known = set(opened.names())
            taken = usable(recognizer, [each for name, _, frames in people if name in known for each in frames])
            frames = [taken[i % len(taken)] for i in range(options.frames)]
            stages(recognizer, frames[:10])
        with Gallery(gallery) as opened, on_core(0):
            times = stages(Recognizer(load_model("faces"), opened, which="only"), frames)
            enrolled = len(opened)
        with on_core(0):
            process, address = serve(gallery)
        try:
            with on_core(1):
                requests(address, taken[:5], "warm")  # to get warm
                seconds, decisions = requests(address, frames, "frame")
        finally:
            process.terminate()
            process.wait()
    report(times, seconds, decisions, enrolled, frames)


def report(
    times: Times, seconds: list[float], decisions: dict[str, int], enrolled: int, frames: Sequence[bytes]
) -> None:
    size = statistics.median(map(len, frames)) / 1024
    print(f"{len(frames)} frames of {size:.0f} KiB, {enrolled} people enrolled. Decisions: {decisions}\n")
    print("| stage | median, ms | p95, ms |\n|---|---:|---:|")
    for stage, found in times.items():
        print(row(stage, found))
    own = [sum(each) for each in zip(*times.values(), strict=True)]
    print(row("all stages", own))
    print(row("a request, from frame to answer", seconds))
    print(f"| HTTP, form, queue: the rest | {1000 * (statistics.median(seconds) - statistics.median(own)):.1f} | |")


if __name__ == "__main__":
    main()
