"""The service under load on loopback: `identify` with glyphs by 1, 8 and 64 clients at once.

python benchmarks/service_load.py --requests 2000 --soak 10000

Requests a second, median and 99th percentile of the time from request to answer, the server's CPU time a request beside
that of decoding, embedding and searching the same pictures one by one in one thread, and the server's memory before and
after a long run. The clients are threads of this process, on the same machine: they take CPU from the server.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import torch
from PIL import Image, ImageDraw

from firstsight.models.folder import load_model
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer

CLIENTS = (1, 8, 64)
BOUNDARY = "firstsight-load"
PEOPLE = 50


def symbol(seed: int, hand: int) -> bytes:
    """A drawn symbol of 300 x 300 pixels as PNG; `hand` moves its corners a little."""
    corners = np.random.default_rng(seed).uniform(40, 260, (6, 2))
    corners += np.random.default_rng((seed, hand)).normal(0, 3, corners.shape)
    picture = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(picture).line([tuple(corner) for corner in corners.tolist()], fill=0, width=7, joint="curve")
    with BytesIO() as file:
        picture.save(file, "PNG")
        return file.getvalue()


def form(picture: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True)
class Measured:
    """Seconds of each answer, of the whole, and of the server's CPU; how many were refused as busy."""

    seconds: list[float]
    whole: float
    cpu: float
    busy: int

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.whole

    @property
    def cpu_each(self) -> float:
        return self.cpu / len(self.seconds)


def load(address: str, server: psutil.Process, bodies: Sequence[bytes], *, clients: int, requests: int) -> Measured:
    """Each client sends its next request as soon as the last one is answered; a busy service is asked again."""
    seconds: list[float] = []
    busy = [0] * clients
    left = iter(range(requests))
    lock = threading.Lock()
    host = urlsplit(address).netloc

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(host, timeout=120)
        while True:
            with lock:
                turn = next(left, None)
            if turn is None:
                return
            began = time.perf_counter()
            while ask(connection, bodies[turn % len(bodies)]) == 503:
                busy[number] += 1
                time.sleep(0.1)
            seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    before, began = cpu(server), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Measured(seconds, time.perf_counter() - began, cpu(server) - before, sum(busy))


def ask(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/v1/identify", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (200, 503):
        raise SystemExit(f"{answer.status}: the service did not identify")
    return answer.status


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def alone(gallery: Path, pictures: Sequence[bytes]) -> float:
    """CPU seconds a picture to decode, embed and search, one by one in this thread."""
    torch.set_num_threads(1)
    with Gallery(gallery) as opened:
        recognizer = Recognizer(load_model("glyphs"), opened)
        for picture in pictures[:20]:
            recognizer.identify(picture)
        began = time.process_time()
        for picture in pictures:
            recognizer.identify(picture)
        return (time.process_time() - began) / len(pictures)


def serve(gallery: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "firstsight", "serve", "--port", "0", "--gallery", str(gallery)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    for line in process.stdout:
        if found := re.match(r"Open (\S+)", line):
            return process, found[1]
    raise SystemExit("The service did not start.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="for each number of clients")
    parser.add_argument("--soak", type=int, default=10_000, help="requests between two looks at the memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FIRSTSIGHT_HOME"] = folder
        gallery = Path(folder) / "gallery.sqlite"
        pictures = [symbol(seed, hand) for seed in range(PEOPLE) for hand in range(1, 5)]
        with Gallery(gallery) as opened:
            recognizer = Recognizer(load_model("glyphs"), opened)
            recognizer.enroll_many([(f"symbol {seed}", symbol(seed, 0)) for seed in range(PEOPLE)], anyway=True)
        own = alone(gallery, pictures)
        process, address = serve(gallery)
        try:
            report(address, psutil.Process(process.pid), [form(picture) for picture in pictures], own, options)
        finally:
            process.terminate()
            process.wait()


def report(
    address: str, server: psutil.Process, bodies: Sequence[bytes], own: float, options: argparse.Namespace
) -> None:
    load(address, server, bodies, clients=8, requests=200)  # to get warm
    print(f"{psutil.cpu_count()} cores. Decode + embed + search alone: {1000 * own:.1f} ms CPU a picture.\n")
    print("| clients | requests/s | median, ms | p99, ms | CPU a request, ms | by alone | refused as busy |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for clients in CLIENTS:
        found = load(address, server, bodies, clients=clients, requests=options.requests)
        median, p99 = statistics.median(found.seconds), statistics.quantiles(found.seconds, n=100)[98]
        print(
            f"| {clients} | {found.rate:.1f} | {1000 * median:.0f} | {1000 * p99:.0f} | {1000 * found.cpu_each:.1f} "
            f"| {found.cpu_each / own:.2f} | {found.busy} |",
            flush=True,
        )
    before = server.memory_info().rss
    load(address, server, bodies, clients=8, requests=options.soak)
    after = server.memory_info().rss
    print(f"\nMemory before and after {options.soak:,} requests: {before / 2**20:.0f} and {after / 2**20:.0f} MiB.")


if __name__ == "__main__":
    main()
